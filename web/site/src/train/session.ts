// Question: how do several models train side by side, from the same seed, on the same batches?
//
// They share a runtime and take their steps in turns. Nothing here knows a page or a worker. A session can be kept and
// gone on with: its trainers' states are all that decides the next step, so the losses go on bit by bit.
//
// mHC's projection can be taken away in mid-run. The model goes on with the residual map `unconstrained`, H = L, and so
// that nothing jumps at that moment, the bias of each layer's logits is replaced by what Sinkhorn-Knopp makes of it. From
// then on nothing keeps the matrices doubly stochastic.

import {
  type Batches,
  createBatches,
  createTrainer,
  type Document,
  prepareTexts,
  type PreparedTexts,
  type Runtime,
  samplingRandom,
  type SavedTensor,
  type Trainer,
  type TrainerState,
  type TrainingConfig,
  trainTokenizer,
} from "../../../../src/browser.ts";
import { largestComposite } from "../../../../src/stability/gains.ts";
import { project } from "../maths/mixers.ts";
import { type Choice, configOf, GAINS_EVERY, type ModelChoice, sizes, VOCABULARY } from "./choice.ts";

/** What one model did in a step. */
export interface ModelNews {
  readonly loss: number;
  readonly gradientNorm: number;
  /** At some steps: the largest composite gain in either direction, and H_res of every sublayer. */
  readonly gain?: number;
  readonly mixing?: readonly (readonly number[])[];
}

/** What a step did. */
export interface News {
  readonly step: number;
  readonly seconds: number;
  readonly tokens: number;
  readonly models: readonly ModelNews[];
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
  readonly step: number;
  /** All models' next step; the factor is on the learning rate. */
  train(rateFactor: number): Promise<News>;
  /** Take a model's projection away; nothing happens where it has none. */
  release(model: number): Promise<void>;
  /** What a model writes after a prompt. */
  write(model: number, prompt: string): Promise<string>;
  keep(): Promise<KeptSession>;
  close(): void;
}

/** Tokens that a sample has. */
const WRITTEN = 90;

/** So many characters are enough for a small vocabulary; more would only take longer. */
const LEARNED_FROM = 200_000;

/** Tokenise texts as a session needs them. */
export function prepare(documents: readonly Document[]): PreparedTexts {
  let length = 0;
  const first = documents.filter(({ text }) => (length += text.length) - text.length < LEARNED_FROM);
  const texts = first.map(({ text }) => text.slice(0, LEARNED_FROM));
  const tokenizer = trainTokenizer(texts, { vocabularySize: VOCABULARY });
  return prepareTexts(documents, { vocabularySize: VOCABULARY, tokenizer });
}

/** Whether a model has a projection that can be taken away. */
export const hasProjection = ({ kind, map }: ModelChoice): boolean => kind === "mhc" && map === "sinkhorn";

/** Begin a session, or go on with one. */
export function openSession(runtime: Runtime, choice: Choice, texts: PreparedTexts, kept?: KeptSession): Session {
  const { tokenizer, train, validation } = texts;
  const { batch, context } = sizes[choice.size];
  const batches: Batches = createBatches({
    train,
    validation,
    byteLengths: tokenizer.byteLengths,
    batchSize: batch,
    contextLength: context,
    seed: choice.seed,
  });
  const free = choice.models.map((_, index) => kept?.free[index] ?? false);
  const configs = choice.models.map((model) => configOf(choice, model, tokenizer.vocabularySize));
  const trainers = configs.map((config, index): Trainer => {
    const trainer = createTrainer(runtime, free[index] ? withoutProjection(config) : config, batches);
    const state = kept?.states[index];
    if (state) trainer.restore(state);
    return trainer;
  });
  return {
    parameters: trainers.map(({ parameterCount }) => parameterCount),
    free,
    get step() {
      return trainers[0]?.step ?? 0;
    },
    async train(rateFactor) {
      const began = performance.now();
      const step = (trainers[0]?.step ?? 0) + 1;
      const instruments = step === 1 || step % GAINS_EVERY === 0;
      const models: ModelNews[] = [];
      for (const trainer of trainers) {
        const { loss, gradientNorm, instruments: seen } = await trainer.trainStep({ rateFactor, instruments });
        if (!seen?.composite || !seen.single || !seen.mixing) models.push({ loss, gradientNorm });
        else {
          const { forward, backward } = largestComposite({ single: seen.single, composite: seen.composite });
          models.push({ loss, gradientNorm, gain: Math.max(forward, backward), mixing: seen.mixing });
        }
      }
      return { step, seconds: (performance.now() - began) / 1000, tokens: batch * context * trainers.length, models };
    },
    async release(index) {
      const [model, trainer, config] = [choice.models[index], trainers[index], configs[index]];
      if (!model || !trainer || !config || free[index] || !hasProjection(model)) return;
      const { model: tensors, ...rest } = await trainer.save();
      trainer.release();
      const next = createTrainer(runtime, withoutProjection(config), batches);
      next.restore({ ...rest, model: tensors.map((tensor) => released(tensor, model.streams)) });
      trainers[index] = next;
      free[index] = true;
    },
    async write(index, prompt) {
      const trainer = trainers[index];
      if (!trainer) return "";
      const random = samplingRandom(choice.seed);
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

/** A parameter after its projection is taken away: only the logits of H_res change, the last n² of a bias. */
function released(tensor: SavedTensor, n: number): SavedTensor {
  if (!tensor.name.endsWith(".connection.bias")) return tensor;
  const data = tensor.data.slice();
  const at = data.length - n * n;
  data.set(project(Float64Array.from(data.subarray(at)), n, 20), at);
  return { ...tensor, data };
}
