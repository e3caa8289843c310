// Products on WebGPU, a shape for each kernel: tiles of every size, thin ones, and those cut along the inner index.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parameter } from "../../../src/graph/state.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { partsOf, tileFor } from "../../../src/runtime/gpu/ops/matmul.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { normal, relativeError, uniform } from "../../ops/harness.ts";
import { hasWebgpu } from "./here.ts";

interface Shape {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly batch?: number;
  readonly addend?: boolean;
}

/** With the kernels that it should become. */
const shapes: readonly (Shape & { readonly kernels: string })[] = [
  { rows: 70, inner: 131, columns: 129, transposeA: true, transposeB: true, addend: true, kernels: "product" },
  { rows: 64, inner: 1030, columns: 66, transposeB: true, kernels: "product sumParts" },
  { rows: 24, inner: 1100, columns: 130, transposeA: true, addend: true, kernels: "product sumParts" },
  { rows: 130, inner: 1100, columns: 24, kernels: "product sumParts" },
  { rows: 66, inner: 19, columns: 65, batch: 128, kernels: "product" },
  { rows: 3, inner: 1100, columns: 330, kernels: "thinProduct sumParts" },
  { rows: 1, inner: 1100, columns: 1000, transposeB: true, addend: true, kernels: "thinProduct sumParts" },
  { rows: 1000, inner: 1100, columns: 5, kernels: "thinProduct sumParts" },
  { rows: 500, inner: 1100, columns: 2, transposeA: true, kernels: "thinProduct sumParts" },
];

test("the tile is large where there are enough of them, and the inner index is cut where there are few", () => {
  const of = (rows: number, inner: number, columns: number): string => {
    const tile = tileFor({ batch: 1, rows, inner, columns });
    return `${tile.rows}x${tile.columns}`;
  };
  expect(of(8192, 768, 3072)).toBe("128x128");
  expect(of(4096, 4096, 4096)).toBe("128x128");
  expect(of(100, 64, 100)).toBe("64x64");
  expect(tileFor({ batch: 128, rows: 66, inner: 19, columns: 65 }).rows).toBe(128);
  expect(of(24, 8192, 5120)).toBe("32x64");
  expect(of(8192, 5120, 24)).toBe("64x32");
  expect(partsOf(768, 1536, 256)).toBe(1);
  expect(partsOf(8192, 36, 256)).toBe(8);
  expect(partsOf(100, 1, 64)).toBe(1);
});

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 120_000 }, () => {
  let runtime: WebgpuRuntime;
  beforeAll(async () => void (runtime = await createWebgpuRuntime()));
  afterAll(() => runtime.close());

  test.each(shapes)("%o", async ({ rows, inner, columns, kernels, batch, addend, ...transposes }) => {
    const { transposeA = false, transposeB = false } = transposes;
    const leading = batch === undefined ? [] : [batch];
    const a = parameter("a", [...leading, ...(transposeA ? [inner, rows] : [rows, inner])]);
    const b = parameter("b", [...leading, ...(transposeB ? [columns, inner] : [inner, columns])]);
    const given = parameter("given", [...leading, rows, columns]);
    const c = (batch === undefined ? matmul : batchedMatmul)(a, b, { transposeA, transposeB });
    const spec = { outputs: { c: addend ? add(given, c) : c } };
    const random = uniform(3);
    const values = [a, b, given].map((tensor) => ({
      tensor,
      values: Float32Array.from({ length: tensor.shape.reduce((x, y) => x * y, 1) }, () => normal(random)),
    }));
    const reference = createReferenceRuntime();
    const expected = reference.compile(spec);
    const program = runtime.compile(spec);
    for (const { tensor, values: data } of values) {
      reference.write(tensor, data);
      runtime.write(tensor, data);
    }
    const found = dispatchesOf(program.plan!, 16).flatMap(({ calls }) => calls.map(({ kernel }) => kernel));
    expect(found.join(" ")).toBe(kernels);
    expected.run();
    program.run();
    const once = await program.read("c");
    program.run();
    expect(await program.read("c")).toEqual(once);
    expect(relativeError(once, Float64Array.from(expected.readNow("c")))).toBeLessThan(1e-5);
    program.release();
  });
});
