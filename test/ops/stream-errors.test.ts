// What does a mistake with streams say? What was given, what is allowed, how to mend it.

import { expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { ShapeError } from "../../src/graph/tensor.ts";
import { hyperCoefficients } from "../../src/ops/hyper-coefficients.ts";
import { manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { streamWrite } from "../../src/ops/stream-write.ts";
import { collapse } from "../../src/ops/expand.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";

const tensor = (...shape: number[]) => input("tensor", shape);

test.each([
  ["streams without their axis", () => collapse(tensor(7, 5), "sum"), /collapse: .*expand\(x, n\).* x \[7, 5\]/],
  [
    "coefficients of another n",
    () => streamRead(tensor(7, 4, 5), tensor(7, 8)),
    /4 streams need n² \+ 2n = 24 .* coefficients \[7, 8\]/,
  ],
  [
    "a result that has streams",
    () => streamWrite(tensor(7, 4, 5), tensor(7, 24), tensor(7, 4, 5)),
    /no axis of streams.* y \[7, 4, 5\]/,
  ],
  [
    "a phi that is transposed",
    () => manifoldCoefficients(tensor(7, 4, 5), tensor(20, 24), tensor(3), tensor(24)),
    /\[24, 20\].* phi \[20, 24\]/,
  ],
  [
    "an alpha of one number",
    () => manifoldCoefficients(tensor(7, 4, 5), tensor(24, 20), tensor(1), tensor(24)),
    /alpha must be \[3\].* alpha \[1\]/,
  ],
  [
    "a theta without rows for pre and post",
    () => hyperCoefficients(tensor(7, 4, 5), tensor(4, 5), tensor(3), tensor(24)),
    /\[6, 5\].* theta \[4, 5\]/,
  ],
  ["a matrix that is not square", () => sinkhorn(tensor(7, 4, 5)), /square.* logits \[7, 4, 5\]/],
])("%s", (_what, build, message) => {
  expect(build).toThrow(ShapeError);
  expect(build).toThrow(message);
});

test("a number of iterations that is none, or too many for the kernels", async () => {
  expect(() => sinkhorn(tensor(4, 4), { iterations: 2.5 })).toThrow(/2\.5; .* whole number/);
  const runtime = await createWasmRuntime({ threads: 1 });
  expect(() => runtime.compile({ outputs: { out: sinkhorn(tensor(32, 32), { iterations: 5000 }) } })).toThrow(
    /5000 iterations .* 32 × 32; the CPU runtime does \d+ at most/,
  );
  runtime.close();
});
