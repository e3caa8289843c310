// Attention, the projection of the streams and the mixing matrices at the ends of float32 are the reference (edge.ts),
// or NaN where float32 cannot hold what lies between: never another number.

import { describe, expect, test } from "vitest";
import { residualMapNames, residualMaps } from "../../src/connections/manifolds/table.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { attention } from "../../src/ops/attention.ts";
import { cachedAttention } from "../../src/ops/cached-attention.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { streamProjection } from "../../src/ops/stream-projection.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { compare, expectNear, openBuilds, outcome, runtimes } from "./edge.ts";

openBuilds();

/** Queries, keys and values of T tokens for one head of 4 columns: the score of query t and key s is −size² (t + 1)(s + 1), or its negative. */
function heads(T: number, size: number, sign: number): number[] {
  return Array.from({ length: T }, (_, t) => [
    ...[1, 0, 1, 0].map((x) => Math.fround(size * (t + 1) * x)),
    ...[1, 1, 1, 1].map((x) => Math.fround(sign * size * (t + 1) * x)),
    ...[1, -2, 3, 0.5].map((x) => x + t),
  ]).flat();
}

describe.each([1, 5, 20, 300])("attention over %i tokens", (T) => {
  // 300 tokens are more than one block of keys.
  const qkv = input("qkv", [1, T, 12]);
  const y = attention(qkv, { heads: 1, headSize: 4 });
  test.each([0, 1e-30, 0.1, 1, 1e3, 1e8, 1e14, 3e15, 1e16])("of scores like ±%d²", (size) => {
    for (const sign of [1, -1])
      compare(qkv, y, heads(T, size, sign), { tolerance: 1e-4, ofLargest: 1e-5, gradient: size * T <= 10 });
  });
  test("a score beyond float32 is followed or makes a NaN", () => {
    for (const size of [1e19, 3e19, 1e25, 1e38])
      for (const sign of [1, -1]) {
        const given = new Map([[qkv, heads(T, size, sign)]]);
        const expected = outcome(createReferenceRuntime(), y, undefined, given).y;
        for (const runtime of runtimes)
          Array.from(outcome(runtime, y, undefined, given).y, (value, i) => {
            if (!Number.isNaN(value)) expectNear(value, expected[i]!, `${runtime.kernels}, ${size}, ${i}`, 1e-4, 1e-5);
          });
      }
  });
  test("a gradient for which float32 has no fraction left is NaN", () => {
    const [dx] = gradients(sum(y), [qkv]);
    for (const runtime of runtimes)
      for (const size of [1e5, 1e8, 1e15]) {
        const { dx: values } = outcome(runtime, y, dx, new Map([[qkv, heads(T, size, -1)]]));
        expect(Array.from(values!).every(Number.isNaN), `${runtime.kernels}, ${size}`).toBe(true);
      }
  });
});

test.each([1, 3, 9])("a cache of %i positions, with scores of any size", (T) => {
  const [qkv, keys, values] = [input("qkv", [T, 12]), input("keys", [1, 1, 4, 16]), input("values", [1, 1, 16, 4])];
  const [positions, slots] = [input("positions", [T], "i32"), input("slots", [T], "i32")];
  const blocks = input("blocks", [1, 1], "i32");
  const { out } = cachedAttention(qkv, { keys, values, blocks }, { positions, slots }, { heads: 1, headSize: 4 });
  const numbers = Array.from({ length: T }, (_, t) => t);
  for (const size of [0, 1, 1e3, 1e8, 1e15, 1e16])
    for (const sign of [1, -1])
      compare(qkv, out, heads(T, size, sign), {
        tolerance: 1e-4,
        ofLargest: 1e-5,
        gradient: false,
        also: [
          [positions, numbers],
          [blocks, [0]],
          [slots, numbers.map(() => 0)],
        ],
      });
});

