// The stream operations against golden vectors: the paper's Sinkhorn-Knopp (Eq. 9 of arXiv 2512.24880),
// and the released DeepSeek V4 sublayer.
//
// V4 normalises rows first and applies the transpose of what it gets: comb = softmax(L), ..., ending on
// columns, then y = post f + combᵀ x. So its H_res is the paper's form of the transposed logits, but for
// three small epsilons; res logits move from row j, column k to row k, column j. fixtures/mhc.json was
// computed in float64 by the released formulas.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { add } from "../../src/ops/elementwise.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { type CoefficientForm, manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { streamWrite } from "../../src/ops/stream-write.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";

type Nested = number | readonly Nested[];
const fixtures: Record<string, Record<string, Nested>> = JSON.parse(
  readFileSync(new URL("../fixtures/mhc.json", import.meta.url), "utf8"),
);

function flat(values: Nested): number[] {
  return typeof values === "number" ? [values] : values.flatMap(flat);
}

function shapeOf(values: Nested): number[] {
  return typeof values === "number" ? [] : [values.length, ...shapeOf(values[0]!)];
}

/** A graph's inputs, by the values they hold. */
function createInputs(runtime: SynchronousRuntime): (values: Nested) => Tensor {
  return (values) => {
    const tensor = input("values", shapeOf(values));
    runtime.write(tensor, flat(values));
    return tensor;
  };
}

function evaluate<K extends string>(runtime: SynchronousRuntime, outputs: Record<K, Tensor>): Record<K, number[]> {
  const program = runtime.compile<Record<string, Tensor>>({ outputs });
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, [...program.readNow(name)]])) as Record<
    K,
    number[]
  >;
}

function largestDifference(actual: readonly number[], expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  return Math.max(...expected.map((value, index) => Math.abs(actual[index]! - value)));
}

const reference = createReferenceRuntime();
let wasm: WasmRuntime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
});
afterAll(() => wasm.close());

/** Sinkhorn of the logits and the gradient against the cotangent. */
function runSinkhorn(
  runtime: SynchronousRuntime,
  logits: Nested,
  cotangent: Nested,
  iterations: number,
): { out: number[]; grad: number[] } {
  const constant = createInputs(runtime);
  const l = constant(logits);
  const out = sinkhorn(l, { iterations });
  const [grad] = gradients(sum(multiply(out, constant(cotangent))), [l]);
  return evaluate(runtime, { out, grad: grad! });
}

/** Every [n, n] matrix of [R, n, n], transposed. */
function transposed(matrices: Nested): number[][][] {
  return (matrices as number[][][]).map((matrix) => matrix[0]!.map((_, j) => matrix.map((row) => row[j]!)));
}

describe.each([20, 500])("sinkhorn, the paper's form, %i iterations", (iterations) => {
  const { logits, cotangent, out, grad } = fixtures[`sinkhorn/paper_eq9_T${iterations}`]!;

  test("float64: value and gradient to 1e-12", () => {
    const actual = runSinkhorn(reference, logits!, cotangent!, iterations);
    expect(largestDifference(actual.out, flat(out!))).toBeLessThan(1e-12);
    expect(largestDifference(actual.grad, flat(grad!))).toBeLessThan(1e-12);
  });
  test("float32 kernels: value to 1e-6, gradient to 1e-5", () => {
    const actual = runSinkhorn(wasm, logits!, cotangent!, iterations);
    expect(largestDifference(actual.out, flat(out!))).toBeLessThan(1e-6);
    expect(largestDifference(actual.grad, flat(grad!))).toBeLessThan(1e-5);
  });
});

test("sinkhorn's unrolled gradient converges to the implicit one", () => {
  const { logits, cotangent } = fixtures["sinkhorn/paper_eq9_T500"]!;
  const { grad } = runSinkhorn(reference, logits!, cotangent!, 500);
  expect(largestDifference(grad, flat(fixtures["sinkhorn/implicit_grad"]!.grad!))).toBeLessThan(1e-12);
});

test("sinkhorn of the released code is the paper's form of the transposed logits, to 5e-6", () => {
  const { logits, cotangent, out, grad } = fixtures["sinkhorn/tilekernels_repeat20_eps1e-6"]!;
  const actual = runSinkhorn(reference, transposed(logits!), transposed(cotangent!), 20);
  expect(largestDifference(actual.out, flat(transposed(out!)))).toBeLessThan(5e-6);
  expect(largestDifference(actual.grad, flat(transposed(grad!)))).toBeLessThan(5e-6);
});

/** hc_eps 1e-6, three times; the matrix is applied transposed. */
const released: CoefficientForm = {
  readEpsilon: 1e-6,
  writeScale: 2,
  res: { start: "softmax", last: "columns", epsilon: 1e-6, guard: "added", transposed: true },
};

