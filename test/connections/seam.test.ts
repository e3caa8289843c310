// The seam (a write with the coefficients and the read that follow) as one chain, against its operations
// in programs of their own, whose results go through memory: forward and every gradient.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { add } from "../../src/ops/elementwise.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { streamWrite } from "../../src/ops/stream-write.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { normal, uniform } from "../ops/harness.ts";
import type { TensorValues } from "../../src/runtime/program.ts";

type Values = Record<string, TensorValues>;

/** [tokens, streams, channels]: one token, one to eight streams, channels that fill no vector, several tiles. */
const sizes = [
  [1, 1, 5],
  [1, 4, 256],
  [50, 2, 12],
  [7, 3, 33],
  [100, 4, 33],
  [97, 4, 64],
  [50, 8, 12],
] as const;

let runtime: WasmRuntime;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
});
afterAll(() => runtime.close());

/** What `build` makes of values, in a program of its own. */
function evaluate(
  shapes: Readonly<Record<string, readonly number[]>>,
  values: Values,
  build: (inputs: Record<string, Tensor>) => Record<string, Tensor>,
): Values {
  const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)]));
  const outputs = build(inputs);
  const program = runtime.compile({ outputs });
  for (const [name, tensor] of Object.entries(inputs)) runtime.write(tensor, values[name]!);
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)]));
}

/** Gradients of `wrt` when those of the results are given. */
function pullBack(pairs: readonly [result: Tensor, gradient: Tensor][], wrt: readonly Tensor[]): Tensor[] {
  return gradients(pairs.map(([result, gradient]) => sum(multiply(result, gradient))).reduce(add), wrt);
}

describe.each(sizes)("%i tokens, %i streams, %i channels", (T, n, C) => {
  const M = n * (n + 2);
  const shapes = {
    x: [T, n, C],
    h: [T, M],
    y: [T, C],
    phi: [M, n * C],
    alpha: [3],
    bias: [M],
    gNext: [T, n, C],
    gCoefficients: [T, M],
    gU: [T, C],
  };
  const random = uniform(T + n + C);
  const values: Values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      Float32Array.from({ length: sizeOf(shape) }, () => normal(random) * (name === "phi" ? 1 / Math.sqrt(n * C) : 1)),
    ]),
  );
  const only = (...names: (keyof typeof shapes)[]): Record<string, readonly number[]> =>
    Object.fromEntries(names.map((name) => [name, shapes[name]]));
  const parameters = ["phi", "alpha", "bias"] as const;
  const coefficientsOf = (x: Tensor, t: Record<string, Tensor>): Tensor =>
    manifoldCoefficients(x, t.phi!, t.alpha!, t.bias!, { iterations: 20 });

  test("is the same in one chain and one operation at a time", () => {
    const fused = evaluate(shapes, values, (t) => {
      const next = streamWrite(t.x!, t.h!, t.y!);
      const coefficients = coefficientsOf(next, t);
      const u = streamRead(next, coefficients);
      const wrt = [t.x!, t.h!, t.y!, t.phi!, t.alpha!, t.bias!];
      const found = pullBack(
        [
          [next, t.gNext!],
          [coefficients, t.gCoefficients!],
          [u, t.gU!],
        ],
        wrt,
      );
      const [dx, dh, dy, dphi, dalpha, dbias] = found as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      return { next, coefficients, u, dx, dh, dy, dphi, dalpha, dbias };
    });

    const next = evaluate(only("x", "h", "y"), values, ({ x, h, y }) => ({ next: streamWrite(x!, h!, y!) })).next!;
    const coefficients = evaluate(only("x", ...parameters), { ...values, x: next }, (t) => ({
      h: coefficientsOf(t.x!, t),
    })).h!;
    const after = { ...values, x: next, h: coefficients };
    const u = evaluate(only("x", "h"), after, ({ x, h }) => ({ u: streamRead(x!, h!) })).u!;
    const read = evaluate(only("x", "h", "gU"), after, ({ x, h, gU }) => {
      const [dx, dh] = pullBack([[streamRead(x!, h!), gU!]], [x!, h!]) as [Tensor, Tensor];
      return { dx, dh };
    });
    const gCoefficients = read.dh!.map((value, index) => value + values.gCoefficients![index]!);
    const mapped = evaluate(only("x", ...parameters, "gCoefficients"), { ...after, gCoefficients }, (t) => {
      const found = pullBack([[coefficientsOf(t.x!, t), t.gCoefficients!]], [t.x!, t.phi!, t.alpha!, t.bias!]);
      const [dx, dphi, dalpha, dbias] = found as [Tensor, Tensor, Tensor, Tensor];
      return { dx, dphi, dalpha, dbias };
    });
    const gNext = values.gNext!.map((value, index) => value + read.dx![index]! + mapped.dx![index]!);
    const written = evaluate(only("x", "h", "y", "gNext"), { ...values, gNext }, ({ x, h, y, gNext: g }) => {
      const [dx, dh, dy] = pullBack([[streamWrite(x!, h!, y!), g!]], [x!, h!, y!]) as [Tensor, Tensor, Tensor];
      return { dx, dh, dy };
    });
    const { dphi, dalpha, dbias } = mapped;
    const single: Values = { next, coefficients, u, ...written, dphi: dphi!, dalpha: dalpha!, dbias: dbias! };

    for (const [name, expected] of Object.entries(single)) {
      const scale = Math.max(1e-3, ...expected.map(Math.abs));
      const error = Math.max(...expected.map((value, index) => Math.abs(value - fused[name]![index]!)));
      expect(error / scale, name).toBeLessThan(1e-6);
    }
  });
});
