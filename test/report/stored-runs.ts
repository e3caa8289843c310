// Run folders with known records, written as a trainer would leave them: what reports are tested with.

import fs from "node:fs";
import path from "node:path";
import { defaultConnection } from "../../src/connections/table.ts";
import { type TrainingConfig, parseTrainingConfig } from "../../src/training/config.ts";
import type { GainRecord, MetricRecord } from "../../src/training/records.ts";

export interface StoredRun {
  readonly name: string;
  readonly kind: "residual" | "hc" | "mhc";
  readonly seed?: number;
  readonly steps?: number;
  readonly layers?: number;
  /** Only what the first versions wrote of gains: single and composite. */
  readonly oldGains?: boolean;
  readonly change?: (config: TrainingConfig) => unknown;
}

/** Write a run under a folder. */
export function storeRun(
  parent: string,
  { name, kind, seed = 1, steps = 200, layers = 4, oldGains = false, change = (config) => config }: StoredRun,
): string {
  const folder = path.join(parent, name);
  fs.mkdirSync(path.join(folder, "checkpoints", `step-${steps}`), { recursive: true });
  const config = change(storedConfig(name, kind, seed, steps, layers));
  const versions = { node: "24.0.0", kernels: "relaxed 8" };
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ config, versions }));
  const noise = random(seed);
  const level = { residual: 0, hc: -0.05, mhc: -0.08 }[kind];
  const metrics = Array.from({ length: steps }, (_, index): MetricRecord => {
    const step = index + 1;
    const loss = 2 + 4 * Math.exp(-step / (0.2 * steps)) + level * (step / steps) + 0.05 * (noise() - 0.5);
    return {
      step,
      loss,
      gradientNorm: 0.2 + 2 / (1 + step / 10) + (kind === "hc" ? 0.2 : 0.05) * noise(),
      learningRate: 2e-3,
      tokensPerSecond: 1000,
      seconds: step,
      ...(step % (steps / 10) === 0 ? { validationLoss: loss + 0.1, bitsPerByte: (loss + 0.1) / 2 } : {}),
    };
  });
  writeLines(folder, "metrics.jsonl", metrics);
  const gains = Array.from({ length: 11 }, (_, index) => gainRecord(kind, Math.max(1, index * (steps / 10)), layers));
  if (kind !== "residual")
    writeLines(
      folder,
      "gains.jsonl",
      oldGains ? gains.map(({ step, single, composite }) => ({ step, single, composite })) : gains,
    );
  fs.writeFileSync(path.join(folder, "samples.txt"), `step ${steps}, prompt "We"\n  We the people of ${name}\n\n`);
  return folder;
}

export function storedConfig(
  name: string,
  kind: StoredRun["kind"],
  seed: number,
  steps: number,
  layers: number,
): TrainingConfig {
  return parseTrainingConfig({
    name,
    seed,
    data: { source: "sotu", vocabulary: 1024 },
    model: {
      vocabulary: 1024,
      context: 128,
      width: 128,
      layers,
      heads: 4,
      kvHeads: 4,
      hidden: 384,
      connection: defaultConnection(kind),
    },
    batch: 16,
    steps,
    optimizer: { learningRate: 2e-3, warmup: Math.ceil(steps / 20), schedule: { kind: "step" } },
    evaluateEvery: Math.ceil(steps / 10),
    checkpointEvery: Math.ceil(steps / 5),
  });
}

export function writeLines(folder: string, name: string, records: readonly unknown[]): void {
  fs.writeFileSync(path.join(folder, name), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
}

/** Amax gains that grow with depth and step for HC, and stay at 1 for mHC. */
function gainRecord(kind: StoredRun["kind"], step: number, layers: number): GainRecord {
  const depth = 2 * layers;
  const free = kind === "hc";
  const list = (value: (index: number) => number): number[] =>
    Array.from({ length: depth }, (_, index) => value(index));
  const growth = (count: number): number => (free ? (1 + step / 400) ** count : 1 + 0.03 * Math.sin(count));
  const matrix = (index: number): number[] =>
    Array.from({ length: 16 }, (_, cell) => {
      const diagonal = cell % 5 === 0;
      const mixed = 0.05 + 0.02 * Math.sin(index + cell);
      return (diagonal ? 0.85 : mixed) * (free ? 1 + 0.02 * index : 1) - (free && cell % 3 === 0 ? 0.1 : 0);
    });
  return {
    step,
    single: { forward: list(() => (free ? 1 + step / 400 : 1)), backward: list((index) => growth(1) + 0.001 * index) },
    composite: { forward: list((index) => growth(index + 1)), backward: list((index) => growth(depth - index)) },
    mixing: Array.from({ length: depth }, (_, index) => matrix(index)),
    product: Array.from({ length: depth }, (_, index) => matrix(2 * index).map((value) => value * growth(index))),
    rowError: list(() => 1e-7),
    columnError: list((index) => 1e-4 * (index + 1)),
    smallestLogit: free ? list(() => 0).map(() => null) : list((index) => -2 - index - step / 100),
    largestLogit: free ? list(() => 0).map(() => null) : list((index) => 2 + index / 2),
    secondEigenvalue: list((index) => 0.9 - 0.02 * index),
    distance: list((index) => 1.7 * 0.9 ** index),
    read: Array.from({ length: depth }, () => [0.4, 0.3, 0.2, 0.1]),
    write: Array.from({ length: depth }, () => [1, 1, 0.9, 1.1]),
    streamCosine: list((index) => 0.99 - 0.05 * index),
    effectiveStreams: list((index) => 1 + 0.2 * index),
    dominantShare: list((index) => 0.25 + 0.03 * index),
  };
}

/** Numbers in [0, 1) that are the same in every run of the tests. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
