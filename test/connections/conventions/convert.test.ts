// Converters between conventions: the laws under fast-check, the measured differences, the refusals.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Conversion,
  conversion,
  conversionDifference,
  ConversionError,
  endingDifference,
} from "../../../src/connections/conventions/convert.ts";
import type { ConnectionWeights, Probe } from "../../../src/connections/conventions/evaluate.ts";
import {
  type ConventionName,
  conventionNames,
  type MhcConventionName,
} from "../../../src/connections/conventions/table.ts";
import { normal, uniform } from "../../ops/harness.ts";

const CHANNELS = 6;

function normals(random: () => number, shape: readonly number[], deviation: number) {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float32Array.from({ length: size }, () => deviation * normal(random)) };
}

/** Weights whose logits have about this deviation. */
function weightsOf(n: number, seed: number, deviation = 1): ConnectionWeights {
  const random = uniform(seed);
  const M = n * n + 2 * n;
  return {
    phi: normals(random, [M, n * CHANNELS], deviation / Math.sqrt(n * CHANNELS)),
    alpha: { shape: [3], data: Float32Array.of(0.7, -0.4, 0.5) },
    bias: normals(random, [M], deviation),
  };
}

function endOfStreams(n: number, seed: number): ConnectionWeights {
  const random = uniform(seed);
  return {
    phi: normals(random, [n, n * CHANNELS], 0.2),
    alpha: normals(random, [1], 1),
    bias: normals(random, [n], 1),
  };
}

function probeOf(n: number, seed: number): Probe {
  const random = uniform(seed);
  const draw = (length: number): Float64Array => Float64Array.from({ length }, () => normal(random));
  const tokens = 16;
  return { tokens, streams: n, channels: CHANNELS, x: draw(tokens * n * CHANNELS), y: draw(tokens * CHANNELS) };
}

/** All pairs that can be converted. */
const pairs: [ConventionName, ConventionName, Conversion][] = conventionNames.flatMap((from) =>
  conventionNames.flatMap((to): [ConventionName, ConventionName, Conversion][] => {
    try {
      return [[from, to, conversion(from, to)]];
    } catch {
      return [];
    }
  }),
);
const manifolds = pairs.filter(([from]) => !from.startsWith("hc")) as [
  MhcConventionName,
  MhcConventionName,
  Conversion,
][];

test("which conventions convert into which", () => {
  const listed = pairs
    .filter(([from, to]) => from !== to)
    .map(([from, to, { agreement }]) => `${from} ${to} ${agreement}`);
  expect(listed).toEqual([
    "paper deepseek-v4 epsilons",
    "paper liger limit",
    "paper megatron limit",
    "deepseek-v4 paper epsilons",
    "deepseek-v4 liger limit",
    "deepseek-v4 megatron limit",
    "liger paper limit",
    "liger deepseek-v4 limit",
    "liger megatron epsilons",
    "megatron paper limit",
    "megatron deepseek-v4 limit",
    "megatron liger epsilons",
    "hc-static hc-dynamic same",
    "hc-static hc-dynamic-no-tanh same",
    "hc-dynamic hc-static same",
    "hc-dynamic hc-dynamic-no-tanh same",
    "hc-dynamic-no-tanh hc-static same",
    "hc-dynamic-no-tanh hc-dynamic same",
  ]);
});

describe.each(manifolds)("%s to %s", (from, to, there) => {
  const back = conversion(to, from);
  test("there and back is the identity", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer(), (n, seed) => {
        const weights = weightsOf(n, seed);
        expect(back.sublayer(there.sublayer(weights))).toEqual(weights);
      }),
      { numRuns: 30 },
    );
  });
  test("the end, there and back, where it can be kept", () => {
    const sizes = { streams: 3, channels: CHANNELS };
    for (const end of [undefined, endOfStreams(3, 5)]) {
      if (end === undefined && from === "deepseek-v4") continue;
      if (end !== undefined && (to === "megatron" || from === "megatron")) continue;
      expect(back.ending(there.ending(end, sizes), sizes)).toEqual(end);
    }
  });
  test("the functions differ by no more than is said", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer(), (n, seed) => {
        const weights = weightsOf(n, seed, 0.5);
        const difference = conversionDifference(
          { convention: from, weights },
          { convention: to, weights: there.sublayer(weights) },
          probeOf(n, seed + 1),
        );
        // Logits of deviation 0.6: 20 iterations leave next to nothing undone.
        const most = there.agreement === "same" ? 0 : there.agreement === "epsilons" ? 1e-5 : 2e-3;
        expect(difference.coefficients).toBeLessThanOrEqual(most);
        expect(difference.output).toBeLessThanOrEqual(10 * most);
      }),
      { numRuns: 30, seed: 1 },
    );
  });
});

