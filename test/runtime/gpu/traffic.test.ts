// Kernels of streams and rows read and write every value once: counted in their texts, per channel or row.

import { describe, expect, test } from "vitest";
import { parameter } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { streamProjection } from "../../../src/ops/stream-projection.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { multiply } from "../../../src/ops/elementwise.ts";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";

const machine = gpuMachine({ name: "webgpu", largestMemory: 2 ** 40, alignment: 256, largestBuffer: 2 ** 30 });

/** How often the text of a kernel of a graph has each operand. */
function accesses(outputs: Record<string, Tensor>, kernel: string): Record<string, number> {
  const plan = compilePlan({ outputs }, machine, withoutMemory());
  const found = dispatchesOf(plan, 16).find(({ calls }) => calls[0]!.kernel === kernel);
  if (!found) throw new Error(`there is no kernel ${kernel}`);
  const { operands, body } = found.kernel;
  return Object.fromEntries(
    operands.map(({ name }) => [name, body.match(new RegExp(`\\b${name}\\[`, "g"))?.length ?? 0]),
  );
}

const n = 4;
const before = parameter("before", [7, n, 40]);
const [x, h, y] = [parameter("x", [7, n, 40]), parameter("h", [7, n * n + 2 * n]), parameter("y", [7, 40])];
const read = multiply(streamRead(x, h), y);
const next = multiply(streamWrite(x, h, y), parameter("g", x.shape));

describe("a channel of a token", () => {
  test("is read with all its streams once, and written once", () => {
    expect(accesses({ read: streamRead(x, h) }, "streamRead")).toMatchObject({ x: n, y: 1 });
    // The text of one stream that is written, in a loop over n of them.
    expect(accesses({ next: streamWrite(x, h, y) }, "streamWrite")).toMatchObject({ x: n, y: 1, next: 1 });
  });

  test("so are the gradients, also where they add to what is there", () => {
    const [dx] = gradients(sum(read), [x]);
    expect(accesses({ dx: dx! }, "streamReadBackward")).toMatchObject({ x: n, du: 1, dx: n });
    const added = add(before, dx!);
    expect(accesses({ added }, "streamReadBackward")).toMatchObject({ x: n, du: 1, dx: n, addend: n });
    const [dNext] = gradients(sum(next), [x]);
    expect(accesses({ dx: dNext! }, "streamWriteBackward")).toMatchObject({ x: n, y: 1, g: n, dx: n, dy: 1 });
  });

  test("the projection reads the streams at one place, into memory that its group shares", () => {
    const p = streamProjection(x, parameter("phi", [24, n * 40]), { over: "token", epsilon: 1e-20 });
    expect(accesses({ p }, "streamProjection")).toMatchObject({ x: 1, w: 1 });
  });
});

test.each([40, 130, 700, 4000])("a row of %i is read once and written once", (C) => {
  const threads = C <= 512 ? 64 : C <= 1024 ? 128 : 256;
  const each = Math.ceil(C / threads);
  const [row, weight] = [parameter("row", [9, C]), parameter("weight", [C])];
  const normed = rmsNorm(row, weight, 1e-6);
  expect(accesses({ normed }, "rmsNorm")).toMatchObject({ x: each, y: each });
  const [dx] = gradients(sum(multiply(normed, parameter("g", [9, C]))), [row]);
  expect(accesses({ dx: dx! }, "rmsNormBackward")).toMatchObject({ x: each, g: each, dx: each });
});
