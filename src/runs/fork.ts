// Question: how does a run begin with the weights of another one?
//
// The other run gives its model's parameters and its tokenizer; steps, moments and the schedule begin anew. What the new
// run's model has is compared with the checkpoint before a text is read: every tensor by its name and shape.

import path from "node:path";
import type { Tokenizer } from "../data/tokenizer.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import { reason } from "../files/errors.ts";
import { modelParameters } from "../model/language-model.ts";
import { isMixed } from "../model/overrides.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { type CheckpointPlace, latestCheckpoint, listCheckpoints, loadModel, weightsOf } from "./checkpoint.ts";
import type { SavedTensor } from "../training/state.ts";
import { openRunFolder, readMetrics } from "./run-folder.ts";

/** Which checkpoint of a run: the newest sound one, the one with the lowest validation loss, or that of a step. */
export type CheckpointChoice = "last" | "best" | number;

/** The run and the checkpoint that another run begins with. */
export interface StartingPoint {
  /** The absolute path of the run. */
  readonly run: string;
  readonly config: TrainingConfig;
  readonly checkpoint: CheckpointPlace;
  readonly tokenizer: Tokenizer;
}

/**
 * Find the checkpoint of a run, and read its tokenizer.
 *
 * @throws Error when the folder is none of a run, or the run has no such checkpoint or no tokenizer
 */
export function findStart(run: string, which: CheckpointChoice, onWarning?: (message: string) => void): StartingPoint {
  const config = parseTrainingConfig(openRunFolder(run).config, path.join(run, "config.json"));
  const checkpoint = choose(run, which, onWarning);
  let tokenizer: Tokenizer;
  try {
    tokenizer = readTokenizer(path.join(run, "tokenizer.json"));
  } catch (error) {
    throw new Error(`${run} has weights but no tokenizer, so no text can be read for it: ${reason(error)}`, {
      cause: error,
    });
  }
  return { run: path.resolve(run), config, checkpoint, tokenizer };
}

function choose(run: string, which: CheckpointChoice, onWarning?: (message: string) => void): CheckpointPlace {
  const all = listCheckpoints(run);
  if (all.length === 0)
    throw new Error(`${run} has no checkpoint to begin with; train it first: birkhoff train --resume ${run}`);
  const steps = `it has those of ${all.length === 1 ? "step" : "steps"} ${all.map(({ step }) => step).join(", ")}`;
  if (which === "last") {
    const newest = latestCheckpoint(run, onWarning);
    if (newest) return newest;
    throw new Error(`${run} has no sound checkpoint to begin with`);
  }
  if (which === "best") {
    const losses = new Map(readMetrics(run).map(({ step, validationLoss }) => [step, validationLoss]));
    const measured = all.flatMap((place) => {
      const loss = losses.get(place.step);
      return loss === undefined || !Number.isFinite(loss) ? [] : [{ place, loss }];
    });
    const [first, ...others] = measured;
    if (first) return others.reduce((a, b) => (b.loss < a.loss ? b : a), first).place;
    throw new Error(`${run} was evaluated at the step of none of its checkpoints (${steps}): name one by its step`);
  }
  const found = all.find(({ step }) => step === which);
  if (found) return found;
  throw new Error(`${run} has no checkpoint of step ${which}; ${steps}`);
}

/** So many tensors that do not fit are named. */
const MOST_NAMED = 4;

/**
 * Refuse a model that the weights of a run do not fit.
 *
 * @throws Error that names the tensors, with both shapes, and says what to do
 */
export function expectFits({ run, config, checkpoint }: StartingPoint, model: ModelConfig): void {
  const stored = new Map(weightsOf(checkpoint.folder).map(({ name, shape }) => [name, shape]));
  const shown = (shape: readonly number[]): string => `[${shape.join(", ")}]`;
  const wanted = modelParameters(model).all;
  const own = new Set(wanted.map(({ name }) => name));
  const problems = [
    ...wanted.flatMap(({ name, tensor: { shape } }) => {
      const there = stored.get(name);
      if (there === undefined) return [`it has no "${name}", ${shown(shape)} in the new run`];
      return there.join() === shape.join() ? [] : [`"${name}" is ${shown(there)}, and ${shown(shape)} in the new run`];
    }),
    ...[...stored].filter(([name]) => !own.has(name)).map(([name]) => `"${name}" is not in the new run`),
  ];
  if (problems.length === 0) return;
  const more = problems.length - MOST_NAMED;
  throw new Error(
    `the weights of ${run} do not fit the new run:\n  ${problems.slice(0, MOST_NAMED).join("\n  ")}\n` +
      `${more > 0 ? `  and ${more} more\n` : ""}${remedy(run, config.model, model)}`,
  );
}

function remedy(run: string, was: ModelConfig, is: ModelConfig): string {
  const [before, now] = [was, is].map(({ connection }) => (isMixed(connection) ? "mixed" : connection.kind));
  if (before === now) return "Leave out what changes the sizes of the model, or begin a run from scratch";
  return before === "residual" && (now === "mhc" || now === "hc")
    ? `Give it streams first, with the same outputs: birkhoff convert ${run} NEW --from residual --to ${now}; then --from NEW`
    : `Its connection is ${before}, whose weights cannot go on with ${now}: leave out --connection, or begin a run from scratch`;
}

/**
 * The weights that a configuration says its run begins with.
 *
 * @throws Error when the run or its checkpoint is not there any more, or is damaged
 */
export function startingWeights({ run, step }: Required<TrainingConfig>["startedFrom"]): readonly SavedTensor[] {
  return loadModel(choose(run, step).folder).model;
}
