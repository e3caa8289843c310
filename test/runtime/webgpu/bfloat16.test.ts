// bfloat16 on WebGPU: kernels read narrow operands as they are, and those that can round what they make do so at once.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parameter } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { attention } from "../../../src/ops/attention.ts";
import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import { roundToBfloat16, toBfloat16, toFloat32 } from "../../../src/ops/bfloat16.ts";
import { add, exp, multiply } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { streamProjection } from "../../../src/ops/stream-projection.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import { widenReads } from "../../../src/runtime/gpu/implement.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { normal, uniform } from "../../ops/harness.ts";
import { hasWebgpu } from "./here.ts";

test("every read of a narrow operand is widened, also within the index of another", () => {
  expect(widenReads("y[i] = x[2u * i] + table[x[i]];", new Set(["x"]))).toBe(
    "y[i] = widened(x[(2u * i) / 2u], 2u * i) + table[widened(x[(i) / 2u], i)];",
  );
  expect(widenReads("x[x[i] + 1u]", new Set(["x"]))).toBe(
    "widened(x[(widened(x[(i) / 2u], i) + 1u) / 2u], widened(x[(i) / 2u], i) + 1u)",
  );
});

const w = (name: string, ...shape: number[]): Tensor => parameter(name, shape);

/** By the kernel that is to round: a value of bfloat16 operands; those of odd sizes are rounded by a kernel of its own. */
const makers: Readonly<Record<string, (narrow: (x: Tensor) => Tensor) => Tensor>> = {
  smallProduct: (narrow) => matmul(narrow(w("a", 5, 7)), narrow(w("b", 7, 6))),
  "smallProduct with an addend": (narrow) =>
    add(w("c", 2, 5, 6), batchedMatmul(narrow(w("a", 2, 5, 7)), w("b", 2, 7, 6))),
  sumParts: (narrow) => matmul(narrow(w("a", 20, 1100)), w("b", 64, 1100), { transposeB: true }),
  product: (narrow) => add(w("c", 100, 130), matmul(narrow(w("a", 100, 90)), narrow(w("b", 90, 130)))),
  thinProduct: (narrow) => matmul(narrow(w("a", 2, 1200)), w("b", 1200, 4)),
  rmsNorm: (narrow) => rmsNorm(narrow(w("x", 3, 70)), w("weight", 70), 1e-6),
  attention: (narrow) => attention(narrow(w("qkv", 1, 5, 24)), { heads: 2, headSize: 4 }),
  streamWrite: (narrow) => streamWrite(narrow(w("x", 3, 3, 10)), w("h", 3, 15), narrow(w("y", 3, 10))),
  "streamWrite of odd size": (narrow) => streamWrite(narrow(w("x", 3, 3, 5)), w("h", 3, 15), w("y", 3, 5)),
  "a chain": (narrow) => multiply(exp(narrow(w("x", 3, 5))), swiglu(reshape(narrow(w("g", 30)), [3, 10]))),
  streamProjectionBackward: (narrow) => {
    const x = narrow(w("x", 4, 2, 6));
    const [dx] = gradients(
      sum(multiply(w("g", 4, 8), streamProjection(x, w("phi", 8, 12), { over: "token", epsilon: 1e-6 }))),
      [x],
    );
    return dx!;
  },
};

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 120_000 }, () => {
  let runtime: WebgpuRuntime;
  beforeAll(async () => void (runtime = await createWebgpuRuntime()));
  afterAll(() => runtime.close());

  /** What a graph comes to, of parameters that are rounded already, and its kernels. */
  const run = async (y: Tensor): Promise<{ values: TensorValues; kernels: string[] }> => {
    const program = runtime.compile({ outputs: { y } });
    for (const tensor of statesOf(y)) {
      const random = uniform(tensor.shape.length + tensor.shape.reduce((a, b) => a * 3 + b, 1));
      const size = tensor.shape.reduce((a, b) => a * b, 1);
      runtime.write(
        tensor,
        Float32Array.from({ length: size }, () => roundToBfloat16(normal(random))),
      );
    }
    program.run();
    const values = await program.read("y");
    const kernels = program.plan!.calls.map(({ kernel }) => kernel);
    program.release();
    return { values, kernels };
  };

  test.each(Object.entries(makers))("%s rounds what it makes of narrow operands", async (name, make) => {
    const plain = await run(make((x) => x));
    const rounded = await run(toFloat32(toBfloat16(make((x) => toFloat32(toBfloat16(x))))));
    // Widening is a kernel for the output alone.
    expect(rounded.kernels.filter((kernel) => kernel === "toFloat32")).toHaveLength(1);
    const atOnce = !/thin|odd|chain/.test(name);
    if (atOnce) expect(rounded.kernels.at(-2)).not.toBe("toBfloat16");
    for (const [at, value] of plain.values.entries()) {
      const gap = Math.abs(rounded.values[at]! - roundToBfloat16(value));
      expect(gap, `${at}: ${value}`).toBeLessThanOrEqual(Math.abs(value) * 2 ** -7);
      expect(roundToBfloat16(rounded.values[at]!)).toBe(rounded.values[at]);
    }
  });
});

/** The states that a tensor is computed from. */
function statesOf(y: Tensor): Tensor[] {
  const seen = new Set<Tensor>();
  const visit = (tensor: Tensor): void => {
    if (seen.has(tensor)) return;
    seen.add(tensor);
    tensor.node.inputs.forEach(visit);
  };
  visit(y);
  return [...seen].filter(({ node }) => node.inputs.length === 0 && node.op.name === "state");
}
