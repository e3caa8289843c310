// A small sweep's summary: two connections at two depths, one seed of one of them diverged.

import { given } from "../../src/basics/given.ts";
import { analyseSweep, type SweepResult } from "../../src/runs/sweep/analysis.ts";
import type { SweepSummary } from "../../src/runs/sweep/folder.ts";

const result = (layers: number, connection: string, learningRate: number, bitsPerByte?: number): SweepResult => ({
  name: `layers=${layers},connection=${connection},learningRate=${learningRate}`,
  values: {},
  group: { "model.layers": layers, connection },
  learningRate,
  seed: 1,
  diverged: bitsPerByte === undefined,
  steps: 10,
  ...given({ bitsPerByte }),
  lossSpikes: 0,
  gradientExcursions: 0,
  largestGradientNorm: 1,
  seconds: 1,
});

const results = [
  result(4, "hc", 0.003, 2.5),
  result(4, "hc", 0.01, 2.6),
  result(4, "mhc", 0.003, 2.4),
  result(4, "mhc", 0.01, 2.3),
  result(24, "hc", 0.003, 2.2),
  result(24, "hc", 0.01),
  result(24, "mhc", 0.003, 2.1),
  { ...result(24, "mhc", 0.003, 2.2), seed: 2 },
];

export const summary: SweepSummary = {
  name: "example",
  points: 8,
  ended: 7,
  axes: { "model.layers": [4, 24], connection: ["hc", "mhc"], learningRate: [0.003, 0.01] },
  definitions: {
    spike: { deviations: 6, nats: 0.1 },
    gradient: { factor: 5 },
    chanceNats: 0.1,
    toleranceBits: 0.05,
  },
  groups: analyseSweep(results),
};
