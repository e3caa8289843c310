// Question: how does a trained residual model become one with streams that computes the same and trains on?
//
// All weights of the residual model are kept. The streams are n copies of the embedding, their mean is the end, and
// the new parameters start where the mean of the streams is exactly the residual stream:
//
//   hc   HC's usual start: it reads one stream, writes 1 to all, mixes by I, θ = 0 (arXiv 2409.19606)
//   mhc  the start `pre-norm`; connections/initialisations.ts has the proof. H_res is not saturated, and φ = 0 but α
//        is not: every map has a gradient, and no two streams have the same one.
//
// AdamW's moments of the kept weights are kept, and those of the new parameters start at zero. The step count
// continues, so the bias correction of the old moments is right, and so is the order of the batches.
// Before anything is written, the two models are compared.

import { expectFields } from "../basics/fields.ts";
import fs from "node:fs";
import path from "node:path";
import { largestMagnitude } from "../basics/numbers.ts";
import { given } from "../basics/given.ts";
import { random, streams as randomStreams } from "../data/random.ts";
import { createParameters } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import { sizeOf } from "../graph/tensor.ts";
import { expectStreams } from "../connections/connection.ts";
import type { HcConfig } from "../connections/hc.ts";
import type { MhcConfig } from "../connections/mhc-options.ts";
import type { ModelConfig } from "../model/config.ts";
import { languageModel, modelParameters } from "../model/language-model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Checkpoint, latestCheckpoint, loadCheckpoint } from "../runs/checkpoint.ts";
import type { SavedTensor } from "../training/state.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { isSamePlace } from "../files/places.ts";
import { initialValues } from "../training/initialise.ts";
import { createRunFolder, openRunFolder } from "../runs/run-folder.ts";
import { programVersions } from "../runs/run.ts";
import { MOST_OF_TOKENIZER, readWhole } from "../files/read.ts";

/** The connections that can start as a residual model. */
export type UpcycledConnection = HcConfig | MhcConfig;

/** How long the new run continues, and what it may replace. */
export interface UpcycleOptions {
  /** The last step of the new run, old steps included. Default: the old run's, or as many again if it is finished. */
  readonly steps?: number;
  /** What to do when the folder already has a run. Default "refuse". */
  readonly existing?: "refuse" | "overwrite";
  readonly onWarning?: (message: string) => void;
}

/** The result of `upcycle`. */
export interface Upcycled {
  /** The folder of the new run. */
  readonly config: TrainingConfig;
  /** The step at which it continues. */
  readonly step: number;
  /** How many numbers the old model did not have. */
  readonly addedParameters: number;
  /** Largest difference of a logit between the two models, in float32, on random text, and the largest logit. */
  readonly difference: number;
  readonly largestLogit: number;
}

/** Larger differences, relative to the largest logit or to one, are not rounding. */
const TOLERANCE = 1e-5;

/** The connections of n streams that start as a residual model, by kind. */
export const upcycledConnections: Readonly<
  Record<UpcycledConnection["kind"], (streams: number) => UpcycledConnection>
> = {
  hc(streams) {
    expectStreams("upcycledConnections.hc", streams);
    return { kind: "hc", streams, collapse: "mean" };
  },
  mhc(streams) {
    expectStreams("upcycledConnections.mhc", streams);
    return { kind: "mhc", streams, iterations: 20, initialisation: "pre-norm", collapse: "mean" };
  },
};

/**
 * Make a new run from the last checkpoint of a residual one. `birkhoff train --resume` continues it.
 *
 * @param runtime compares the two models before anything is written
 * @param from folder of the residual run; it is only read
 * @param to folder of the new run
 * @param connection what joins its layers, such as upcycledConnections.mhc(4)
 * @throws Error when the run has no checkpoint or is not a residual one, when the two models differ by more than
 *   rounding (1e-5 of the largest logit), and any error of making a run folder; nothing is written then
 */
export async function upcycle(
  runtime: Runtime,
  from: string,
  to: string,
  connection: UpcycledConnection,
  options: UpcycleOptions = {},
): Promise<Upcycled> {
  expectFields("upcycle", options, { steps: "number", existing: ["refuse", "overwrite"], onWarning: "function" });
  const { steps, existing = "refuse", onWarning } = options;
  const old = parseTrainingConfig(openRunFolder(from).config, path.join(from, "config.json"));
  expectResidual(from, old.model.connection);
  const place = latestCheckpoint(from, onWarning);
  if (!place)
    throw new Error(`${from} has no checkpoint to start from; train it first: birkhoff train --resume ${from}`);
  if (isSamePlace(from, to)) {
    throw new Error(`the new run cannot be in ${to}, the folder of the old one; give it another`);
  }
  const checkpoint = loadCheckpoint(place.folder);
  const config = upcycledConfig(old, to, { run: path.resolve(from), step: place.step }, connection, steps);
  const state = upcycledState(checkpoint, config);
  const { difference, largestLogit } = await expectSameLogits(
    runtime,
    { config: old.model, tensors: checkpoint.model },
    { config: config.model, tensors: state.model },
    from,
  );
  // An imported run may have no tokenizer.
  const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"]
    .filter((name) => fs.existsSync(path.join(from, name)))
    .map((name) => [name, readWhole(path.join(from, name), MOST_OF_TOKENIZER)] as const);
  const folder = createRunFolder(to, config, {
    existing,
    versions: programVersions(runtime),
    keepCheckpoints: config.keepCheckpoints,
    checkpointBytes: bytesOf(state.model) + bytesOf(state.optimizer),
    ...given({ onWarning }),
  });
  try {
    for (const [name, content] of tokenizerFiles) writeFileAtomically(path.join(to, name), content);
    folder.saveCheckpoint({ step: place.step, state: checkpoint.state, ...state });
  } finally {
    folder.close();
  }
  return {
    config,
    step: place.step,
    addedParameters: (bytesOf(state.model) - bytesOf(checkpoint.model)) / 4,
    difference,
    largestLogit,
  };
}

