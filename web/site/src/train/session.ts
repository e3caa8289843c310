// Question: how do several models train side by side, from the same seed, on the same batches?
//
// They share a runtime and take their steps in turns. Nothing here knows a page or a worker. A session can be kept and
// gone on with: its trainers' states are all that decides the next step, so the losses go on bit by bit.
//
// mHC's projection can be turned off in mid-run. The model goes on with the residual map `unconstrained`, H = L, and so
// that it starts from where it was, the bias of each layer's logits is replaced by what Sinkhorn-Knopp makes of it. What
// the token adds to the logits is then added to the matrix itself: nothing keeps it doubly stochastic any more. It can be
// turned on again: then the logarithms of the bias, of what is above zero in it, are the logits' bias.

import {
  type Batches,
  createBatches,
  createTrainer,
  type Document,
  isMixed,
  prepareTexts,
  type PreparedTexts,
  type Runtime,
  samplingRandom,
  type SavedTensor,
  type Tokenizer,
  type Trainer,
  type TrainerState,
  type TrainingConfig,
  trainTokenizer,
} from "../../../../src/browser.ts";
import { mapsOf } from "../../../../src/connections/table.ts";
import { type Instruments, rounded } from "../../../../src/stability/instruments.ts";
import { project } from "../maths/mixers.ts";
import { GAINS_EVERY, VOCABULARY } from "./choice.ts";

/** What one model did in a step. */
export interface ModelNews {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly seconds: number;
  /** At some steps: what the instruments saw, gains and matrices among it. */
  readonly instruments?: Instruments;
}

/** What a step did. */
export interface News {
  readonly step: number;
  /** Of all models together. */
  readonly seconds: number;
  readonly tokens: number;
  readonly models: readonly ModelNews[];
}

/** Where the projection of a model was turned off or on: after this step. */
export interface Switch {
  readonly step: number;
  readonly model: number;
  readonly on: boolean;
}

/** A session as it is kept. */
export interface KeptSession {
  /** Which models go on without projection. */
  readonly free: readonly boolean[];
  readonly states: readonly TrainerState[];
}

export interface Session {
  readonly parameters: readonly number[];
  readonly free: readonly boolean[];
  /** As they train now, without projection where it was taken away. */
  readonly configs: readonly TrainingConfig[];
  readonly step: number;
  /** All models' next step; the factor is on the learning rate. */
  train(rateFactor: number): Promise<News>;
  /** Turn a model's projection off or on; false where it has none, or is so already. */
  setProjection(model: number, on: boolean): Promise<boolean>;
  /** What a model writes after a prompt. */
  write(model: number, prompt: string): Promise<string>;
  keep(): Promise<KeptSession>;
  close(): void;
}

/** Tokens that a sample has. */
const WRITTEN = 90;

/** So many characters are enough for a small vocabulary; more would only take longer. */
const LEARNED_FROM = 200_000;

/** Tokenise texts as a session needs them; with the tokenizer of an opened run, or one that is made of the text. */
export function prepare(documents: readonly Document[], given?: Tokenizer): PreparedTexts {
  let length = 0;
  const first = documents.filter(({ text }) => (length += text.length) - text.length < LEARNED_FROM);
  const texts = first.map(({ text }) => text.slice(0, LEARNED_FROM));
  const tokenizer = given ?? trainTokenizer(texts, { vocabularySize: VOCABULARY });
  return prepareTexts(documents, { vocabularySize: VOCABULARY, tokenizer });
}

/** How many streams the matrices mix that a projection can be taken from; undefined where there is none. */
function projectedStreams({ model: { connection } }: TrainingConfig): number | undefined {
  if (isMixed(connection) || connection.kind !== "mhc") return undefined;
  const { residualMap = "sinkhorn", active, streams } = connection;
  return mapsOf(connection).res && active === undefined && residualMap === "sinkhorn" ? streams : undefined;
}

/** Whether a model has a projection that can be taken away. */
export const hasProjection = (config: TrainingConfig): boolean => projectedStreams(config) !== undefined;

/** What is too short says so in the page's words: the library's name options of the command line. */
function mustBeLong(texts: PreparedTexts, context: number): void {
  const tokens = Math.min(texts.train.length, texts.validation.length);
  if (tokens > context) return;
  throw new Error(
    `This text is too short, or repeats itself too much: a part of it makes ${tokens} tokens, and these models read ` +
      `${context + 1} at a time. Choose another text, or a longer one.`,
  );
}

