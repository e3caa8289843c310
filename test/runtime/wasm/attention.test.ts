// Question: do the attention kernels agree with the float64 reference, forward and every gradient, in both
// builds and with both widths of register tiles, for sizes that fit no block?

import { beforeAll, describe, expect, it } from "vitest";
import { Values } from "../../../src/graph/tensor.ts";
import { attentionBackwardOperation, attentionOperation } from "../../../src/ops/attention.ts";
import { type Pointers, type Words, writeArguments } from "../../../src/runtime/wasm/call.ts";
import { type Build, instantiate, type KernelExports } from "../../../src/runtime/wasm/module.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";

interface Shape {
  readonly batch: number;
  readonly T: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly D: number;
  /** Standard deviation of queries, keys and values. */
  readonly spread?: number;
  readonly scale?: number;
}

const shapes: readonly Shape[] = [
  { batch: 1, T: 1, heads: 1, kvHeads: 1, D: 4 },
  { batch: 2, T: 5, heads: 2, kvHeads: 1, D: 6 },
  { batch: 2, T: 16, heads: 3, kvHeads: 3, D: 8 },
  { batch: 1, T: 33, heads: 4, kvHeads: 2, D: 12 },
  { batch: 1, T: 48, heads: 2, kvHeads: 2, D: 16 },
  { batch: 2, T: 49, heads: 2, kvHeads: 2, D: 1 },
  { batch: 1, T: 97, heads: 6, kvHeads: 2, D: 24 },
  { batch: 1, T: 256, heads: 2, kvHeads: 2, D: 32 },
  { batch: 1, T: 289, heads: 1, kvHeads: 1, D: 8 },
  { batch: 1, T: 310, heads: 2, kvHeads: 1, D: 64 },
  { batch: 1, T: 640, heads: 2, kvHeads: 1, D: 20 },
  { batch: 1, T: 130, heads: 1, kvHeads: 1, D: 512 },
  { batch: 1, T: 60, heads: 2, kvHeads: 1, D: 16, spread: 6 },
  { batch: 1, T: 330, heads: 1, kvHeads: 1, D: 16, spread: 5, scale: -0.5 },
];

const PAGES = 256;
const SCRATCH = 65536;
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536, shared: true });
const floats = new Float32Array(memory.buffer);

/** Standard normal numbers by a fixed generator, rounded to float32. */
function normals(count: number, spread: number, seed: number): Float64Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () =>
    Math.fround(spread * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())),
  );
}

interface Case {
  readonly attributes: { heads: number; kvHeads: number; headSize: number; valueSize: number; scale: number };
  readonly qkv: Values;
  readonly g: Values;
}

function makeCase({ batch, T, heads, kvHeads, D, spread = 1, scale = 1 / Math.sqrt(D) }: Shape): Case {
  const E = (heads + 2 * kvHeads) * D;
  return {
    attributes: { heads, kvHeads, headSize: D, valueSize: D, scale: Math.fround(scale) },
    qkv: new Values([batch, T, E], normals(batch * T * E, spread, 7)),
    g: new Values([batch, T, heads * D], normals(batch * T * heads * D, 1, 11)),
  };
}

function reference({ attributes, qkv, g }: Case): { out: Float64Array; lse: Float64Array; dqkv: Float64Array } {
  const [batch, T] = qkv.shape as [number, number];
  const out = new Values(g.shape);
  const lse = new Values([batch, attributes.heads, T]);
  const dqkv = new Values(qkv.shape);
  attentionOperation.reference({ qkv }, { out, lse }, attributes);
  attentionBackwardOperation.reference({ qkv, out, lse, g }, { dqkv }, attributes);
  return { out: out.data, lse: lse.data, dqkv: dqkv.data };
}