describe("sinkhorn in the released form", () => {
  const { logits, cotangent, out, grad } = fixtures["sinkhorn/tilekernels_repeat20_eps1e-6"]!;
  function run(runtime: SynchronousRuntime) {
    const constant = createInputs(runtime);
    const l = constant(logits!);
    const result = sinkhorn(l, { iterations: 20, form: released.res });
    const [dl] = gradients(sum(multiply(result, constant(transposed(cotangent!)))), [l]);
    return evaluate(runtime, { result, dl: dl! });
  }
  test("float64: value and gradient to 1e-12", () => {
    const { result, dl } = run(reference);
    expect(largestDifference(result, flat(transposed(out!)))).toBeLessThan(1e-12);
    expect(largestDifference(dl, flat(grad!))).toBeLessThan(1e-12);
  });
  test("float32 kernels: value to 1e-6, gradient to 1e-5", () => {
    const { result, dl } = run(wasm);
    expect(largestDifference(result, flat(transposed(out!)))).toBeLessThan(1e-6);
    expect(largestDifference(dl, flat(grad!))).toBeLessThan(1e-5);
  });
});

describe("the released V4 sublayer, n = 4, C = 6", () => {
  const golden = fixtures["sublayer/v4_n4_C6"]!;
  const n = 4;
  /** Where coefficient m of ours lies among theirs: res is transposed. Its own inverse. */
  const theirs = (m: number): number => (m < 2 * n ? m : 2 * n + ((m - 2 * n) % n) * n + Math.floor((m - 2 * n) / n));
  const reorder = <T>(rows: readonly T[]): T[] => rows.map((_, m) => rows[theirs(m)]!);

  function runSublayer(
    runtime: SynchronousRuntime,
    order: (rows: readonly Nested[]) => Nested[] = reorder,
    form?: CoefficientForm,
  ) {
    const constant = createInputs(runtime);
    const x = constant(golden.x!),
      phi = constant(order(golden.fn as Nested[])),
      alpha = constant(golden.scale!);
    const bias = constant(order(golden.base as Nested[])),
      y = constant(golden.f_out!);
    const h = manifoldCoefficients(x, phi, alpha, bias, {
      iterations: golden.iters as number,
      epsilon: golden.norm_eps as number,
      form,
    });
    const read = streamRead(x, h);
    const next = streamWrite(x, h, y);
    const loss = add(
      sum(multiply(read, constant(golden.cot_layer_input!))),
      sum(multiply(next, constant(golden.cot_y!))),
    );
    const [dx, dphi, dalpha, dbias, dy] = gradients(loss, [x, phi, alpha, bias, y]) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    return evaluate(runtime, { h, read, next, dx, dphi, dalpha, dbias, dy });
  }

  const coefficients = (golden.pre as Nested[]).flatMap((sequence, b) =>
    (sequence as Nested[]).flatMap((pre, t) => [
      ...flat(pre),
      ...flat((golden.post as Nested[][])[b]![t]!),
      ...flat(transposed([(golden.comb as Nested[][])[b]![t]!])),
    ]),
  );
  const expected: Record<keyof ReturnType<typeof runSublayer>, number[]> = {
    h: coefficients,
    read: flat(golden.layer_input!),
    next: flat(golden.y!),
    dx: flat(golden.grad_x!),
    dphi: flat(reorder(golden.grad_fn as Nested[])),
    dalpha: flat(golden.grad_scale!),
    dbias: flat(reorder(golden.grad_base as Nested[])),
    dy: flat(golden.grad_f_out!),
  };

  // The forms differ by the epsilons of the released one (hc_eps 1e-6, three times).
  test.each(Object.keys(expected) as (keyof typeof expected)[])("%s, values to 5e-6 and gradients to 1e-5", (name) => {
    const tolerance = name.startsWith("d") ? 1e-5 : 5e-6;
    for (const runtime of [reference, wasm]) {
      expect(largestDifference(runSublayer(runtime)[name], expected[name])).toBeLessThan(tolerance);
    }
  });

  test.each(Object.keys(expected) as (keyof typeof expected)[])("%s in its own form, float64 to 1e-12", (name) => {
    const theirs = runSublayer(reference, (rows) => [...rows], released);
    const own = { dphi: flat(golden.grad_fn!), dbias: flat(golden.grad_base!) } as Record<string, number[]>;
    expect(largestDifference(theirs[name], own[name] ?? expected[name])).toBeLessThan(1e-12);
  });

  test("is far off without the transposition", () => {
    const { next } = runSublayer(reference, (rows) => [...rows]);
    expect(largestDifference(next, expected.next)).toBeGreaterThan(0.1);
  });
});
