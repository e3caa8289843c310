// Every choice for H_res: golden vectors, its guarantee for any logits, gradients against finite
// differences, kernels against the reference, its start, and a model that trains with it.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorTable, sinkhornTable, withBlock } from "../../scripts/update-manifolds.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { cayleyIterated } from "../../src/connections/manifolds/cayley-iterated.ts";
import { leakyCirculant } from "../../src/connections/manifolds/circulant.ts";
import { identities } from "../../src/connections/manifolds/identity.ts";
import type { ResidualMap } from "../../src/connections/manifolds/residual-map.ts";
import { type ResidualMapName, residualMapNames, residualMaps } from "../../src/connections/manifolds/table.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { singularValues as valuesOf } from "../../src/stability/singular-values.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { OperationCase } from "../ops/case.ts";
import { buildCase, checkFiniteDifferences, normal, relativeError, runCase, uniform } from "../ops/harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

type Matrix = readonly (readonly number[])[];

const STREAMS = [1, 2, 3, 4, 8];
const supported = (map: ResidualMap): number[] => STREAMS.filter((n) => map.supports(n) === true);
/** Maps with something to choose, for every n of the tests. */
const choices = residualMapNames.flatMap((name) =>
  supported(residualMaps[name])
    .filter((n) => residualMaps[name].size(n) > 0)
    .map((n) => [name, n] as const),
);

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const transposed = (matrix: Matrix): number[][] => matrix.map((_, j) => matrix.map((row) => row[j]!));

/** The singular values, largest first. */
const singularValues = (matrix: Matrix): number[] => valuesOf(matrix.flat(), matrix.length);

/** The matrices of a map, for one token at a time. */
function evaluator(
  map: ResidualMap,
  n: number,
  runtime: SynchronousRuntime = createReferenceRuntime(),
): (logits: readonly number[]) => number[][] {
  const size = map.size(n);
  const logits_TS = input("logits", [1, Math.max(1, size)]);
  const program = runtime.compile({ outputs: { h: size === 0 ? identities(1, n) : map.project(logits_TS, n) } });
  return (logits) => {
    if (size > 0) runtime.write(logits_TS, logits);
    program.run();
    const values = [...program.readNow("h")];
    return Array.from({ length: n }, (_, i) => values.slice(i * n, (i + 1) * n));
  };
}

describe("golden vectors", () => {
  type Nested = number | readonly Nested[];
  const flat = (values: Nested): number[] => (typeof values === "number" ? [values] : values.flatMap(flat));
  const fixtures: Record<string, Record<"inputs" | "cotangent" | "out" | "grads", Nested>> = JSON.parse(
    readFileSync(new URL("../fixtures/manifolds.json", import.meta.url), "utf8"),
  );
  const names: Readonly<Record<string, ResidualMapName>> = {
    mhc_lite_n4: "permutations",
    kromhc_n4: "kronecker",
    circulant_n4: "circulant",
    cayley_n4: "cayley",
  };

  test.each(Object.entries(names))("%s: value and gradient to 1e-12", (fixture, name) => {
    const golden = fixtures[fixture]!;
    const runtime = createReferenceRuntime();
    const logits = input("logits", [1, flat(golden.inputs).length]);
    const cotangent = input("cotangent", [1, 16]);
    const h = residualMaps[name].project(logits, 4);
    const [dlogits] = gradients(sum(multiply(h, cotangent)), [logits]);
    const program = runtime.compile({ outputs: { h, dlogits: dlogits! } });
    runtime.write(logits, flat(golden.inputs));
    runtime.write(cotangent, flat(golden.cotangent));
    program.run();
    const largest = (actual: ArrayLike<number>, expected: number[]): number =>
      Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value)));
    expect(largest(program.readNow("h"), flat(golden.out))).toBeLessThan(1e-12);
    expect(largest(program.readNow("dlogits"), flat(golden.grads))).toBeLessThan(1e-12);
  });
});