/**
 * Begin a session, or go on with one.
 *
 * @throws Error where the text has too few tokens
 */
export function openSession(
  runtime: Runtime,
  given: readonly TrainingConfig[],
  texts: PreparedTexts,
  kept?: KeptSession,
): Session {
  const { tokenizer, train, validation } = texts;
  mustBeLong(texts, Math.max(...given.map(({ model: { context } }) => context)));
  const free = given.map((_, index) => kept?.free[index] ?? false);
  const configs = given.map((config, index) => (free[index] ? withoutProjection(config) : config));
  const batches = given.map(({ batch, seed, model: { context } }): Batches =>
    createBatches({
      train,
      validation,
      byteLengths: tokenizer.byteLengths,
      batchSize: batch,
      contextLength: context,
      seed,
    }),
  );
  const trainers = configs.map((config, index): Trainer => {
    const trainer = createTrainer(runtime, config, batches[index]!);
    const state = kept?.states[index];
    if (state) trainer.restore(state);
    return trainer;
  });
  return {
    parameters: trainers.map(({ parameterCount }) => parameterCount),
    free,
    configs,
    get step() {
      return trainers[0]?.step ?? 0;
    },
    async train(rateFactor) {
      const began = performance.now();
      const step = (trainers[0]?.step ?? 0) + 1;
      const looks = step === 1 || step % (given[0]?.gainsEvery ?? GAINS_EVERY) === 0;
      const models: ModelNews[] = [];
      let tokens = 0;
      for (const trainer of trainers) {
        const { instruments, ...done } = await trainer.trainStep({ rateFactor, instruments: looks });
        const { loss, gradientNorm, learningRate, seconds } = done;
        tokens += done.tokens;
        models.push({
          loss,
          gradientNorm,
          learningRate,
          seconds,
          ...(instruments && { instruments: rounded(instruments) }),
        });
      }
      return { step, seconds: (performance.now() - began) / 1000, tokens, models };
    },
    async setProjection(index, on) {
      const [trainer, config] = [trainers[index], given[index]];
      const streams = config && projectedStreams(config);
      if (!trainer || !config || streams === undefined || free[index] === !on) return false;
      const { model: tensors, ...rest } = await trainer.save();
      trainer.release();
      configs[index] = on ? config : withoutProjection(config);
      const next = createTrainer(runtime, configs[index], batches[index]!);
      next.restore({ ...rest, model: tensors.map((tensor) => withBias(tensor, streams, on ? logarithms : projected)) });
      trainers[index] = next;
      free[index] = !on;
      return true;
    },
    async write(index, prompt) {
      const trainer = trainers[index];
      if (!trainer) return "";
      const random = samplingRandom(given[index]?.seed ?? 0);
      const decoder = tokenizer.createStreamDecoder();
      let text = "";
      const options = { maxTokens: WRITTEN, temperature: 0.8, random };
      for await (const token of trainer.generate([...tokenizer.encode(prompt)], options)) text += decoder.push(token);
      return text + decoder.end();
    },
    keep: async () => ({ free: [...free], states: await Promise.all(trainers.map((trainer) => trainer.save())) }),
    close() {
      for (const trainer of trainers) trainer.release();
    },
  };
}

const withoutProjection = (config: TrainingConfig): TrainingConfig => ({
  ...config,
  model: { ...config.model, connection: { ...config.model.connection, residualMap: "unconstrained" } as never },
});

/** Entries below this have the same logit; an exact zero would have none. */
const SMALLEST = 1e-3;
const projected = (bias: Float64Array, n: number): Float64Array => project(bias, n, 20);
const logarithms = (bias: Float64Array): Float64Array => bias.map((value) => Math.log(Math.max(value, SMALLEST)));

/** A parameter with another bias of the logits of H_res, the last n² of its biases; all other parameters stay. */
function withBias(
  tensor: SavedTensor,
  n: number,
  change: (bias: Float64Array, n: number) => Float64Array,
): SavedTensor {
  if (!tensor.name.endsWith(".connection.bias")) return tensor;
  const data = tensor.data.slice();
  const at = data.length - n * n;
  data.set(change(Float64Array.from(data.subarray(at)), n), at);
  return { ...tensor, data };
}
