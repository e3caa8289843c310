// What holds for any streams and any coefficients, on the float64 reference and on the float32 kernels.

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { hyperCoefficients } from "../../src/ops/hyper-coefficients.ts";
import { manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { streamWrite } from "../../src/ops/stream-write.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";

/** Rounding of one sum or product, with room for a few in a row. */
const rounding = { reference: 1e-14, wasm: 1e-6 };
const runtimes = new Map<string, SynchronousRuntime>();
beforeAll(async () => {
  runtimes.set("reference", createReferenceRuntime());
  runtimes.set("wasm", await createWasmRuntime({ threads: 1 }));
});
afterAll(() => {
  for (const runtime of runtimes.values()) runtime.close();
});

type Values = readonly number[];

/** Compile once, then evaluate for many inputs. */
function compile<I extends string, O extends string>(
  runtime: SynchronousRuntime,
  shapes: Readonly<Record<I, readonly number[]>>,
  build: (tensors: Record<I, Tensor>) => Record<O, Tensor>,
): (inputs: Record<I, Values>) => Record<O, number[]> {
  const tensors = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, input(name, shape as number[])]),
  ) as Record<I, Tensor>;
  const outputs: Record<string, Tensor> = build(tensors);
  const program = runtime.compile({ outputs });
  return (inputs) => {
    for (const [name, values] of Object.entries(inputs)) runtime.write(tensors[name as I], values as Values);
    program.run();
    return Object.fromEntries(Object.keys(outputs).map((name) => [name, [...program.readNow(name)]])) as Record<
      O,
      number[]
    >;
  };
}

/** Any `length` numbers in [-limit, limit], representable in float32. */
function numbers(length: number, limit: number): fc.Arbitrary<number[]> {
  return fc.array(fc.float({ min: -Math.fround(limit), max: Math.fround(limit), noNaN: true }), {
    minLength: length,
    maxLength: length,
  });
}

function matricesOf(values: Values, n: number): number[][][] {
  return Array.from({ length: values.length / (n * n) }, (_, r) =>
    Array.from({ length: n }, (_, i) => values.slice((r * n + i) * n, (r * n + i + 1) * n)),
  );
}

const total = (values: Values): number => values.reduce((a, b) => a + b, 0);
const columnsOf = (matrix: readonly Values[]): number[][] => matrix[0]!.map((_, j) => matrix.map((row) => row[j]!));
const rowError = (matrix: readonly Values[]): number => Math.max(...matrix.map((row) => Math.abs(total(row) - 1)));
/** In the sum norm, which Sinkhorn-Knopp never increases. */
const columnError = (matrix: readonly Values[]): number =>
  total(columnsOf(matrix).map((column) => Math.abs(total(column) - 1)));
const largestDifference = (a: Values, b: Values): number => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

const product = (a: readonly Values[], b: readonly Values[]): number[][] =>
  a.map((row) => columnsOf(b).map((column) => total(row.map((value, k) => value * column[k]!))));

const COUNT = 3;
const runs = { numRuns: 25 };