describe.each(residualMapNames)("%s keeps its guarantee", (name) => {
  const map = residualMaps[name];
  const { rows, columns, nonNegative, spectralNorm } = map.guarantee;

  test.each(supported(map).flatMap((n) => [1, 4, 10, 100].map((scale) => [n, scale] as const)))(
    "n = %i, logits of scale %i",
    (n, scale) => {
      const evaluate = evaluator(map, n);
      const logit = fc.double({ min: -3 * scale, max: 3 * scale, noNaN: true });
      fc.assert(
        fc.property(fc.array(logit, { minLength: map.size(n), maxLength: map.size(n) }), (logits) => {
          // The quaternions 0 have no direction.
          fc.pre(name !== "quaternions" || [0, 4].every((at) => Math.hypot(...logits.slice(at, at + 4)) > 1e-3));
          const h = evaluate(logits);
          const close = (lines: Matrix): void =>
            lines.forEach((line) => expect(Math.abs(total(line) - 1)).toBeLessThan(1e-10));
          expect(h.flat().every(Number.isFinite)).toBe(true);
          if (rows) close(h);
          if (columns) close(transposed(h));
          if (nonNegative) expect(Math.min(...h.flat())).toBeGreaterThan(-1e-12);
          const bound = spectralNorm(n);
          if (bound !== undefined) expect(singularValues(h)[0]).toBeLessThan(bound + 1e-10);
        }),
        { numRuns: 40 },
      );
    },
  );
});

/** Rotations of large logits rest on an inverse with a condition number of their size. */
const looserAt100: readonly ResidualMapName[] = ["cayley", "orthostochastic", "spectral-sphere"];

test.each(choices.filter(([, n]) => n === 4 || n === 8))(
  "%s, n = %i, keeps its guarantee in float32 to 3e-6, rotations of logits of scale 100 to 1e-4",
  (name, n) => {
    const [tokens, map] = [100, residualMaps[name]];
    const { rows, columns, nonNegative, spectralNorm } = map.guarantee;
    const random = uniform(11);
    for (const scale of [1, 4, 10, 100]) {
      const logits_TS = input("logits", [tokens, map.size(n)]);
      const program = wasm.compile({ outputs: { h: map.project(logits_TS, n) } });
      wasm.write(
        logits_TS,
        Array.from({ length: tokens * map.size(n) }, () => scale * normal(random)),
      );
      program.run();
      const values = [...program.readNow("h")];
      const off = (lines: Matrix): number => Math.max(...lines.map((line) => Math.abs(total(line) - 1)));
      const errors = Array.from({ length: tokens }, (_, t) => {
        const h = Array.from({ length: n }, (_row, i) => values.slice((t * n + i) * n, (t * n + i + 1) * n));
        const bound = spectralNorm(n);
        return Math.max(
          rows ? off(h) : 0,
          columns ? off(transposed(h)) : 0,
          nonNegative ? -Math.min(...h.flat()) : 0,
          bound === undefined ? 0 : singularValues(h)[0]! - bound,
        );
      });
      expect(Math.max(...errors), `logits of scale ${scale}`).toBeLessThan(
        scale === 100 && looserAt100.includes(name) ? 1e-4 : 3e-6,
      );
    }
  },
);

test.each(["cayley", "quaternions"] as const)("%s: every singular value is one", (name) => {
  const evaluate = evaluator(residualMaps[name], 4);
  const logit = fc.double({ min: -10, max: 10, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(logit, { minLength: residualMaps[name].size(4), maxLength: residualMaps[name].size(4) }),
      (logits) => {
        fc.pre(name !== "quaternions" || [0, 4].every((at) => Math.hypot(...logits.slice(at, at + 4)) > 1e-3));
        for (const value of singularValues(evaluate(logits))) expect(value).toBeCloseTo(1, 10);
      },
    ),
    { numRuns: 40 },
  );
});

test("a leaky circulant keeps every singular value above 1 − 2γ", () => {
  const leak = 0.2;
  const evaluate = evaluator(leakyCirculant(leak), 4);
  fc.assert(
    fc.property(fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 4, maxLength: 4 }), (logits) => {
      expect(singularValues(evaluate(logits)).at(-1)).toBeGreaterThan(1 - 2 * leak - 1e-10);
    }),
  );
});

