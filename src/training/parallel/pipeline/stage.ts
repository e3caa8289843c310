// Question: which programs and states does one stage of a pipeline have?
//
// Of each of its pieces and each slot a program for the forward pass, one for what is recomputed early, and one or two
// for the backward pass, as the schedule asks; then the update of its share of its parameters. For a runtime they
// run; without memory they tell what the stage will take (../memory.ts), so the two cannot differ.

import { createParameters, type Parameter, type ParameterSet } from "../../../graph/parameters.ts";
import { input, persistent } from "../../../graph/state.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { languageModel, type LanguageModel } from "../../../model/language-model.ts";
import type { ProgramSpec } from "../../../runtime/program.ts";
import type { Machine } from "../../../runtime/plan/machine.ts";
import type { TrainingConfig } from "../../config.ts";
import { resolveRecompute } from "../../recomputation.ts";
import { balancedBy, type StepConfig, type UpdateOutputs } from "../../step.ts";
import type { MeshSize } from "../mesh.ts";
import { type Share, shareOf, sharingOf } from "../share.ts";
import type { Exchanged } from "../exchange.ts";
import { buildShareUpdate } from "../step.ts";
import { schedules, type ScheduleName } from "../schedules/table.ts";
import { cutModel, mostPieces } from "./cuts.ts";
import { buildPieces, type OfSlot, type PieceGraph, type PieceOutputs, programsOf } from "./piece.ts";
import { type StageTable, stageTable } from "./stage-table.ts";

/** What a pipelined training depends on. */
export type StageConfig = StepConfig & Pick<TrainingConfig, "recompute">;

/** How a training is spread over stages. */
export interface PipelinePlan {
  readonly mesh: MeshSize;
  readonly schedule: ScheduleName;
  /** Pieces of the model on a stage, of an interleaved schedule. */
  readonly chunks: number;
  /** Bytes of a bucket of gradients; see layout.ts. */
  readonly bucketBytes?: number;
  /** Whether all ranks hear after each step what each did when. */
  readonly watched?: boolean;
}

/** A piece with the programs of its slots. */
export interface StagePiece {
  readonly graph: PieceGraph;
  readonly slots: readonly OfSlot<ProgramSpec<PieceOutputs>>[];
}

/** The graphs of one stage. */
export interface StageGraph {
  readonly table: StageTable;
  readonly share: Share;
  readonly storeEvery: number | undefined;
  readonly model: LanguageModel;
  /** Of the whole model; the stage has a place for its own alone. */
  readonly parameters: ParameterSet;
  /** In the order of the model. */
  readonly own: readonly Parameter[];
  /** Numbers of the tensors that enter each piece of the model. */
  readonly boundaries: readonly (readonly number[])[];
  readonly pieces: readonly StagePiece[];
  /** What the exchange works on. */
  readonly step: Exchanged;
  readonly schedule: Tensor;
  readonly update: ProgramSpec<UpdateOutputs>;
}

/**
 * @param place the stage, and which of the stage's rows
 * @throws RangeError when the schedule cannot run with so many microbatches; it says with how many it can
 */
export function buildStage(
  config: StageConfig,
  machine: Machine | undefined,
  { mesh, schedule: name, chunks: wanted, bucketBytes }: PipelinePlan,
  { stage, row }: { readonly stage: number; readonly row: number },
): StageGraph {
  const { batch, precision, data, optimizer } = config;
  const storeEvery = resolveRecompute(config, machine, config.recompute);
  const rows = mesh.data * mesh.expert;
  const share = shareOf(config, { rank: row, size: rows });
  const orders = ordersOf(name, { stages: mesh.pipeline, microBatches: share.accumulate, chunks: wanted }, batch);
  const table = stageTable(orders, stage);
  const most = mostPieces(config.model, storeEvery);
  if (table.pieces > most)
    throw new RangeError(
      `--mesh pipeline=${mesh.pipeline}: the schedule ${name} needs ${table.pieces} pieces of the model, which has ${most}, cut where recomputation stores the state. Take ${name === "interleaved" ? "--pipeline-chunks 1, or " : ""}--mesh pipeline=${Math.max(1, Math.floor((most * mesh.pipeline) / table.pieces))}.`,
    );
  const parameters = createParameters();
  const model = languageModel(config.model, parameters, sharingOf({ rank: row, experts: mesh.expert }));
  const sums = new Map<Parameter, Tensor>();
  const sumOf = (parameter: Parameter): Tensor => {
    const sum = sums.get(parameter) ?? persistent(`${parameter.name}.gradient`, parameter.tensor.shape);
    sums.set(parameter, sum);
    return sum;
  };
  const { own: graphs, boundaries } = buildPieces(
    model,
    parameters,
    cutModel(config.model, table.pieces, storeEvery),
    table.positions,
    { batch: share.batch, precision, storeEvery, accumulate: share.accumulate, ...(data ? { data } : {}) },
    sumOf,
  );
  const mine = new Set(graphs.flatMap((graph) => graph.parameters));
  const own = parameters.all.filter((parameter) => mine.has(parameter));
  const trained = own.filter(({ role }) => role !== "balance");
  const routing = graphs.flatMap((graph) => graph.routing);
  const schedule = input("schedule", [3]);
  const { update, ...step } = buildShareUpdate(
    {
      trained,
      schedule,
      sums: trained.map(sumOf),
      loads: routing.map(({ load_E }) => load_E),
      balanced: balancedBy({ routing, falling: graphs.flatMap(({ falling }) => falling) }, config.model.feedForward),
    },
    { optimizer, precision },
    share,
    // Two copies of the parameters are two holders, and each has its part of the moments.
    {
      rank: table.holders.indexOf(stage) * rows + row,
      size: rows * table.holders.length,
      experts: mesh.expert,
      ...(bucketBytes === undefined ? {} : { bucketBytes }),
    },
  );
  const passes = new Set(table.order.flat().map(({ pass }) => pass));
  const pieces = graphs.map((graph): StagePiece => {
    const slots = Array.from({ length: table.slots(graph.position) }, (_, index): OfSlot<ProgramSpec<PieceOutputs>> => {
      const slot = graph.slot(index);
      return {
        forward: slot.program("forward"),
        recompute: graph.recomputes ? slot.program("recompute") : undefined,
        backward: passes.has("backward") ? slot.program("input", "weights") : undefined,
        input: passes.has("input") ? slot.program("input") : undefined,
        weights: passes.has("weights") ? slot.program("weights") : undefined,
      };
    });
    return { graph, slots };
  });
  return {
    table,
    share,
    storeEvery,
    model,
    parameters,
    own,
    boundaries,
    pieces,
    step: { ...step, trained, sums: trained.map(sumOf) },
    schedule,
    update,
  };
}

/** The orders of a schedule, or a refusal in the words of the command line. */
function ordersOf(
  name: ScheduleName,
  shape: { readonly stages: number; readonly microBatches: number; readonly chunks: number },
  batch: number,
) {
  const refused = schedules[name].refuses(shape);
  if (refused === undefined) return schedules[name].orders(shape);
  throw new RangeError(
    `--pipeline-schedule ${name}: ${refused} Here a micro-batch is a microbatch of --accumulate, shared by the ranks of a stage; with --batch ${batch} a step has ${shape.microBatches} of them on each.`,
  );
}

/** All programs of a stage. */
export const stagePrograms = ({ pieces, update }: Pick<StageGraph, "pieces" | "update">): readonly ProgramSpec[] => [
  ...pieces.flatMap(({ slots }) => slots.flatMap(programsOf)),
  update,
];