const sizes = [0, 1e-30, 1e-12, 1, 1e15, 1e17, 1e18, 1e19, 1e20, 1e25, 1e30, 1e37, Infinity, NaN];
describe.each(["token", "stream"] as const)("the projection of a %s", (over) => {
  // Few rows are projected by a kernel of their own; 24 outputs of four streams by another.
  test.each([
    [1, 4, 24],
    [3, 2, 8],
    [20, 4, 24],
    [19, 4, 24],
    [17, 3, 15],
    [17, 4, 5],
  ])("%i tokens of %i streams to %i outputs, with squares that overflow", (tokens, n, outputs) => {
    const C = 9;
    const length = over === "token" ? n * C : C;
    const [x, w] = [input("x", [tokens, n, C]), input("w", [outputs, length])];
    const weights = Array.from({ length: outputs * length }, (_, i) => (((i * 5) % 11) - 4.5) / 8);
    for (const epsilon of [1e-6, 1e-20])
      for (const size of sizes) {
        const values = Array.from({ length: tokens * n * C }, (_, i) => Math.fround(size * (((i * 7) % 5) - 1.5)));
        const y = streamProjection(x, w, { over, epsilon });
        const c = input("c", [...y.shape]);
        const slopes = Array.from({ length: sizeOf(y.shape) }, (_, i) => ((i * 3) % 4) - 1);
        const weighted = multiply(y, c);
        const given: [Tensor, number[]] = [c, slopes];
        compare(x, weighted, values, { tolerance: 2e-5, ofLargest: 2e-5, also: [[w, weights], given] });
        compare(w, weighted, weights, { tolerance: 2e-5, ofLargest: 2e-5, also: [[x, values], given] });
      }
  });
  test("a huge row changes no bit of the others", () => {
    const [tokens, n, C] = [20, 4, 9];
    const [x, w] = [input("x", [tokens, n, C]), input("w", [24, over === "token" ? n * C : C])];
    const y = streamProjection(x, w, { over, epsilon: 1e-6 });
    const [dx] = gradients(sum(y), [x]);
    const weights = Array.from({ length: sizeOf(w.shape) }, (_, i) => (((i * 5) % 11) - 4.5) / 8);
    const plain = Array.from({ length: tokens * n * C }, (_, i) => ((i * 7) % 5) - 1.5);
    const mixed = plain.map((value, i) => (Math.floor(i / (n * C)) === 7 ? Math.fround(1e25 * value) : value));
    for (const runtime of runtimes) {
      const [before, after] = [plain, mixed].map((values) =>
        outcome(
          runtime,
          y,
          dx,
          new Map([
            [x, values],
            [w, weights],
          ]),
        ),
      );
      for (const part of ["y", "dx"] as const) {
        const [a, b] = [Array.from(before![part]!), Array.from(after![part]!)];
        const row = a.length / tokens;
        expect(b.toSpliced(7 * row, row)).toEqual(a.toSpliced(7 * row, row));
      }
    }
  });
});

const maps = residualMapNames
  // cayley-iterated is a polynomial: its values overflow, and large ones cancel.
  .filter((name) => name !== "cayley-iterated")
  .flatMap((name) => [1, 2, 3, 4].map((n) => [name, n] as const))
  .filter(([name, n]) => residualMaps[name].supports(n) === true && residualMaps[name].size(n) > 0);
test.each(maps)("%s of %i streams, of logits that lie far apart", (name, n) => {
  const map = residualMaps[name];
  const logits = input("logits", [2, map.size(n)]);
  const h = map.project(logits, n);
  for (const size of [0, 1, 30, 400, 1e3, 1e4, 1e6, 1e8, 1e15, 1e30, 1e38, Infinity, NaN]) {
    // Of larger ones float64 itself loses what separates those that are almost equal.
    if (size > 1e8 && size < Infinity && name === "permutations") continue;
    // Newton's method settles in float32 for some thousands of L / τ, and τ may be 1/8.
    if (size > 400 && size < Infinity && name === "learned-temperature") continue;
    const values = Array.from({ length: 2 * map.size(n) }, (_, i) => Math.fround(size * (((i * 5) % 7) / 3 - 0.8)));
    compare(logits, h, values, { tolerance: 1e-3, ofLargest: 1e-3, gradient: false });
  }
});
