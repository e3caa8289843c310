// Constants: their values are there before the first run and after every other, on every runtime.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { constant, input } from "../../src/graph/state.ts";
import { checkpoint } from "../../src/graph/tensor.ts";
import { exp, multiply } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";

const runtimes: Record<string, SynchronousRuntime> = {};
beforeAll(async () => {
  runtimes.reference = createReferenceRuntime();
  runtimes.wasm = await createWasmRuntime({ threads: 2 });
});
afterAll(() => Object.values(runtimes).forEach((runtime) => runtime.close()));

describe.each(["reference", "wasm"])("%s", (name) => {
  test("a constant holds its values, in every run and every program", () => {
    const runtime = runtimes[name]!;
    const x = input("x", [2, 2]),
      c = constant([1, -2, 3, 0.5], [2, 2]);
    const first = runtime.compile({ outputs: { y: multiply(x, c) } });
    for (const factor of [1, 10]) {
      runtime.write(
        x,
        [1, 2, 3, 4].map((value) => factor * value),
      );
      first.run();
      expect([...first.readNow("y")]).toEqual([1, -4, 9, 2].map((value) => factor * value));
    }
    const second = runtime.compile({ outputs: { c, square: multiply(c, c) } });
    second.run();
    expect([...second.readNow("c")]).toEqual([1, -2, 3, 0.5]);
    expect([...second.readNow("square")]).toEqual([1, 4, 9, 0.25]);
    expect([...runtime.readNow(c)]).toEqual([1, -2, 3, 0.5]);
  });

  test("it passes gradients on, also from a segment that is computed again", () => {
    const runtime = runtimes[name]!;
    const x = input("x", [3]);
    const y = checkpoint(() => exp(multiply(x, constant([1, 2, 3], [3]))));
    const [dx] = gradients(sum(multiply(y, y)), [x]);
    const program = runtime.compile({ outputs: { dx: dx! } });
    runtime.write(x, [0, 0, 0]);
    program.run();
    expect([...program.readNow("dx")]).toEqual([2, 4, 6]);
  });
});

test("it is no parameter", () => {
  const parameters = createParameters();
  multiply(parameters.create("w", [1], { constant: 1 }, "weight"), constant([2], [1]));
  expect(parameters.all.map((parameter) => parameter.name)).toEqual(["w"]);
});

test("values must fill the shape, and are copied", () => {
  expect(() => constant([1, 2, 3], [2, 2])).toThrow("constant: shape [2, 2] needs 4 values, got 3.");
  const values = [1, 2];
  const c = constant(values, [2]);
  values[0] = 9;
  const program = runtimes.reference!.compile({ outputs: { c } });
  program.run();
  expect([...program.readNow("c")]).toEqual([1, 2]);
});
