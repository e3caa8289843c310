// A plan as words, read back the way kernels/interpreter.ts reads them.

import { expect, test } from "vitest";
import type { Buffer, Call, Phase } from "../../../src/runtime/plan/calls.ts";
import { encodeProgram, type Place, programSize } from "../../../src/runtime/wasm/encode.ts";

const BASE = 4096;
const buffers: Buffer[] = [96, 100, 4].map((floats, index) => ({ name: `buffer ${index}`, bytes: 4 * floats }));
const addressOf = (buffer: Buffer): number => 1_000_000 + 1000 * buffers.indexOf(buffer);
const placeOf = (buffer: Buffer): Place => ({ address: addressOf(buffer) });

const call = (kernel: string, operands: readonly (number | undefined)[], words: Call["words"]): Call => ({
  kernel,
  label: kernel,
  words,
  domain: 1,
  grain: 1,
  inPlace: [],
  flops: 0,
  operands: operands.map((index) =>
    index === undefined ? undefined : { buffer: buffers[index]!, access: "read", aligned: true },
  ),
});
const [first, second, third] = [
  call("a", [0, undefined, 1], [{ i32: -7 }, { f32: 0.1 }, { itemOf: buffers[0]! }]),
  call("b", [2], [{ itemOf: buffers[1]! }]),
  call("c", [], []),
] as const;
const phases: Phase[] = [
  [
    { domain: 48, grain: 16, calls: [first, second] },
    { domain: 3, grain: 2, calls: [third] },
  ],
  [{ domain: 1, grain: 1, calls: [third] }],
];
const kernelIndex = (name: string): number => " abc".indexOf(name);

interface DecodedCall {
  readonly record: number;
  readonly kernel: number;
  readonly words: number[];
  /** [position, offset, bytes of a row] of each argument in the thread's own memory. */
  readonly locals: number[][];
}

/** Groups of [opens a phase, domain, grain, calls], and of each call its kernel and its arguments. */
function decode(words: Int32Array): { header: number[]; calls: DecodedCall[] }[] {
  const at = (address: number): number => (address - BASE) / 4;
  return Array.from({ length: words[0]! }, (_, index) => {
    const group = at(words[4 + index]!);
    let next = group + 4;
    const calls = Array.from({ length: words[group + 3]! }, (): DecodedCall => {
      const record = BASE + 4 * next;
      const [kernel, args, size, count] = words.subarray(next, next + 4) as unknown as [number, number, number, number];
      next += 4;
      const locals = Array.from({ length: count }, (_unused, i) => [...words.subarray(next + 3 * i, next + 3 * i + 3)]);
      next += 3 * count;
      return { record, kernel, words: [...words.subarray(at(args), at(args) + size)], locals };
    });
    return { header: [...words.subarray(group, group + 4)], calls };
  });
}

test("groups, phases, pointers and words", () => {
  const { words, calls } = encodeProgram(phases, BASE, placeOf, kernelIndex);
  expect(words).toHaveLength(programSize(phases, placeOf));
  expect([...words.subarray(0, 4)]).toEqual([3, 0, 0, 0]);
  const groups = decode(words);
  // The first group of every phase but the first opens it.
  expect(groups.map(({ header }) => header)).toEqual([
    [0, 48, 16, 2],
    [0, 3, 2, 1],
    [1, 1, 1, 1],
  ]);
  expect(groups.map((group) => group.calls.map(({ kernel }) => kernel))).toEqual([[1, 2], [3], [3]]);
  const floatBits = new Int32Array(Float32Array.of(0.1).buffer)[0]!;
  // 96 floats over 48 items are 2 an item.
  expect(groups[0]!.calls[0]!.words).toEqual([addressOf(buffers[0]!), 0, addressOf(buffers[1]!), -7, floatBits, 2]);
  // 100 floats do not divide into 48 items: the item is rounded up to whole vectors of 8.
  expect(groups[0]!.calls[1]!.words).toEqual([addressOf(buffers[2]!), 8]);
  expect(calls.map(({ record }) => record)).toEqual(groups.flatMap((group) => group.calls.map(({ record }) => record)));
  expect(calls.map((encoded) => encoded.call)).toEqual([first, second, third, third]);
});

test("a local buffer has no address, but a place in each thread's memory", () => {
  const local = { offset: 384, rowBytes: 8 };
  const place = (buffer: Buffer): Place => (buffer === buffers[0] ? { local } : placeOf(buffer));
  const { words } = encodeProgram(phases, BASE, place, kernelIndex);
  expect(words).toHaveLength(programSize(phases, place));
  const { calls } = decode(words)[0]!;
  expect(calls[0]!.locals).toEqual([[0, 384, 8]]);
  expect(calls[0]!.words.slice(0, 3)).toEqual([0, 0, addressOf(buffers[1]!)]);
  expect(calls[1]!.locals).toEqual([]);
});

test("an empty program", () => {
  expect([...encodeProgram([], BASE, placeOf, kernelIndex).words]).toEqual([0, 0, 0, 0]);
});
