// Products on WebGPU, a shape for each kernel: tiles of every size, thin ones, and those cut along the inner index.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parameter } from "../../../src/graph/state.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { partsOf, tileFor } from "../../../src/runtime/gpu/ops/matmul.ts";
import { DEPTH } from "../../../src/runtime/gpu/tiles.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { expertProductCase } from "../../ops/cases/expert-matmul.ts";
import type { Mixture } from "../../ops/cases/mixtures.ts";
import { buildCase, normal, relativeError, runCase, uniform } from "../../ops/harness.ts";
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

/** Just too much for the kernels of small products; with the rows of the tile of y, and of the tile of dW. */
const mixtures: readonly (Mixture & { readonly tiles: string; readonly transposed: boolean })[] = [
  { tokens: 48, experts: 3, active: 2, channels: 110, hidden: 101, tiles: "32 64", transposed: false },
  // Expert 1 has no rows, and the tiles of the others end within them.
  {
    tokens: 151,
    experts: 3,
    active: 1,
    channels: 71,
    hidden: 99,
    among: (draw) => (draw < 0.6 ? 0 : 2),
    tiles: "64 64",
    transposed: true,
  },
  { tokens: 200, experts: 2, active: 2, channels: 14, hidden: 195, tiles: "128 64", transposed: false },
  { tokens: 30, experts: 2, active: 1, channels: 193, hidden: 197, tiles: "32 128", transposed: true },
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
  test.each(mixtures)("experts, %o", async ({ tiles, transposed, ...mixture }) => {
    const built = buildCase(expertProductCase(mixture, transposed));
    const expected = runCase(createReferenceRuntime(), built);
    const program = runtime.compile({ outputs: built.outputs });
    const kernels = dispatchesOf(program.plan!, 16).filter(({ calls }) => /expert/i.test(calls[0]!.kernel));
    const rowsOf = (name: string): string[] =>
      kernels.filter(({ calls }) => calls[0]!.kernel === name).map(({ kernel }) => tileRows(kernel.functions));
    expect(kernels.map(({ calls }) => calls[0]!.kernel)).not.toContain("smallExpertProduct");
    expect(`${rowsOf("expertProduct")[0]} ${rowsOf("expertOuter")[0]}`).toBe(tiles);
    for (const [tensor, values] of built.inputs) runtime.write(tensor, values);
    program.run();
    for (const name of Object.keys(built.outputs)) {
      expect(relativeError(await program.read(name), expected[name]!), name).toBeLessThan(1e-5);
    }
    program.release();
  });
});

/** The rows of a tile, by the memory that its group shares. */
function tileRows(functions: readonly string[]): string {
  const words = functions.join("\n").match(/tileA: array<vec4<f32>, (\d+)>/);
  return String(4 * (Number(words?.[1]) / DEPTH - 1));
}
