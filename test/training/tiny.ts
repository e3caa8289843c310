// Question: what is the smallest training run that has everything?

import { createBatches, type Batches } from "../../src/data/batches.ts";
import { random } from "../../src/data/random.ts";
import type { TokenSource } from "../../src/data/tokens.ts";
import { type ConnectionKind, defaultConnection } from "../../src/connections/table.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";

export const tinySize = {
  vocabulary: 19,
  context: 12,
  width: 16,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  hidden: 24,
} as const;

export type Changes = Partial<Omit<TrainingConfig, "model" | "optimizer">> & {
  readonly model?: Partial<ModelConfig>;
  readonly optimizer?: Partial<TrainingConfig["optimizer"]>;
};

export function tinyTraining(kind: ConnectionKind, { model, optimizer, ...changes }: Changes = {}): TrainingConfig {
  return parseTrainingConfig({
    name: "tiny",
    seed: 5,
    data: { source: "made up", vocabulary: tinySize.vocabulary, splitSeed: 0 },
    model: { ...tinySize, connection: defaultConnection(kind), ...model },
    batch: 4,
    steps: 12,
    optimizer: { learningRate: 5e-3, warmup: 3, schedule: { kind: "constant" }, ...optimizer },
    evaluateEvery: 4,
    evaluateBatches: 2,
    checkpointEvery: 4,
    gainsEvery: 4,
    ...changes,
  });
}

/** Every layer has a mixture of four experts. */
export const mixture: Changes = {
  model: {
    feedForward: {
      kind: "moe",
      experts: 4,
      active: 2,
      shared: 1,
      hidden: 8,
      denseLayers: 0,
      balanceRate: 0.01,
      balanceLoss: 0.01,
    },
  },
};

/** A language that can be learned: every token is decided by the one before it, but for one in eight. */
export function madeUpTokens(length: number, seed: number): TokenSource {
  const { vocabulary } = tinySize;
  const tokens = new Int32Array(length);
  for (let i = 0; i < length; i++) {
    const draw = random(seed, 9, i);
    tokens[i] = draw % 8 === 0 ? (draw >>> 8) % vocabulary : (5 * (tokens[i - 1] ?? 0) + 1) % vocabulary;
  }
  return {
    length,
    vocabularySize: vocabulary,
    bytes: 2 * length,
    read: (offset, count, into, at = 0) => into.set(tokens.subarray(offset, offset + count), at),
  };
}

export function tinyBatches({ batch, seed, model, evaluateBatches }: TrainingConfig): Batches {
  return createBatches({
    train: madeUpTokens(3000, 1),
    validation: madeUpTokens(500, 2),
    byteLengths: Array(tinySize.vocabulary).fill(2),
    batchSize: batch,
    contextLength: model.context,
    seed,
    validationLimit: evaluateBatches,
  });
}
