// The lint on healthy connections, which it must leave in peace, and on each mistake it is made for.

import { describe, expect, test } from "vitest";
import type { ConnectionWeights } from "../../src/connections/conventions/evaluate.ts";
import { conversion } from "../../src/connections/conventions/convert.ts";
import { mhcConventionNames, type MhcConventionName } from "../../src/connections/conventions/table.ts";
import { identityMatrix, mhcBias } from "../../src/connections/initialisation.ts";
import { roundToBfloat16 } from "../../src/ops/bfloat16.ts";
import { sinkhornResult } from "../../src/ops/sinkhorn.ts";
import { lintConnections } from "../../src/study/lint.ts";
import type { LintCheck, LintConnection, LintInput, RecordedMaps } from "../../src/study/lint-check.ts";
import { type Layout, misplaced, resLayouts } from "../../src/study/lint-reference.ts";
import { randomProbe } from "../../src/interop/probes.ts";
import { normal, uniform } from "../ops/harness.ts";

const CHANNELS = 8;

/** Sublayers a little way into training, in the paper's layout: the default start with noise on everything. */
function trained(n = 4, depth = 12, noise = 0.15): LintConnection[] {
  const random = uniform(11);
  const M = n * n + 2 * n;
  const draw = (length: number, deviation: number): Float32Array =>
    Float32Array.from({ length }, () => deviation * normal(random));
  return Array.from({ length: depth }, (_, index) => {
    const start = mhcBias(n, index);
    return {
      name: `layers.${index >> 1}.${index % 2 === 0 ? "attention" : "feedForward"}.connection`,
      convention: "paper",
      weights: {
        phi: { shape: [M, n * CHANNELS], data: draw(M * n * CHANNELS, 0.1) },
        alpha: { shape: [3], data: Float32Array.of(0.05, 0.1, 0.2) },
        bias: { shape: [M], data: draw(M, noise).map((value, m) => value + start[m]!) },
      },
      dtypes: { phi: "F32", alpha: "F32", bias: "F32" },
    };
  });
}

const lint = (sublayers: readonly LintConnection[], more: Partial<LintInput> = {}): LintCheck[] =>
  lintConnections({ sublayers, probe: (streams, channels) => randomProbe({ tokens: 16, streams, channels }), ...more });

const named = (checks: readonly LintCheck[], name: string): LintCheck => checks.find((check) => check.name === name)!;
const changed = (
  sublayers: readonly LintConnection[],
  change: (weights: ConnectionWeights, index: number) => ConnectionWeights,
): LintConnection[] => sublayers.map((each, index) => ({ ...each, weights: change(each.weights, index) }));
const withBias = (weights: ConnectionWeights, change: (bias: number[], n: number) => number[]): ConnectionWeights => ({
  ...weights,
  bias: { shape: weights.bias!.shape, data: Float32Array.from(change(Array.from(weights.bias!.data), 4)) },
});
const bad = (checks: readonly LintCheck[]): string[] =>
  checks.filter(({ verdict }) => verdict === "error" || verdict === "warning").map(({ name }) => name);