test("paper and deepseek-v4: less than 1e-5 apart, but 0.1 and more if nothing is transposed", () => {
  const weights = weightsOf(4, 3);
  const probe = probeOf(4, 4);
  const before = { convention: "paper", weights } as const;
  const right = conversionDifference(
    before,
    { convention: "deepseek-v4", weights: conversion("paper", "deepseek-v4").sublayer(weights) },
    probe,
  );
  const wrong = conversionDifference(before, { convention: "deepseek-v4", weights }, probe);
  expect(right.coefficients).toBeGreaterThan(1e-7);
  expect(right.coefficients).toBeLessThan(1e-5);
  expect(right.output).toBeLessThan(3e-5);
  expect(wrong.coefficients).toBeGreaterThan(0.1);
});

test("conventions that meet in the limit are apart for large logits", () => {
  const weights = weightsOf(4, 3, 6);
  const after = { convention: "liger", weights } as const;
  const { coefficients } = conversionDifference({ convention: "paper", weights }, after, probeOf(4, 4));
  expect(coefficients).toBeGreaterThan(1e-3);
  const long = conversionDifference(
    { convention: "paper", weights: weightsOf(4, 3) },
    { convention: "liger", weights: weightsOf(4, 3) },
    probeOf(4, 4),
    400,
  );
  expect(long.coefficients).toBeLessThan(1e-5);
});

test("a mean becomes a learned end that reads the mean, and comes back as none", () => {
  const sizes = { streams: 4, channels: CHANNELS };
  const learned = conversion("paper", "deepseek-v4").ending(undefined, sizes)!;
  const difference = endingDifference(
    { convention: "paper", weights: undefined },
    { convention: "deepseek-v4", weights: learned },
    probeOf(4, 9),
  );
  expect(difference).toBeLessThan(1e-7);
  expect(conversion("deepseek-v4", "paper").ending(learned, sizes)).toBeUndefined();
  expect(conversion("deepseek-v4", "megatron").ending(learned, sizes)).toBeUndefined();
  // Where φ is zero, α has nothing to scale, wherever training has moved it.
  const moved = { ...learned, alpha: { shape: [1], data: Float32Array.of(0.37) } };
  expect(conversion("deepseek-v4", "megatron").ending(moved, sizes)).toBeUndefined();
});

describe("refused, with the reason", () => {
  test.each([
    ["deepseek-v4.1", "paper", /reads with those that the previous sublayer computed/],
    ["paper", "deepseek-v4.1", /reads with its own/],
    ["hc-dynamic", "paper", /H_res unbounded/],
    ["paper", "hc-static", /doubly stochastic/],
  ] as const)("%s to %s", (from, to, reason) => {
    expect(() => conversion(from, to)).toThrow(ConversionError);
    expect(() => conversion(from, to)).toThrow(reason);
  });
  test("a learned end for a mean", () => {
    expect(() =>
      conversion("deepseek-v4", "megatron").ending(endOfStreams(4, 1), { streams: 4, channels: CHANNELS }),
    ).toThrow(/learned end of deepseek-v4 cannot be written in megatron/);
  });
  test("a moving HC for another form of HC", () => {
    const n = 3;
    const random = uniform(4);
    const weights = {
      theta: normals(random, [n + 2, CHANNELS], 1),
      alpha: normals(random, [3], 1),
      bias: normals(random, [n * n + 2 * n], 1),
    };
    expect(() => conversion("hc-dynamic", "hc-static").sublayer(weights)).toThrow(/depend on the token/);
    expect(() => conversion("hc-dynamic", "hc-dynamic-no-tanh").sublayer(weights)).toThrow(/tanh bends/);
    const still = { ...weights, theta: { shape: weights.theta.shape, data: new Float32Array(5 * CHANNELS) } };
    const fixed = conversion("hc-dynamic", "hc-static").sublayer(still);
    expect(fixed).toEqual({ bias: weights.bias });
    const moving = conversion("hc-static", "hc-dynamic").sublayer(fixed, { channels: CHANNELS });
    const before = { convention: "hc-dynamic", weights: still } as const;
    for (const after of [
      { convention: "hc-static", weights: fixed },
      { convention: "hc-dynamic", weights: moving },
    ] as const) {
      expect(conversionDifference(before, after, probeOf(n, 2))).toEqual({ coefficients: 0, output: 0 });
    }
  });
  test("tensors that are not mHC's", () => {
    expect(() =>
      conversion("paper", "deepseek-v4").sublayer({ ...weightsOf(2, 1), theta: normals(uniform(1), [4, 6], 1) }),
    ).toThrow(/"theta"/);
  });
});
