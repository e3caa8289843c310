// Question: how many bytes does a stage take?
//
// Its states, which all its programs share, and the largest arena. The same programs are planned without memory for a
// prediction and compiled for a run, so that both say the same to the byte.

import { byteSize } from "../../../graph/tensor.ts";
import { compilePlan, withoutMemory } from "../../../runtime/plan/compile.ts";
import type { Machine } from "../../../runtime/plan/machine.ts";
import { type ProgramSpec, statesOf } from "../../../runtime/program.ts";
import { placeOf } from "../mesh.ts";
import { buildStage, type PipelinePlan, type StageConfig, stagePrograms } from "./stage.ts";

/** Bytes of one rank. */
export interface StageMemory {
  readonly stage: number;
  readonly stateBytes: number;
  readonly arenaBytes: number;
}

/** Parameters, moments, sums, inputs and slots. */
export function stageStateBytes(programs: readonly ProgramSpec[]): number {
  return [...statesOf(programs)].reduce((sum, state) => sum + byteSize(state), 0);
}

/** What each rank of a mesh will take, in their order; of those with the same stage the shares of the moments differ. */
export function predictStages(config: StageConfig, machine: Machine, plan: PipelinePlan): StageMemory[] {
  const { data, pipeline, expert } = plan.mesh;
  return Array.from({ length: data * pipeline * expert }, (_, rank) => {
    const { stage, replica, part } = placeOf(plan.mesh, rank);
    const { pieces, update } = buildStage(config, machine, plan, { stage, row: replica * expert + part });
    // The slots of a piece differ in their states alone.
    const firstSlots = pieces.map((piece) => ({ ...piece, slots: piece.slots.slice(0, 1) }));
    const options = withoutMemory();
    const arenas = stagePrograms({ pieces: firstSlots, update }).map(
      (spec) => compilePlan(spec, machine, options).arena.bytes,
    );
    const stateBytes = stageStateBytes(stagePrograms({ pieces, update }));
    return { stage, stateBytes, arenaBytes: Math.max(...arenas) };
  });
}