describe("healthy connections raise no alarm", () => {
  test.each([1, 2, 3, 4, 8])("%i streams", (n) => {
    const checks = lint(trained(n));
    expect(bad(checks)).toEqual([]);
    expect(checks.some(({ name }) => name === "orientation")).toBe(n > 1);
    expect(checks.map(({ measured }) => measured).join()).not.toMatch(/NaN (on|standard)/);
  });
  test.each(mhcConventionNames)("in %s", (convention: MhcConventionName) => {
    const from = convention === "deepseek-v4.1" ? "deepseek-v4.1" : "paper";
    const { sublayer } = conversion(from, convention);
    const checks = lint(trained().map((each) => ({ ...each, convention, weights: sublayer(each.weights) })));
    expect(bad(checks)).toEqual([]);
    expect(named(checks, "slices").verdict).toBe("good");
  });
  test("at the very start, also with b = 0", () => {
    expect(bad(lint(trained(4, 12, 0)))).toEqual([]);
    const zero = changed(trained(), (weights) => withBias(weights, (bias) => bias.map(() => 0)));
    const checks = lint(zero);
    expect(bad(checks)).toEqual([]);
    expect(named(checks, "slices").verdict).toBe("undecided");
  });
  test("HC is looked at as far as it goes", () => {
    const n = 3;
    const weights = {
      theta: { shape: [n + 2, CHANNELS], data: new Float32Array((n + 2) * CHANNELS) },
      alpha: { shape: [3], data: Float32Array.of(0.01, 0.01, 0.01) },
      bias: { shape: [n * n + 2 * n], data: new Float32Array(n * n + 2 * n) },
    };
    const [one] = trained();
    const checks = lint([{ ...one!, convention: "hc-dynamic", weights }]);
    expect(checks.map(({ name, verdict }) => `${name} ${verdict}`)).toEqual([
      "shapes good",
      "finite good",
      "precision good",
    ]);
  });
  test("a negative α is a note, for it is the same function", () => {
    const negative = changed(trained(), (weights) => ({
      ...weights,
      alpha: { shape: [3], data: Float32Array.of(0.1, -0.1, 0.1) },
    }));
    const checks = lint(negative);
    expect(bad(checks)).toEqual([]);
    expect(named(checks, "alpha").verdict).toBe("note");
  });
});

describe("shapes and values", () => {
  test("a φ that lies the other way", () => {
    const lying = changed(trained(), (weights, index) =>
      index === 3 ? { ...weights, phi: { shape: weights.phi!.shape.toReversed(), data: weights.phi!.data } } : weights,
    );
    const check = named(lint(lying), "shapes");
    expect(check).toMatchObject({ verdict: "error", where: ["layers.1.feedForward.connection"] });
    expect(check.measured).toContain("phi [32, 24]");
    expect(check.measured).toContain("phi must be [24, 4·C]");
  });
  test("NaN, with its place; the others are checked all the same", () => {
    const broken = changed(trained(), (weights, index) =>
      index === 5 ? withBias(weights, (bias) => bias.map((value, m) => (m === 9 ? NaN : value))) : weights,
    );
    const checks = lint(broken);
    expect(named(checks, "finite")).toMatchObject({ verdict: "error", where: ["layers.2.feedForward.connection"] });
    expect(named(checks, "finite").measured).toContain("layers.2.feedForward.connection.bias holds NaN at 9");
    expect(named(checks, "slices").measured).toContain("11 sublayers");
  });
  test("16 bits", () => {
    const half = trained().map((each, index) =>
      index < 2 ? { ...each, dtypes: { ...each.dtypes, phi: "BF16" } } : each,
    );
    expect(named(lint(half), "precision")).toMatchObject({ verdict: "warning", where: { length: 2 } });
  });
  test("a learned end of other streams", () => {
    const [one] = trained();
    const end: LintConnection = {
      ...one!,
      name: "ending",
      weights: {
        phi: { shape: [3, 4 * CHANNELS], data: new Float32Array(3 * 4 * CHANNELS) },
        alpha: { shape: [1], data: Float32Array.of(1) },
        bias: { shape: [3], data: new Float32Array(3) },
      },
    };
    expect(named(lint(trained(), { endings: [end] }), "shapes")).toMatchObject({ verdict: "error", where: ["ending"] });
  });
});

describe("slices", () => {
  test.each([
    ["sliced pre | res | post", "pre | res | post"],
    ["sliced res | pre | post", "res | pre | post"],
  ] as const)("%s is found without another file", (layout, says) => {
    const check = named(lint(changed(trained(), (weights) => misplaced(layout, weights))), "slices");
    expect(check.verdict).toBe("error");
    expect(check.where).toHaveLength(12);
    expect(check.remedy).toContain(says);
    expect(check.measured).toMatch(/[34]\.\d\d if it is the/);
  });
  test("one odd sublayer is no wrong layout", () => {
    const odd = changed(trained(), (weights, index) =>
      index === 0 ? misplaced("sliced pre | res | post", weights) : weights,
    );
    expect(named(lint(odd), "slices").verdict).toBe("good");
  });
});