test("the iterated Cayley transform is the series of the exact one, to a power more for each iteration", () => {
  const alpha = 0.1;
  const exact = evaluator(residualMaps.cayley, 3);
  const logits = [3, -2, 1.5];
  const expected = exact(logits.map((value) => (alpha / 2) * value)).flat();
  const errors = [1, 2, 3, 4].map((iterations) => {
    const h = evaluator(cayleyIterated({ iterations, alpha }), 3)(logits).flat();
    return Math.max(...h.map((value, at) => Math.abs(value - expected[at]!)));
  });
  const ratio = (alpha / 2) * Math.hypot(...logits);
  // What is left is 2 z^(K + 2) and more, z the skew matrix of eigenvalues 0 and ± i · ratio.
  for (const [k, error] of errors.entries()) {
    expect(error).toBeLessThan(2.5 * ratio ** (k + 3));
    expect(error).toBeGreaterThan(0.2 * ratio ** (k + 3));
  }
});

test("quaternions multiply from the left by p and from the right by the conjugate of q", () => {
  const evaluate = evaluator(residualMaps.quaternions, 4);
  const h = evaluate([0, 3, 0, 0, 0, 0, 5, 0]);
  // i · x · (−j) for x = 1, i, j, k is −k, j, i, −1: the columns.
  expect(transposed(h)).toEqual(
    [
      [0, 0, 0, -1],
      [0, 0, 1, 0],
      [0, 1, 0, 0],
      [-1, 0, 0, 0],
    ].map((column) => column.map((value) => expect.closeTo(value, 12))),
  );
});

test("the singular values of the spectral sphere are one and tanh σ", () => {
  const evaluate = evaluator(residualMaps["spectral-sphere"], 4);
  fc.assert(
    fc.property(fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 9, maxLength: 9 }), (logits) => {
      const expected = [1, ...logits.slice(0, 3).map((value) => Math.abs(Math.tanh(value)))].sort((a, b) => b - a);
      expect(singularValues(evaluate(logits))).toEqual(expected.map((value) => expect.closeTo(value, 10)));
    }),
  );
});

test("orthostochastic averages the squares of a rotation's blocks", () => {
  const random = uniform(3);
  const logits = Array.from({ length: 28 }, () => normal(random));
  const q = evaluator(residualMaps.cayley, 8)(logits);
  const expected = Array.from({ length: 4 }, (_, i) =>
    Array.from({ length: 4 }, (_, j) =>
      expect.closeTo(
        total(q.slice(2 * i, 2 * i + 2).flatMap((row) => row.slice(2 * j, 2 * j + 2).map((x) => x * x))) / 2,
        12,
      ),
    ),
  );
  expect(evaluator(residualMaps.orthostochastic, 4)(logits)).toEqual(expected);
});

test("transport plans of saturated logits are permutations, and every permutation is one", () => {
  const evaluate = evaluator(residualMaps.transport, 3);
  const found = new Set<string>();
  for (let pattern = 0; pattern < 16; pattern++) {
    const h = evaluate([0, 1, 2, 3].map((bit) => ((pattern >> bit) & 1 ? 60 : -60)));
    for (const value of h.flat()) expect(Math.min(Math.abs(value), Math.abs(value - 1))).toBeLessThan(1e-12);
    found.add(h.flat().map(Math.round).map(Math.abs).join(""));
  }
  expect(found.size).toBe(6);
});

describe("starts near the identity", () => {
  test.each(residualMapNames.flatMap((name) => supported(residualMaps[name]).map((n) => [name, n] as const)))(
    "%s, n = %i",
    (name, n) => {
      const map = residualMaps[name];
      expect(map.bias(n)).toHaveLength(map.size(n));
      if (map.size(n) === 0) return;
      const h = evaluator(map, n)(map.bias(n));
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          if (i === j) expect(h[i]![j]).toBeGreaterThan(0.88);
          else expect(Math.abs(h[i]![j]!)).toBeLessThan(0.06);
        }
      }
    },
  );

  test("the gradient is alive there", () => {
    for (const [name, n] of choices) {
      if (n === 1) continue;
      const map = residualMaps[name];
      const built = buildCase({
        name,
        inputs: { logits: { shape: [1, map.size(n)], values: (_random, index) => map.bias(n)[index]! } },
        build: ({ logits }) => map.project(logits!, n),
      });
      const gradient = runCase(createReferenceRuntime(), built)["gradient of logits"]!;
      expect(Math.max(...Array.from(gradient, Math.abs)), `${name}, n = ${n}`).toBeGreaterThan(1e-3);
    }
  });
});

