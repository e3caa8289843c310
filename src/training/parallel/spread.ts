// Question: which trainer does a rank have?
//
// Without a mesh, or with one stage, every rank has the whole model (../trainer.ts); with several stages each has its own
// (pipeline/trainer.ts).

import type { Batches } from "../../data/batches.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { TrainingConfig } from "../config.ts";
import { resolveRecompute } from "../recomputation.ts";
import type { StepConfig } from "../step.ts";
import { createTrainer, type Trainer } from "../trainer.ts";
import { createMesh, fitMesh, type MeshSize } from "./mesh.ts";
import { mostPieces } from "./pipeline/cuts.ts";
import type { PipelinePlan } from "./pipeline/stage.ts";
import { createPipelinedTrainer, type PipelinedTrainer } from "./pipeline/trainer.ts";
import type { ScheduleName } from "./schedules/table.ts";

/** What is asked for of a mesh: sizes that are left out are filled in. */
export interface MeshWishes {
  readonly mesh: Partial<MeshSize>;
  readonly schedule: ScheduleName;
  readonly chunks: number;
}

/**
 * How a training is spread over its ranks.
 *
 * @throws RangeError when the mesh does not fit the ranks, the model or the batch, with the nearest that does
 */
export function planSpread(
  config: Pick<TrainingConfig, "batch" | "accumulate" | "model" | "recompute"> & StepConfig,
  machine: Machine | undefined,
  ranks: number,
  { mesh, schedule, chunks }: MeshWishes,
): PipelinePlan {
  const { batch, accumulate, model } = config;
  const { experts } = model.feedForward ?? {};
  const pieces = mostPieces(model, resolveRecompute(config, machine, config.recompute));
  const limits = { ranks, pieces, rows: batch * accumulate, ...(experts === undefined ? {} : { experts }) };
  return { mesh: fitMesh(mesh, limits), schedule, chunks };
}

/** The trainer of this rank; all ranks make theirs at once. */
export function createSpreadTrainer(
  runtime: Runtime,
  config: TrainingConfig,
  batches: Batches,
  collective: Collective,
  plan: PipelinePlan | undefined,
): Trainer | PipelinedTrainer {
  if (!plan) return createTrainer(runtime, config, batches, collective);
  const mesh = createMesh(collective, plan.mesh);
  if (plan.mesh.pipeline === 1) return createTrainer(runtime, config, batches, mesh);
  return createPipelinedTrainer(runtime, config, batches, mesh, plan);
}