describe.each(["reference", "wasm"] as const)("on %s", (name) => {
  const precision = rounding[name];
  const mixer = (n: number, iterations: number): ((logits: Values) => number[]) => {
    const evaluate = compile(runtimes.get(name)!, { logits: [COUNT, n, n] }, ({ logits }) => ({
      out: sinkhorn(logits, { iterations }),
    }));
    return (logits) => evaluate({ logits }).out;
  };

  describe.each([1, 2, 3, 4, 8])("sinkhorn, n = %i", (n) => {
    const size = COUNT * n * n;

    test("entries are not negative and rows sum to one, whatever the logits", () => {
      const mix = mixer(n, 20);
      fc.assert(
        fc.property(numbers(size, 80), (logits) => {
          for (const matrix of matricesOf(mix(logits), n)) {
            expect(Math.min(...matrix.flat())).toBeGreaterThanOrEqual(0);
            expect(rowError(matrix)).toBeLessThan(n * precision);
          }
        }),
        runs,
      );
    });

    test("columns come no further from one with more iterations", () => {
      const mixers = [1, 2, 5, 20, 100].map((iterations) => mixer(n, iterations));
      fc.assert(
        fc.property(numbers(size, 4), (logits) => {
          const errors = mixers.map((mix) => Math.max(...matricesOf(mix(logits), n).map(columnError)));
          for (let k = 1; k < errors.length; k++) expect(errors[k]).toBeLessThan(errors[k - 1]! + n * n * precision);
        }),
        runs,
      );
    });

    test("columns sum to one in the end, and so do those of a product", () => {
      const mix = mixer(n, 200);
      fc.assert(
        fc.property(numbers(size, 1), (logits) => {
          const [a, b] = matricesOf(mix(logits), n) as [number[][], number[][]];
          for (const matrix of [a, b, product(a, b)]) {
            expect(rowError(matrix)).toBeLessThan(2 * n * precision);
            expect(columnError(matrix)).toBeLessThan(4 * n * n * precision);
          }
        }),
        runs,
      );
    });

    test("permuting rows and columns permutes the result; a factor on a column changes nothing", () => {
      const mix = mixer(n, 20);
      const orders = fc.tuple(
        fc.shuffledSubarray([...Array(n).keys()], { minLength: n }),
        fc.shuffledSubarray([...Array(n).keys()], { minLength: n }),
      );
      fc.assert(
        fc.property(numbers(size, 8), orders, numbers(n, 30), (logits, [rows, columns], shifts) => {
          const reorder = (values: Values): number[] =>
            matricesOf(values, n).flatMap((matrix) => rows.flatMap((i) => columns.map((j) => matrix[i]![j]!)));
          const moved = reorder(logits).map((value, index) => value + shifts[index % n]!);
          // In float32 a shift of 30 rounds the logits to 2e-6; T normalisations hand that on.
          expect(largestDifference(mix(moved), reorder(mix(logits)))).toBeLessThan(name === "wasm" ? 1e-4 : 1e-12);
        }),
        runs,
      );
    });
  });

  test("with one stream, res is one", () => {
    const mix = mixer(1, 20);
    fc.assert(
      fc.property(numbers(COUNT, 80), (logits) => {
        expect(mix(logits)).toEqual([1, 1, 1]);
      }),
      runs,
    );
  });

  /** A sublayer and the gradients of a weighted sum of what it writes. */
  const sublayer = ([T, n, C]: readonly [number, number, number]) => {
    const M = n * n + 2 * n;
    return compile(
      runtimes.get(name)!,
      { x: [T, n, C], phi: [M, n * C], alpha: [3], bias: [M], y: [T, C], g: [T, n, C] },
      ({ x, phi, alpha, bias, y, g }) => {
        const h = manifoldCoefficients(x, phi, alpha, bias);
        const next = streamWrite(x, h, y);
        const [dx, dphi, dalpha, dbias] = gradients(sum(multiply(next, g)), [x, phi, alpha, bias]) as [
          Tensor,
          Tensor,
          Tensor,
          Tensor,
        ];
        return { h, u: streamRead(x, h), next, dx, dphi, dalpha, dbias };
      },
    );
  };
  const sublayerInputs = (
    [T, n, C]: readonly [number, number, number],
    limit: number,
  ): fc.Arbitrary<Record<"x" | "phi" | "alpha" | "bias" | "y" | "g", number[]>> =>
    fc.record({
      x: numbers(T * n * C, 2),
      phi: numbers((n * n + 2 * n) * n * C, 0.5),
      alpha: numbers(3, 1),
      bias: numbers(n * n + 2 * n, limit),
      y: numbers(T * C, 2),
      g: numbers(T * n * C, 2),
    });

  test.each([
    [2, 2, 3],
    [2, 4, 5],
  ] as const)(
    "[%i, %i, %i]: permuting the streams of a sublayer permutes what it writes, and reads the same",
    (T, n, C) => {
      const apply = sublayer([T, n, C]);
      const order = fc.shuffledSubarray([...Array(n).keys()], { minLength: n });
      /** Rows of `width` numbers, n of them to each block. */
      const streams = (values: Values, width: number, p: Values): number[] =>
        Array.from({ length: values.length / width }, (_, row) => Math.floor(row / n) * n + p[row % n]!).flatMap(
          (row) => values.slice(row * width, (row + 1) * width),
        );
      /** Coefficients pre | post | res of `width` numbers each. */
      const coefficients = (values: Values, width: number, p: Values): number[] => [
        ...streams(values.slice(0, 2 * n * width), width, p),
        ...p.flatMap((i) =>
          p.flatMap((j) => values.slice((2 * n + i * n + j) * width, (2 * n + i * n + j + 1) * width)),
        ),
      ];
      fc.assert(
        fc.property(sublayerInputs([T, n, C], 2), order, (inputs, p) => {
          const plain = apply(inputs);
          const moved = apply({
            ...inputs,
            x: streams(inputs.x, C, p),
            g: streams(inputs.g, C, p),
            bias: coefficients(inputs.bias, 1, p),
            phi: coefficients(streams(inputs.phi, C, p), n * C, p),
          });
          const tolerance = name === "wasm" ? 2e-5 : 1e-12;
          expect(largestDifference(moved.u, plain.u)).toBeLessThan(tolerance);
          expect(largestDifference(moved.next, streams(plain.next, C, p))).toBeLessThan(tolerance);
        }),
        runs,
      );
    },
  );

  test("tokens of zeros and logits of ±80 stay finite, values and gradients", () => {
    const sizes = [9, 4, 12] as const;
    const apply = sublayer(sizes);
    fc.assert(
      fc.property(sublayerInputs(sizes, 80), fc.array(fc.nat(8), { maxLength: 4 }), (inputs, empty) => {
        const x = inputs.x.map((value, index) => (empty.includes(Math.floor(index / 48)) ? 0 : value));
        for (const values of Object.values(apply({ ...inputs, x }))) expect(values.every(Number.isFinite)).toBe(true);
      }),
      runs,
    );
  });

  test.each([1, 2, 4, 8])("n = %i: logits of an exact residual write x + y and read the mean", (n) => {
    const [T, C] = [2, 5];
    const logit = Math.log(1 / n / (1 - 1 / n));
    const exact = [
      ...Array<number>(n).fill(n === 1 ? 40 : logit),
      ...Array<number>(n).fill(0),
      ...Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 0 : -80)),
    ];
    const apply = sublayer([T, n, C]);
    fc.assert(
      fc.property(sublayerInputs([T, n, C], 1), (inputs) => {
        const { u, next } = apply({ ...inputs, alpha: [0, 0, 0], bias: exact });
        const at = (t: number, j: number, c: number): number => inputs.x[(t * n + j) * C + c]!;
        const streams = Array.from({ length: n }, (_, j) => j);
        const mean = inputs.y.map((_, i) => total(streams.map((j) => at(Math.floor(i / C), j, i % C))) / n);
        expect(largestDifference(u, mean)).toBeLessThan(4 * precision);
        const sums = inputs.x.map((value, i) => value + inputs.y[Math.floor(i / (n * C)) * C + (i % C)]!);
        expect(largestDifference(next, sums)).toBeLessThan(4 * precision);
      }),
      runs,
    );
  });

  test("hyper-connections without a dynamic part return their static part", () => {
    const [T, n, C] = [3, 4, 5],
      M = n * n + 2 * n;
    const apply = compile(
      runtimes.get(name)!,
      { x: [T, n, C], theta: [n + 2, C], alpha: [3], bias: [M] },
      ({ x, theta, alpha, bias }) => ({ h: hyperCoefficients(x, theta, alpha, bias) }),
    );
    fc.assert(
      fc.property(numbers(T * n * C, 4), numbers(3, 1), numbers(M, 4), (x, alpha, bias) => {
        const { h } = apply({ x, alpha, bias, theta: Array<number>((n + 2) * C).fill(0) });
        expect(largestDifference(h, [...bias, ...bias, ...bias])).toBe(0);
      }),
      runs,
    );
  });
});