describe("saturated, silent, not stochastic", () => {
  const diagonal = (value: number) => (weights: ConnectionWeights) =>
    withBias(weights, (bias, n) => [...bias.slice(0, 2 * n), ...identityMatrix(n, value)]);

  test.each([
    [9, "warning"],
    [40, "error"],
  ] as const)("a diagonal of %i", (value, verdict) => {
    const check = named(lint(changed(trained(), diagonal(value))), "saturated");
    expect(check.verdict).toBe(verdict);
    expect(check.where).toHaveLength(12);
    expect(check.measured).toMatch(/H \(1 − H\) \d\.\de-\d+ in layers/);
    expect(check.remedy).toContain("residualMap identity");
  });
  test("a diagonal of 6 is not", () => {
    expect(named(lint(changed(trained(), diagonal(6))), "saturated").verdict).toBe("good");
  });
  test("a sublayer that reads nothing", () => {
    const deaf = changed(trained(), (weights, index) =>
      index === 1 ? withBias(weights, (bias, n) => bias.map((value, m) => (m < n ? -12 : value))) : weights,
    );
    expect(named(lint(deaf), "reads and writes")).toMatchObject({
      verdict: "warning",
      where: ["layers.0.feedForward.connection"],
    });
  });
  test("logits too large for the iterations", () => {
    const random = uniform(3);
    const wild = changed(trained(), (weights) =>
      withBias(weights, (bias, n) => bias.map((value, m) => (m < 2 * n ? value : 30 * normal(random)))),
    );
    const check = named(lint(wild), "stochastic");
    expect(check.verdict).toBe("warning");
    expect(check.remedy).toContain("more iterations");
  });
});

