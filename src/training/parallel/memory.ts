// Question: how many bytes does each rank of a mesh take?
//
// Its programs are compiled for a runtime that is only planned, and its states placed there, as the run does it: the step,
// what evaluates, what reads the instruments and what writes a text. So a prediction and a run cannot differ.

import { byteSize, type Tensor } from "../../graph/tensor.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import { createPlannedRuntime } from "../../runtime/planned/runtime.ts";
import { compileTraining } from "../programs.ts";
import { type MeshPlace, placeOf } from "./mesh.ts";
import { compileStage } from "./pipeline/programs.ts";
import type { PipelinePlan, StageConfig } from "./pipeline/stage.ts";
import type { TrainingConfig } from "../config.ts";

/** Bytes of one rank. */
export interface RankMemory extends MeshPlace {
  readonly rank: number;
  readonly parameterBytes: number;
  /** What the optimizer keeps of the rank's share. */
  readonly momentBytes: number;
  /** All that its runtime takes, these included. */
  readonly runtimeBytes: number;
}

/** What a run is asked for beside steps and evaluations. */
export interface Besides {
  /** A text that rank 0 writes, with the others where they share layers: tokens of its prompt and after it. Default: none. */
  readonly sample?: { readonly prompt: number; readonly tokens: number } | undefined;
}

/** What each rank of a mesh will take, in their order. */
export function predictRanks(
  config: StageConfig & Pick<TrainingConfig, "sharded">,
  machine: Machine,
  plan: PipelinePlan,
  { sample }: Besides = {},
): RankMemory[] {
  const { data, pipeline, expert } = plan.mesh;
  const rows = data * expert;
  return Array.from({ length: rows * pipeline }, (_, rank): RankMemory => {
    const place = placeOf(plan.mesh, rank);
    const row = place.replica * expert + place.part;
    const runtime = createPlannedRuntime(machine);
    const take = (tensors: readonly Tensor[]): number => {
      for (const tensor of tensors) runtime.write(tensor, []);
      return tensors.reduce((sum, tensor) => sum + byteSize(tensor), 0);
    };
    const tensorsOf = (list: readonly { readonly tensor: Tensor }[]): Tensor[] => list.map(({ tensor }) => tensor);
    if (pipeline > 1) {
      const stage = compileStage(runtime, config, plan, { stage: place.stage, row });
      const { own, step } = stage.graph;
      const [parameterBytes, momentBytes] = [take(tensorsOf(own)), take(tensorsOf(step.moments))];
      stage.observation();
      stage.evaluation();
      if (sample) stage.writing();
      return { rank, ...place, parameterBytes, momentBytes, runtimeBytes: runtime.memoryBytes() };
    }
    const run = compileTraining(runtime, config, { rank: row, size: rows, ...(expert > 1 ? { experts: expert } : {}) });
    const [parameterBytes, momentBytes] = [take(tensorsOf(run.parameters.all)), take(tensorsOf(run.graph.moments))];
    // Instruments are read by rank 0 alone, unless it needs the others' experts for them; texts are always its own.
    if (rank === 0 || expert > 1) run.observer();
    run.evaluation();
    if (rank === 0 && sample) {
      if (expert > 1) take(tensorsOf(run.wholeParameters().all));
      run.generator().prepare([sample.prompt], sample.tokens);
    }
    return { rank, ...place, parameterBytes, momentBytes, runtimeBytes: runtime.memoryBytes() };
  });
}
