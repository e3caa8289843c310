// Question: which models does the exchange with Hugging Face have to carry, and how is a run made of one without training?

import path from "node:path";
import { writeTokenizer } from "../../src/data/tokenizer-file.ts";
import { random } from "../../src/data/random.ts";
import { type Tokenizer, trainTokenizer } from "../../src/data/tokenizer.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import type { SavedTensor } from "../../src/training/state.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createRunFolder } from "../../src/runs/run-folder.ts";
import { smallText } from "../e2e/cli.ts";

export const tokenizer: Tokenizer = trainTokenizer([smallText(500)], { vocabularySize: 270 });

const size = {
  vocabulary: tokenizer.vocabularySize,
  context: 10,
  width: 16,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  hidden: 24,
};
const attention = { kind: "mla", rank: 12, rotarySize: 6, contentSize: 5, valueSize: 7 };
const feedForward = { kind: "moe", experts: 5, active: 2, shared: 2, hidden: 9, denseLayers: 1 };
const latent = { heads: 3, kvHeads: 3, attention };
const mhc = { kind: "mhc", streams: 3, iterations: 8 };

const modelOf = (changes: object): ModelConfig =>
  modelSchema.parse({ ...size, connection: { kind: "residual" }, ...changes });

/** Every kind of model that has a name there, and what config.json calls it. */
export const models: Readonly<Record<string, { readonly model: ModelConfig; readonly type: string }>> = {
  "plain attention": { model: modelOf({ kvHeads: 4, ropeTheta: 500 }), type: "llama" },
  "grouped queries": { model: modelOf({}), type: "llama" },
  "latent attention": { model: modelOf(latent), type: "deepseek_v3" },
  "experts and low-rank queries": {
    model: modelOf({
      ...latent,
      layers: 3,
      attention: { ...attention, queryRank: 8 },
      feedForward: { ...feedForward, scale: 1.5 },
    }),
    type: "deepseek_v3",
  },
  "experts, none shared": {
    model: modelOf({ ...latent, feedForward: { ...feedForward, shared: 0 } }),
    type: "deepseek_v3",
  },
  "one active expert": {
    model: modelOf({ ...latent, feedForward: { ...feedForward, active: 1 } }),
    type: "deepseek_v3",
  },
  "one active expert, as others normalise it": {
    model: modelOf({ ...latent, feedForward: { ...feedForward, active: 1, normalise: true } }),
    type: "deepseek_v3",
  },
  "experts whose weights are not normalised": {
    model: modelOf({ ...latent, feedForward: { ...feedForward, normalise: false, scale: 1.5 } }),
    type: "deepseek_v3",
  },
  mHC: { model: modelOf({ connection: mhc }), type: "birkhoff_mhc" },
  "mHC, the sum at the end": {
    model: modelOf({ connection: { ...mhc, collapse: "sum" } }),
    type: "birkhoff_mhc",
  },
  "mHC with a learned end": {
    model: modelOf({ connection: { ...mhc, streams: 2, collapse: "learned" } }),
    type: "birkhoff_mhc",
  },
  "mHC as DeepSeek V4": {
    model: modelOf({ connection: { ...mhc, convention: "deepseek-v4", collapse: "learned" } }),
    type: "birkhoff_mhc",
  },
  "mHC with experts": { model: modelOf({ ...latent, feedForward, connection: mhc }), type: "birkhoff_mhc" },
  "mHC, streams in bfloat16": {
    model: modelOf({ connection: { ...mhc, streamPrecision: "bfloat16" } }),
    type: "birkhoff_mhc",
  },
  HC: { model: modelOf({ connection: { kind: "hc", streams: 3 } }), type: "birkhoff_hc" },
  "HC without tanh": {
    model: modelOf({ connection: { kind: "hc", streams: 2, tanh: false, collapse: "mean" } }),
    type: "birkhoff_hc",
  },
  "static HC": {
    model: modelOf({ connection: { kind: "hc", streams: 3, dynamic: false } }),
    type: "birkhoff_hc",
  },
};

/** Weights as after much training: every part of the model, also what starts at zero or one, does something. */
export function trainedWeights(model: ModelConfig): SavedTensor[] {
  const parameters = createParameters();
  languageModel(model, parameters);
  const scales = { weight: 8, embedding: 8, norm: 1, connection: 1, balance: 1 };
  const noise = { weight: 0, embedding: 0, norm: 0.3, connection: 0.3, balance: 0.1 };
  return parameters.all.map((parameter, index) => {
    const { name, role, tensor } = parameter;
    const data = initialValues(parameter, 7);
    const drawn = (i: number): number => 2 * (random(index, 5, i) / 2 ** 32) - 1;
    return { name, shape: tensor.shape, data: data.map((value, i) => scales[role] * value + noise[role] * drawn(i)) };
  });
}

export function trainingOf(model: ModelConfig): TrainingConfig {
  return parseTrainingConfig({
    name: "made",
    data: { source: "text.txt", vocabulary: model.vocabulary },
    model,
    batch: 2,
    steps: 4,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 4,
    checkpointEvery: 4,
  });
}

/** A run at step 3 with these weights. */
export function makeRun(folder: string, model: ModelConfig, tensors: readonly SavedTensor[]): void {
  const run = createRunFolder(folder, trainingOf(model));
  writeTokenizer(path.join(folder, "tokenizer.json"), tokenizer);
  run.saveCheckpoint({ step: 3, model: tensors, optimizer: [], state: { seed: 1 } });
  run.close();
}

/** Two sequences of tokens. */
export function someTokens({ vocabulary, context }: ModelConfig): number[][] {
  return [0, 1].map((row) => Array.from({ length: context }, (_, i) => random(row, 6, i) % vocabulary));
}

/** The logits of a model, [tokens, V]. */
export function logitsOf(
  runtime: SynchronousRuntime,
  model: ModelConfig,
  tensors: readonly SavedTensor[],
): Float64Array {
  const parameters = createParameters();
  const built = languageModel(model, parameters);
  const tokens = input("tokens", [2, model.context], "i32");
  const program = runtime.compile({ outputs: { logits: built.logits(built.hidden(tokens).hidden_NC) } });
  const values = new Map(tensors.map(({ name, data }) => [name, data]));
  for (const { name, tensor } of parameters.all) runtime.write(tensor, values.get(name)!);
  runtime.write(tokens, Int32Array.from(someTokens(model).flat()));
  program.run();
  return Float64Array.from(program.readNow("logits"));
}