describe("transposed", () => {
  const right = trained();
  const reference = new Map(right.map((each) => [each.name, each]));

  test.each(Object.keys(resLayouts) as Layout[])("against another file: %s", (layout) => {
    const check = named(
      lint(
        changed(right, (weights) => misplaced(layout, weights)),
        { reference },
      ),
      "against the other file",
    );
    expect(check.verdict).toBe("error");
    expect(check.where).toHaveLength(12);
    expect(check.measured).toContain(layout);
    expect(check.remedy).toBe(resLayouts[layout]);
  });
  test("against another file: a conversion that forgot to transpose", () => {
    const renamed = right.map((each) => ({ ...each, convention: "deepseek-v4" as const }));
    const check = named(lint(renamed, { reference }), "against the other file");
    expect(check).toMatchObject({ verdict: "error", where: { length: 12 } });
    expect(check.measured).toContain("transposed in φ and bias");
  });
  const mapped = (
    sublayers: readonly LintConnection[],
    change: (value: number, part: string, at: number) => number,
  ): LintConnection[] =>
    changed(sublayers, (weights) =>
      Object.fromEntries(
        Object.entries(weights).map(([part, { shape, data }]) => [
          part,
          { shape, data: Float32Array.from(data, (value, at) => change(value, part, at)) },
        ]),
      ),
    );
  const cutTo16 = (value: number): number => {
    const [word] = new Uint32Array(Float32Array.of(value).buffer);
    return new Float32Array(Uint32Array.of(word! & 0xffff0000).buffer)[0]!;
  };
  /** The nearest of 11 bits; the numbers here are neither tiny nor large. */
  const toHalf = (value: number): number => {
    const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1))) - 10);
    return Math.round(value / step) * step;
  };
  const ways = [
    ["rounding to bfloat16", roundToBfloat16],
    ["truncation to bfloat16", cutTo16],
    ["rounding to float16", toHalf],
  ] as const;
  test.each(ways)("against another file: a right conversion and %s agree, from both sides", (what, round) => {
    const { sublayer } = conversion("paper", "deepseek-v4");
    const converted = right.map((each) => ({
      ...each,
      convention: "deepseek-v4" as const,
      weights: sublayer(each.weights),
    }));
    const rounded = mapped(converted, round);
    const back = new Map(rounded.map((each) => [each.name, each]));
    for (const checks of [lint(rounded, { reference }), lint(right, { reference: back })]) {
      const check = named(checks, "against the other file");
      expect(check.verdict).toBe("warning");
      expect(check.measured).toContain(`12 of 12 connections agree up to ${what}`);
    }
  });
  test.each(ways)("against another file: what lies within %s, but is none, is an error", (_, round) => {
    const rounded = mapped(right, round);
    const other = new Map(rounded.map((each) => [each.name, each]));
    const near = mapped(right, (value) => value * 1.003);
    const bias = mapped(rounded, (value, part) => (part === "bias" ? value * 1.003 : value));
    // Both sides of 16 bits: one number is the next.
    const next = mapped(rounded, (value, part, at) => (part === "phi" && at === 7 ? round(value * 1.02) : value));
    for (const wrong of [near, bias, next])
      expect(named(lint(wrong, { reference: other }), "against the other file")).toMatchObject({
        verdict: "error",
        where: { length: 12 },
      });
  });
  test("against another file: a large number hides no small one", () => {
    const large = changed(right, (weights) => withBias(weights, (b) => b.map((value, m) => (m === 8 ? 2e4 : value))));
    const moved = mapped(large, (value, part, at) => (part === "bias" && at === 0 ? value + 0.005 : value));
    const check = named(
      lint(moved, { reference: new Map(large.map((each) => [each.name, each])) }),
      "against the other file",
    );
    expect(check).toMatchObject({ verdict: "error", where: { length: 12 } });
    expect(check.remedy).toContain("bias: 1 of 24 numbers was changed");
  });
  test("against another file: noise is explained by nothing", () => {
    const noisy = mapped(right, (value) => value * (1 + 0.01 * Math.sin(1e5 * value)));
    const check = named(lint(noisy, { reference }), "against the other file");
    expect(check.verdict).toBe("error");
    expect(check.remedy).toMatch(/No order, scale or sign/);
  });
  test("against another file: NaN in either is said to be there, with its place", () => {
    const broken = mapped(right, (value, part, at) => (part === "phi" && at === 5 ? NaN : value));
    const other = new Map(broken.map((each) => [each.name, each]));
    const remedy = (sublayers: readonly LintConnection[], against: LintInput["reference"] & object) =>
      named(lint(sublayers, { reference: against }), "against the other file").remedy;
    expect(remedy(right, other)).toContain("phi: 1 of 768 numbers is not finite in the other file (number 5 is NaN)");
    expect(remedy(broken, reference)).toContain("phi: 1 of 768 numbers is not finite here (number 5 is NaN)");
  });
  test("against a later step of the same run is another function", () => {
    const later = changed(right, (weights) => withBias(weights, (bias) => bias.map((value, m) => value + Math.sin(m))));
    expect(named(lint(later, { reference }), "against the other file").verdict).toBe("error");
  });

  const phiOf = (weights: ConnectionWeights, change: (row: number, column: number) => readonly [number, number]) => {
    const { shape, data } = weights.phi!;
    const [rows, width] = shape as [number, number];
    const changed = Float32Array.from({ length: data.length }, (_, at) => {
      const [row, column] = change(Math.floor(at / width), at % width);
      return data[((row + rows) % rows) * width + ((column + width) % width)]!;
    });
    return { ...weights, phi: { shape, data: changed } };
  };
  const scaled = (weights: ConnectionWeights, part: string, by: (at: number) => number): ConnectionWeights => ({
    ...weights,
    [part]: {
      shape: weights[part]!.shape,
      data: Float32Array.from(weights[part]!.data, (value, at) => value * by(at)),
    },
  });
  test.each([
    ["rows rolled", (w: ConnectionWeights) => phiOf(w, (r, c) => [r - 1, c] as const), /phi: its rows are rolled by 1/],
    ["columns rolled", (w: ConnectionWeights) => phiOf(w, (r, c) => [r, c - 3] as const), /columns are rolled by 3/],
    ["α doubled", (w: ConnectionWeights) => scaled(w, "alpha", () => 2), /alpha: is scaled by 2/],
    ["one α", (w: ConnectionWeights) => scaled(w, "alpha", (at) => (at === 2 ? 3 : 1)), /alpha: res is scaled by 3/],
    [
      "φ of res a little larger",
      (w: ConnectionWeights) => scaled(w, "phi", (at) => (at < 256 ? 1 : 1.004)),
      /phi: res is scaled by 1\.004/,
    ],
    ["φ negated", (w: ConnectionWeights) => scaled(w, "phi", () => -1), /phi: has the other sign/],
    ["some signs", (w: ConnectionWeights) => scaled(w, "bias", (at) => (at % 2 ? 1 : -1)), /bias: 12 of 24 .*sign/],
    ["φ zero", (w: ConnectionWeights) => scaled(w, "phi", () => 0), /phi: all numbers are zero/],
    [
      "NaN",
      (w: ConnectionWeights) => scaled(w, "phi", (at) => (at === 5 ? NaN : 1)),
      /phi: 1 of 768 numbers is not finite here/,
    ],
  ])("against another file: %s", (_, change, says) => {
    const check = named(lint(changed(right, change), { reference }), "against the other file");
    expect(check.verdict).toBe("error");
    expect(check.where).toHaveLength(12);
    expect(check.remedy).toMatch(says);
  });
  test("against another file: layers exchanged, one missing, other sizes", () => {
    const exchanged = right.map((each, i) => ({ ...each, weights: right[(i + 2) % right.length]!.weights }));
    expect(named(lint(exchanged, { reference }), "against the other file")).toMatchObject({ verdict: "error" });
    expect(named(lint(exchanged, { reference }), "against the other file").remedy).toContain("were exchanged");
    const missing = named(lint(right.slice(1), { reference }), "against the other file");
    expect(missing).toMatchObject({ verdict: "error", where: ["layers.0.attention.connection"] });
    expect(missing.remedy).toContain("no whole model");
    expect(named(lint(trained(3), { reference }), "against the other file").measured).toContain("of other sizes");
    const elsewhere = new Map([["other.connection", right[0]!]]);
    expect(named(lint(right, { reference: elsewhere }), "against the other file").verdict).toBe("error");
  });
  test("against another file: the same function otherwise written", () => {
    const moved = changed(right, (w) =>
      scaled(
        scaled(w, "alpha", () => -2),
        "phi",
        () => -0.5,
      ),
    );
    expect(named(lint(moved, { reference }), "against the other file").verdict).toBe("good");
    const order = [2, 0, 3, 1];
    const rows = [...order, ...order.map((i) => 4 + i), ...order.flatMap((i) => order.map((j) => 8 + 4 * i + j))];
    const renumbered = changed(right, (w) => ({
      ...phiOf(w, (r, c) => [rows[r]!, order[Math.floor(c / CHANNELS)]! * CHANNELS + (c % CHANNELS)] as const),
      bias: { shape: w.bias!.shape, data: Float32Array.from(rows, (row) => w.bias!.data[row]!) },
    }));
    const check = named(lint(renumbered, { reference }), "against the other file");
    expect(check.verdict).toBe("note");
    expect(check.measured).toContain("numbered in another order (2, 0, 3, 1)");
    const rounded = named(lint(mapped(renumbered, roundToBfloat16), { reference }), "against the other file");
    expect(rounded.verdict).toBe("warning");
    expect(rounded.measured).toMatch(/rounding to bfloat16.*numbered in another order \(2, 0, 3, 1\)/);
    const partly = [...renumbered.slice(0, 3), ...right.slice(3)];
    expect(named(lint(partly, { reference }), "against the other file").verdict).toBe("error");
  });

  test("against another file: streams in another order, with a learned end", () => {
    // Three numbers could be the bias of one stream's sublayer, too.
    for (const n of [3, 4]) {
      const random = uniform(n);
      const draw = (...shape: number[]) => ({
        shape,
        data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => normal(random)),
      });
      const alpha = { shape: [1], data: Float32Array.of(0.5) };
      const end: LintConnection = {
        name: "ending",
        convention: "paper",
        weights: { phi: draw(n, n * CHANNELS), alpha, bias: draw(n) },
        dtypes: {},
      };
      const model = [...trained(n), end];
      const order = Array.from({ length: n }, (_, i) => (i + 1) % n);
      const moved = model.map((each) => {
        const ofEnd = each.name === "ending";
        const mixed = order.flatMap((i) => order.map((j) => 2 * n + n * i + j));
        const rows = ofEnd ? order : [...order, ...order.map((i) => n + i), ...mixed];
        const bias = { ...each.weights.bias!, data: Float32Array.from(rows, (row) => each.weights.bias!.data[row]!) };
        const columns = (r: number, c: number) =>
          [rows[r]!, order[Math.floor(c / CHANNELS)]! * CHANNELS + (c % CHANNELS)] as const;
        return { ...each, weights: { ...phiOf(each.weights, columns), bias } };
      });
      const check = named(
        lint(moved.slice(0, -1), {
          endings: moved.slice(-1),
          reference: new Map(model.map((each) => [each.name, each])),
        }),
        "against the other file",
      );
      expect(check.measured).toContain(`numbered in another order (${order.join(", ")})`);
      expect(check.verdict).toBe("note");
    }
  });

  test("φ that training has shaped decides alone, both ways", () => {
    // A res row has half as much energy again over its source as over its target, in every sublayer.
    const n = 4;
    const shaped = changed(trained(), (weights) => ({
      ...weights,
      phi: {
        shape: weights.phi!.shape,
        data: Float32Array.from(weights.phi!.data, (value, at) => {
          const row = Math.floor(at / (n * CHANNELS)) - 2 * n;
          const stream = Math.floor((at % (n * CHANNELS)) / CHANNELS);
          return row >= 0 && row % n === stream ? 1.5 * value : value;
        }),
      },
    }));
    expect(named(lint(shaped), "orientation").verdict).toBe("good");
    const flipped = changed(shaped, (weights) => misplaced("transposed in φ and bias", weights));
    const check = named(lint(flipped), "orientation");
    expect(check.verdict).toBe("error");
    expect(check.measured).toMatch(/-\d+\.\d standard errors/);
    const { sublayer } = conversion("paper", "deepseek-v4");
    const theirs = shaped.map((each) => ({
      ...each,
      convention: "deepseek-v4" as const,
      weights: sublayer(each.weights),
    }));
    expect(named(lint(theirs), "orientation").verdict).toBe("good");
  });
  test("φ that has not been shaped stays undecided", () => {
    expect(named(lint(trained()), "orientation").verdict).toBe("undecided");
  });
});