function expectResidual(run: string, connection: ModelConfig["connection"]): void {
  const kind = "kind" in connection ? connection.kind : "mixed";
  if (kind === "residual") return;
  throw new Error(
    `${run} is a ${kind} model already; upcycling starts from a residual one (birkhoff train --connection residual)`,
  );
}

function upcycledConfig(
  old: TrainingConfig,
  to: string,
  upcycledFrom: { readonly run: string; readonly step: number },
  connection: UpcycledConnection,
  steps = old.steps > upcycledFrom.step ? old.steps : upcycledFrom.step + old.steps,
): TrainingConfig {
  if (steps <= upcycledFrom.step) {
    throw new RangeError(
      `the new run must end after step ${upcycledFrom.step}, where the old one is, but it would end at step ${steps}; give more steps`,
    );
  }
  const config = {
    ...old,
    name: path.basename(path.resolve(to)),
    steps,
    model: { ...old.model, connection },
    upcycledFrom,
  };
  return parseTrainingConfig(config, "The configuration of the upcycled run");
}

/**
 * The checkpoint of a model that has all parameters of an older one, and more. The old parameters keep their
 * moments; the others start as usual, with moments of zero.
 */
export function upcycledState(
  { model, optimizer, folder }: Pick<Checkpoint, "model" | "optimizer" | "folder">,
  { model: config, seed }: TrainingConfig,
): { readonly model: SavedTensor[]; readonly optimizer: SavedTensor[] } {
  const old = new Map([...model, ...optimizer].map((tensor) => [tensor.name, tensor]));
  const wanted = modelParameters(config).all;
  const names = new Set(wanted.map(({ name }) => name));
  const lost = model.find(({ name }) => !names.has(name));
  if (lost) throw new Error(`${folder} has a tensor "${lost.name}" that the new model does not have`);
  const kept = (name: string, shape: readonly number[], start: () => Float32Array): SavedTensor => {
    const stored = old.get(name);
    if (stored && stored.shape.join() !== shape.join()) {
      throw new Error(
        `"${name}" of ${folder} has shape [${stored.shape.join(", ")}], the new model's [${shape.join(", ")}]`,
      );
    }
    return stored ?? { name, shape, data: start() };
  };
  return {
    model: wanted.map((parameter) =>
      kept(parameter.name, parameter.tensor.shape, () => initialValues(parameter, seed)),
    ),
    optimizer: wanted.flatMap(({ name, tensor: { shape } }) =>
      [`${name}.m`, `${name}.v`].map((moment) => kept(moment, shape, () => new Float32Array(sizeOf(shape)))),
    ),
  };
}

/**
 * Compares a model with its upcycled form. They must compute the same.
 *
 * @param from what to call the model in messages
 */
export async function expectSameLogits(
  runtime: Runtime,
  old: StoredModel,
  upcycled: StoredModel,
  from: string,
): ReturnType<typeof compareLogits> {
  const compared = await compareLogits(runtime, [old, upcycled]);
  const { difference, largestLogit } = compared;
  if (difference <= TOLERANCE * Math.max(1, largestLogit)) return compared;
  const { connection } = upcycled.config;
  throw new Error(
    `the ${"kind" in connection ? connection.kind : "mixed"} model would not compute what ${from} does: a logit differs by ${difference.toExponential(1)} ` +
      `(the largest is ${largestLogit.toFixed(1)}). The connection must start as a residual one, as those of upcycledConnections do`,
  );
}

export interface StoredModel {
  readonly config: ModelConfig;
  readonly tensors: readonly SavedTensor[];
}

/**
 * The largest difference between the logits of two models of one vocabulary and context, on a sequence of
 * random tokens, and the largest logit of the first.
 */
export async function compareLogits(
  runtime: Runtime,
  models: readonly [StoredModel, StoredModel],
): Promise<{ readonly difference: number; readonly largestLogit: number }> {
  const [first, second] = [await logitsOf(runtime, models[0]), await logitsOf(runtime, models[1])];
  return {
    difference: largestMagnitude(first.map((value, i) => value - second[i]!)),
    largestLogit: largestMagnitude(first),
  };
}

async function logitsOf(runtime: Runtime, { config, tensors }: StoredModel): Promise<Float64Array> {
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const tokens = input("tokens", [1, config.context], "i32");
  const program = runtime.compile({ outputs: { logits: model.logits(model.hidden(tokens).hidden_NC) } });
  const values = new Map(tensors.map(({ name, data }) => [name, data]));
  for (const { name, tensor } of parameters.all) runtime.write(tensor, values.get(name)!);
  const draw = (i: number): number => random(0, randomStreams.sampling, i) % config.vocabulary;
  runtime.write(
    tokens,
    Int32Array.from({ length: config.context }, (_, i) => draw(i)),
  );
  program.run();
  const logits = Float64Array.from(await program.read("logits"));
  program.release();
  for (const { tensor } of parameters.all) runtime.forget(tensor);
  return logits;
}

const bytesOf = (tensors: readonly SavedTensor[]): number =>
  tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