/** Forward and backward by the kernels, `cut` tasks a call; every buffer starts as NaN and ends in a guard. */
function run(
  kernels: KernelExports,
  { attributes, qkv, g }: Case,
  cut: number,
): { out: Float32Array; lse: Float32Array; dqkv: Float32Array } {
  const { heads, kvHeads, headSize: D, scale } = attributes;
  const [batch, T, E] = qkv.shape as [number, number, number];
  const GUARD = 12345;
  const guards: number[] = [];
  let next = SCRATCH + 2 ** 20;
  const place = (count: number, data?: Float64Array): number => {
    const at = next;
    next = (at + count * 4 + 64 + 63) & ~63;
    floats.fill(NaN, at / 4, at / 4 + count);
    if (data) floats.set(data, at / 4);
    floats.fill(GUARD, at / 4 + count, next / 4);
    guards.push(at / 4 + count, next / 4);
    return at;
  };
  floats.fill(NaN, SCRATCH / 4, SCRATCH / 4 + 2 ** 18);
  const buffers = {
    qkv: place(qkv.data.length, qkv.data),
    out: place(g.data.length),
    lse: place(batch * heads * T),
    g: place(g.data.length, g.data),
    dqkv: place(qkv.data.length),
  };
  expect(next).toBeLessThan(PAGES * 65536);

  const sizes = { length: T, heads, kvHeads, headSize: D, scale, width: E, valueSize: D };
  const call = <K extends "attention" | "attentionBackward">(
    kernel: K,
    domain: number,
    pointers: Pointers<NoInfer<K>, number>,
  ): void => {
    const args = 32768;
    writeArguments(memory.buffer, args, kernel, pointers, sizes as Words<K>);
    for (let begin = 0; begin < domain; begin += cut)
      kernels[kernel]!(args, begin, Math.min(begin + cut, domain), SCRATCH);
  };
  const { qkv: from, out, lse } = buffers;
  call("attention", batch * heads, { qkv: from, out, lse });
  call("attentionBackward", batch * kvHeads, buffers);

  for (let i = 0; i < guards.length; i += 2)
    expect(floats.subarray(guards[i], guards[i + 1]).every((x) => x === GUARD)).toBe(true);
  const read = (at: number, count: number): Float32Array => floats.slice(at / 4, at / 4 + count);
  return {
    out: read(buffers.out, g.data.length),
    lse: read(buffers.lse, batch * heads * T),
    dqkv: read(buffers.dqkv, qkv.data.length),
  };
}

/** Largest difference in units of the largest expected magnitude. */
function error(actual: Float32Array, expected: Float64Array): number {
  let difference = 0;
  let magnitude = 0;
  for (const [i, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs(actual[i]! - value));
    magnitude = Math.max(magnitude, Math.abs(value));
  }
  return difference / Math.max(magnitude, 1);
}

describe.each<[Build, number]>([
  ["relaxed", 16],
  ["relaxed", 8],
  ["simd", 8],
])("attention, %s build, panels of %i", (build, width) => {
  let kernels: KernelExports;
  beforeAll(async () => {
    nodeHost.prepareEngine({ revectorise: width === 16 });
    kernels = instantiate((await nodeHost.loadKernels(build)).module, memory).exports;
    kernels.setPanelWidth(width);
  });

  it.each(shapes)("B $batch, T $T, heads $heads/$kvHeads, D $D", (shape) => {
    const values = makeCase(shape);
    const expected = reference(values);
    const actual = run(kernels, values, 1);
    expect(error(actual.out, expected.out)).toBeLessThan(1e-5);
    expect(error(actual.lse, expected.lse)).toBeLessThan(1e-5);
    expect(error(actual.dqkv, expected.dqkv)).toBeLessThan(1e-4);
  });

  it("has the gradient that finite differences of the reference give", () => {
    const values = makeCase({ batch: 1, T: 4, heads: 2, kvHeads: 1, D: 3 });
    const { dqkv } = run(kernels, values, 1);
    const loss = (): number => reference(values).out.reduce((sum, x, i) => sum + x * values.g.data[i]!, 0);
    for (const [i, x] of values.qkv.data.entries()) {
      values.qkv.data[i] = x + 1e-5;
      const above = loss();
      values.qkv.data[i] = x - 1e-5;
      const below = loss();
      values.qkv.data[i] = x;
      expect(dqkv[i]).toBeCloseTo((above - below) / 2e-5, 4);
    }
  });

  it("gives the same bits however the tasks are cut", () => {
    const values = makeCase({ batch: 3, T: 70, heads: 4, kvHeads: 2, D: 10 });
    expect(run(kernels, values, 5)).toEqual(run(kernels, values, 1));
  });

  it("shows a NaN instead of hiding it", () => {
    const values = makeCase({ batch: 1, T: 20, heads: 1, kvHeads: 1, D: 8 });
    values.qkv.data[10 * 24] = NaN;
    const { out } = run(kernels, values, 1);
    expect(out.slice(0, 10 * 8).every(Number.isFinite)).toBe(true);
    expect(out[10 * 8]).toBeNaN();
  });
});