describe("recorded maps", () => {
  const random = uniform(6);
  const n = 4;
  /** Few iterations, so that the exact lines stand out. */
  const maps = Array.from({ length: 5 }, () =>
    Array.from(
      sinkhornResult(
        Float64Array.from({ length: n * n }, () => 3 * normal(random)),
        n,
        3,
      ),
    ),
  ).flat();
  const flip = maps.map((_, at) => maps[at - (at % 16) + (at % 4) * 4 + Math.floor((at % 16) / 4)]!);
  const recorded = (data: readonly number[], more: Partial<RecordedMaps> = {}): LintCheck =>
    lint([], {
      maps: [{ name: "h_res", shape: [5, n, n], data, applied: true, convention: "paper", ...more }],
    }).at(-1)!;

  test("rows are the exact ones in the paper: good; columns: the transpose", () => {
    expect(recorded(maps).verdict).toBe("good");
    const check = recorded(flip);
    expect(check.verdict).toBe("error");
    expect(check.remedy).toContain("columns are the exact ones");
  });
  test("as Sinkhorn-Knopp left them, DeepSeek's end on columns", () => {
    expect(recorded(flip, { convention: "deepseek-v4", applied: false }).verdict).toBe("good");
    expect(recorded(maps, { convention: "deepseek-v4", applied: false }).verdict).toBe("error");
    expect(recorded(maps, { convention: "deepseek-v4" }).verdict).toBe("good");
    expect(recorded(flip, { convention: "liger" }).verdict).toBe("good");
  });
  test("neither", () => {
    expect(recorded(maps.map((value) => 1.1 * value)).remedy).toContain("Neither marginal");
  });
});