describe("docs/manifolds.md", () => {
  const tables = readFileSync(new URL("../../docs/manifolds.md", import.meta.url), "utf8")
    .split("\n## ")
    .filter((section) => section.startsWith("# Choices") || section.startsWith("Where they start"))
    .map((section) =>
      section
        .split("\n")
        .filter((line) => line.startsWith("| `"))
        .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, ""))),
    );
  const namesIn = (cell: string): ResidualMapName[] =>
    cell.split(", ").map((name) => name.slice(1, -1) as ResidualMapName);

  test("the measured errors are up to date", { timeout: 300_000 }, async () => {
    const text = readFileSync(new URL("../../docs/manifolds.md", import.meta.url), "utf8");
    expect(withBlock(text, "errors", await errorTable()), "run node scripts/update-manifolds.ts").toBe(text);
    expect(withBlock(text, "gradients", sinkhornTable()), "run node scripts/update-manifolds.ts").toBe(text);
  });

  test("names, sizes and guarantees are those of the code", () => {
    const bounds: Readonly<Record<string, number>> = {
      unbounded: Infinity,
      "1": 1,
      "≤ 1": 1,
      "≤ √n": 2,
      "≤ e^ε": Math.exp(1 / 32),
    };
    const told = tables[0]!.map(([name, , , logits, , rows, columns, sign, norm]) => [
      ...namesIn(name!),
      Number(logits),
      rows === "yes",
      columns === "yes",
      sign === "yes",
      bounds[norm!],
    ]);
    expect(told).toEqual(
      residualMapNames.map((name) => {
        const { size, guarantee } = residualMaps[name];
        const { rows, columns, nonNegative, spectralNorm } = guarantee;
        return [name, size(4), rows, columns, nonNegative, spectralNorm(4) ?? Infinity];
      }),
    );
  });

  const starts = tables[1]!.flatMap(([names, diagonal, second]) =>
    namesIn(names!).map((name) => [name, Number(diagonal), Number(second)] as const),
  );
  test("every map has a start", () => {
    expect(starts.map(([name]) => name).sort()).toEqual([...residualMapNames].sort());
  });
  test.each(starts)("%s starts at a diagonal of %d with |λ₂| = %d", (name, diagonal, second) => {
    const map = residualMaps[name];
    const h = evaluator(map, 4)(map.bias(4));
    for (let i = 0; i < 4; i++) expect(h[i]![i]).toBeCloseTo(diagonal, 3);
    // All these matrices are normal: singular values are moduli of eigenvalues.
    expect(singularValues(h)[1]).toBeCloseTo(second, 3);
  });
});

describe.each(choices)("%s, n = %i", (name, n) => {
  const map = residualMaps[name];
  const operationCase: OperationCase = {
    name,
    inputs: { logits: { shape: [3, map.size(n)] } },
    build: ({ logits }) => map.project(logits!, n),
  };

  test("the gradient equals finite differences", () => checkFiniteDifferences(buildCase(operationCase)));
  test("the kernels equal the reference", () => {
    const built = buildCase(operationCase);
    const actual = runCase(wasm, built);
    for (const [output, values] of Object.entries(runCase(createReferenceRuntime(), built))) {
      expect(relativeError(actual[output]!, values), output).toBeLessThan(output.startsWith("gradient") ? 1e-4 : 1e-5);
    }
  });
  test.each([0, 1, 4, 10, 100])("logits of scale %i stay finite in float32, forward and backward", (scale) => {
    const built = buildCase({
      ...operationCase,
      inputs: { logits: { shape: [5, map.size(n)], values: (random) => scale * normal(random) } },
    });
    for (const values of Object.values(runCase(wasm, built))) expect(values.every(Number.isFinite)).toBe(true);
  });
});

describe("what does not fit is refused", () => {
  test.each([
    ["permutations", 6, "5 streams"],
    ["kronecker", 3, "power of two"],
    ["quaternions", 8, "cayley"],
  ] as const)("%s, n = %i", (name, n, hint) => {
    expect(() => mhc({ streams: n, residualMap: name })).toThrow(new RegExp(`${name}.*${hint}.*Got ${n} streams`));
  });
});
