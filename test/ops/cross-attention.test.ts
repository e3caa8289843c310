// Attention that looks both ways: the formula, equal use of keys, gradients, and what is refused.

import { afterAll, beforeAll, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { attention } from "../../src/ops/attention.ts";
import { concat } from "../../src/ops/concat.ts";
import { crossAttention } from "../../src/ops/cross-attention.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { transportPlan } from "../../src/ops/transport-plan.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { normal, relativeError, uniform } from "./harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const [B, T, S, H, D, V] = [2, 5, 7, 2, 3, 4];
const random = uniform(4);
const draw = (count: number): number[] => Array.from({ length: count }, () => normal(random));
const [q, k, v, w] = [
  input("q", [B, T, H * D]),
  input("k", [B, S, H * D]),
  input("v", [B, S, H * V]),
  input("w", [B, T, H * V]),
];
const values = new Map([q, k, v, w].map((tensor) => [tensor, draw(tensor.shape.reduce((a, b) => a * b))]));

test.each([0, 6])(
  "after %i iterations it is the formula, on the reference and the processor, with its gradients",
  (T0) => {
    const out = crossAttention(q, k, v, { heads: H, iterations: T0 });
    const [dq, dk, dv] = gradients(sum(multiply(out, w)), [q, k, v]) as [typeof q, typeof k, typeof v];
    const outputs = { out, dq, dk, dv };
    const found = [createReferenceRuntime(), wasm].map((runtime) => {
      for (const [tensor, of] of values) runtime.write(tensor, of);
      const program = runtime.compile({ outputs });
      program.run();
      return Object.fromEntries(Object.keys(outputs).map((name) => [name, Array.from(program.readNow(name as "out"))]));
    });
    const at = (tensor: typeof q, b: number, t: number, column: number): number =>
      values.get(tensor)![(b * tensor.shape[1]! + t) * tensor.shape[2]! + column]!;
    const expected: number[] = Array(B * T * H * V).fill(0);
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++) {
        let P = Array.from({ length: T }, (_, i) =>
          Array.from({ length: S }, (_, j) => {
            let score = 0;
            for (let d = 0; d < D; d++) score += at(q, b, i, h * D + d) * at(k, b, j, h * D + d);
            return Math.exp(score / Math.sqrt(D));
          }),
        );
        const rows = (): void => void (P = P.map((row) => row.map((p) => p / row.reduce((a, c) => a + c))));
        rows();
        for (let t = 0; t < T0; t++) {
          const columns = P[0]!.map((_, j) => P.reduce((all, row) => all + row[j]!, 0));
          P = P.map((row) => row.map((p, j) => (p / columns[j]!) * (T / S)));
          rows();
        }
        for (let i = 0; i < T; i++)
          for (let j = 0; j < S; j++)
            for (let d = 0; d < V; d++)
              expected[(b * T + i) * H * V + h * V + d]! += P[i]![j]! * at(v, b, j, h * V + d);
      }
    expect(relativeError(found[0]!["out"]!, expected)).toBeLessThan(1e-12);
    for (const [name, of] of Object.entries(found[0]!))
      expect(relativeError(found[1]![name]!, of), name).toBeLessThan(1e-4);
  },
);

test("causal, with the softmax, it is the attention of language models", () => {
  const [a, b] = [input("a", [B, T, H * D]), input("b", [B, T, H * D])];
  const pair = {
    ours: crossAttention(a, b, a, { heads: H, causal: true }),
    theirs: attention(concat([a, b, a], 2), { heads: H, headSize: D }),
  };
  const runtime = createReferenceRuntime();
  for (const tensor of [a, b]) runtime.write(tensor, draw(B * T * H * D));
  const program = runtime.compile({ outputs: pair });
  program.run();
  expect(relativeError(program.readNow("ours"), program.readNow("theirs"))).toBeLessThan(1e-12);
});

test("a transport plan uses every key equally, and comes nearer with every iteration; huge logits stay finite", () => {
  const logits = input("logits", [3, 6, 4]);
  const counts = [0, 1, 4, 16];
  const runtime = wasm;
  const unevenness = (scale: number): number[] => {
    const outputs = Object.fromEntries(counts.map((T0) => [T0, transportPlan(logits, { iterations: T0 })]));
    const noise = uniform(9);
    runtime.write(
      logits,
      Array.from({ length: 72 }, () => scale * normal(noise)),
    );
    const program = runtime.compile({ outputs });
    program.run();
    return counts.map((T0) => {
      const P = program.readNow(String(T0));
      let worst = 0;
      for (let m = 0; m < 3; m++) {
        for (let i = 0; i < 6; i++) {
          let row = 0;
          for (let j = 0; j < 4; j++) row += P[m * 24 + i * 4 + j]!;
          expect(row).toBeCloseTo(1, 5);
        }
        for (let j = 0; j < 4; j++) {
          let column = 0;
          for (let i = 0; i < 6; i++) column += P[m * 24 + i * 4 + j]!;
          worst = Math.max(worst, Math.abs(column - 6 / 4));
        }
      }
      return worst;
    });
  };
  const found = unevenness(1);
  for (let i = 1; i < found.length; i++) expect(found[i]).toBeLessThan(found[i - 1]!);
  expect(found[3]).toBeLessThan(1e-4);
  for (const worst of unevenness(1e4)) expect(worst).toBeLessThan(6);
});

test("what cannot be is refused with the reason", () => {
  expect(() => crossAttention(q, q, q, { heads: H, iterations: 5, causal: true })).toThrow(
    "a causal doubly stochastic matrix can only be the identity",
  );
  expect(() => crossAttention(q, k, v, { heads: H, causal: true })).toThrow("with causal T = S");
  expect(() => crossAttention(q, k, v, { heads: 4 })).toThrow("k [B, S, 4 · D]");
  expect(() => crossAttention(q, k, v, { heads: H, iterations: -1 })).toThrow(/iterations/);
  expect(() => transportPlan(input("row", [4]))).toThrow("logits must be matrices");
});
