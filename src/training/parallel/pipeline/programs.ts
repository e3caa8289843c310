// Question: which programs does one stage of a pipeline run?
//
// Those of the schedule's slots and the update from the start; what evaluates when it is first needed. For a runtime they
// run (trainer.ts); for one that is only planned they tell what the rank will take (../memory.ts), so the two cannot
// differ. Where ranks share experts, each program waits for the others in its midst.

import type { Tensor } from "../../../graph/tensor.ts";
import { alone } from "../../../runtime/collective/alone.ts";
import type { Collective } from "../../../runtime/collective/collective.ts";
import { overRanks } from "../../../runtime/collective/over-ranks.ts";
import { lastingStatesOf } from "../../../runtime/program.ts";
import type { Program, Runtime } from "../../../runtime/runtime.ts";
import type { ObservedOutputs } from "../../observe.ts";
import type { UpdateOutputs } from "../../step.ts";
import { sharingOf } from "../share.ts";
import { cutModel } from "./cuts.ts";
import { buildPieces, type PieceGraph, type PieceOutputs, programsOf } from "./piece.ts";
import type { ReadyPiece } from "./run-schedule.ts";
import { buildStage, type PipelinePlan, type StageConfig, type StageGraph, stagePrograms } from "./stage.ts";
import type { StageTable } from "./stage-table.ts";

/** The pieces through which a batch passes forward alone, and how many numbers enter each piece of the model. */
export interface ForwardPieces<P> {
  readonly pieces: readonly { readonly graph: PieceGraph; readonly program: P }[];
  readonly boundaries: readonly (readonly number[])[];
}

/** With the loss in the last piece. */
export type EvaluationProgram = Program<Pick<PieceOutputs, "leaving" | "loss">>;
/** Of one sequence, with what the instruments look at. */
export type ObservationProgram = Program<{
  readonly leaving: readonly Tensor[];
  readonly sublayers: readonly ObservedOutputs[];
}>;

/** Of one sequence, with the scores of the next token in the last piece. */
export type WritingProgram = Program<{ readonly leaving: readonly Tensor[]; readonly scores: Tensor | undefined }>;

export interface StagePrograms {
  /** What they are compiled for. */
  readonly runtime: Runtime;
  readonly graph: StageGraph;
  readonly pieces: readonly ReadyPiece[];
  readonly update: Program<UpdateOutputs>;
  /** Those of a step. */
  readonly all: readonly Program[];
  evaluation(): ForwardPieces<EvaluationProgram>;
  observation(): ForwardPieces<ObservationProgram>;
  writing(): ForwardPieces<WritingProgram>;
  /** Give back all programs and states. */
  release(): void;
}

/** The stage in which a piece works forward alone: the first microbatch's way through the stages serves all. */
export const forwardStage = ({ to }: Pick<StageTable, "to">, position: number): number =>
  to({ kind: "state", position, microBatch: 0 })!;

/**
 * @param place the stage, and which of the stage's rows
 * @param experts the ranks that share experts with this one, where some do; a plan needs none
 */
export function compileStage(
  machine: Runtime,
  config: StageConfig,
  plan: PipelinePlan,
  place: { readonly stage: number; readonly row: number },
  experts: Collective = alone(),
): StagePrograms {
  const sharing = sharingOf({ rank: place.row, experts: plan.mesh.expert });
  const runtime = sharing ? overRanks(machine, experts) : machine;
  const graph = buildStage(config, runtime.machine, plan, place);
  const pieces = graph.pieces.map(({ graph: piece, slots }): ReadyPiece => ({
    graph: piece,
    slots: slots.map(({ forward, recompute, backward, input, weights }) => ({
      forward: runtime.compile(forward),
      recompute: recompute && runtime.compile(recompute),
      backward: backward && runtime.compile(backward),
      input: input && runtime.compile(input),
      weights: weights && runtime.compile(weights),
    })),
  }));
  const update = runtime.compile(graph.update);
  const all: Program[] = [...pieces.flatMap(({ slots }) => slots.flatMap(programsOf)), update];
  // They run in parts, whose lists take their place at once.
  for (const program of all) program.parts?.();
  let evaluation: ForwardPieces<EvaluationProgram> | undefined;
  let observation: ForwardPieces<ObservationProgram> | undefined;
  let writing: ForwardPieces<WritingProgram> | undefined;
  const forward = <P extends Program>(batch: number, compile: (piece: PieceGraph) => P): ForwardPieces<P> => {
    const { table, model, parameters } = graph;
    const { precision, data } = config;
    const { own, boundaries } = buildPieces(
      model,
      parameters,
      cutModel(config.model, table.pieces, graph.storeEvery),
      table.positions.filter((position) => forwardStage(table, position) === table.stage),
      { batch, precision, storeEvery: undefined, accumulate: 1, ...(data ? { data } : {}) },
      ({ tensor }) => tensor,
    );
    const made = own.map((piece) => ({ graph: piece, program: compile(piece) }));
    for (const { program } of made) program.parts?.();
    return { boundaries, pieces: made };
  };
  return {
    runtime,
    graph,
    pieces,
    update,
    all,
    evaluation: () => (evaluation ??= forward(config.batch, (piece) => runtime.compile(piece.evaluation))),
    observation: () => (observation ??= forward(1, (piece) => runtime.compile(piece.observation))),
    writing: () => (writing ??= forward(1, (piece) => runtime.compile(piece.writing))),
    release() {
      const looking = [...(evaluation?.pieces ?? []), ...(observation?.pieces ?? []), ...(writing?.pieces ?? [])];
      for (const program of [...all, ...looking.map((piece) => piece.program)]) program.release();
      for (const { tensor } of [...graph.own, ...graph.step.moments]) runtime.forget(tensor);
      for (const state of lastingStatesOf(stagePrograms(graph))) runtime.forget(state);
    },
  };
}
