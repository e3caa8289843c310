// The file format: against bytes written by hand, against itself, and against files that are wrong.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { UnsoundSafetensorsError } from "../../src/files/safetensors-format.ts";
import { encodeSafetensors, type NamedTensor } from "../../src/files/write-safetensors.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-safetensors-"));
const file = path.join(folder, "tensors.safetensors");
afterAll(() => fs.rmSync(folder, { recursive: true }));

function written(...parts: (string | Uint8Array)[]): string {
  fs.writeFileSync(file, Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part))));
  return file;
}

/** A file with any header, right or wrong, and zeros as data. */
function withHeader(header: unknown, dataBytes: number, length?: bigint): string {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(json.length));
  return written(head, json, Buffer.alloc(dataBytes));
}

const bits = (data: Float32Array | Int32Array): number[] => [
  ...new Uint32Array(data.buffer, data.byteOffset, data.length),
];

describe("writing", () => {
  it("gives the bytes of the format", () => {
    const [head, first, second] = encodeSafetensors(
      [
        { name: "w", shape: [2, 1], data: Float32Array.of(1, -2) },
        { name: "ids", shape: [], data: Int32Array.of(7) },
      ],
      { step: "3" },
    );
    const json =
      '{"__metadata__":{"step":"3"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"ids":{"dtype":"I32","shape":[],"data_offsets":[8,12]}}';
    expect(Buffer.from(head!).readBigUInt64LE()).toBe(BigInt(head!.length - 8));
    expect(head!.length % 8).toBe(0);
    expect(Buffer.from(head!).toString("utf8", 8)).toBe(json.padEnd(head!.length - 8, " "));
    expect([...first!]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    expect([...second!]).toEqual([7, 0, 0, 0]);
  });

  it("does not copy the tensors", () => {
    const memory = new Float32Array(10);
    const [, chunk] = encodeSafetensors([{ name: "view", shape: [3], data: memory.subarray(4, 7) }]);
    expect([chunk!.buffer, chunk!.byteOffset, chunk!.length]).toEqual([memory.buffer, 16, 12]);
  });

  it("says which tensor is wrong", () => {
    const data = new Float32Array(3);
    expect(() => encodeSafetensors([{ name: "a", shape: [2, 2], data }])).toThrow(
      "a has the shape [2, 2], which does not hold 3 values",
    );
    expect(() =>
      encodeSafetensors([
        { name: "a", shape: [3], data },
        { name: "a", shape: [3], data },
      ]),
    ).toThrow("two tensors are named a");
    expect(() => encodeSafetensors([{ name: "__metadata__", shape: [3], data }])).toThrow(
      "the format reserves that name",
    );
  });
});

describe("reading", () => {
  it("widens halves and bfloat16, and narrows 64-bit integers", () => {
    const header = {
      f16: { dtype: "F16", shape: [6], data_offsets: [0, 12] },
      bf16: { dtype: "BF16", shape: [2], data_offsets: [12, 16] },
      i64: { dtype: "I64", shape: [2], data_offsets: [16, 32] },
      i32: { dtype: "I32", shape: [1], data_offsets: [32, 36] },
      f32: { dtype: "F32", shape: [1], data_offsets: [36, 40] },
    };
    const json = Buffer.from(JSON.stringify(header));
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(BigInt(json.length));
    const { tensors } = readSafetensors(
      written(
        head,
        json,
        Uint8Array.of(0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b, 0x00, 0xfc, 0x00, 0x7e),
        Uint8Array.of(0x80, 0x3f, 0x49, 0xc0),
        new Uint8Array(BigInt64Array.of(-5n, 2147483647n).buffer),
        new Uint8Array(Int32Array.of(-1).buffer),
        new Uint8Array(Float32Array.of(0.1).buffer),
      ),
    );
    const values = (name: string): number[] => [...tensors.get(name)!.data];
    expect(values("f16")).toEqual([1, -2, 2 ** -24, 65504, -Infinity, NaN]);
    expect(values("bf16")).toEqual([1, -3.140625]);
    expect(values("i64")).toEqual([-5, 2147483647]);
    expect(values("i32")).toEqual([-1]);
    expect(values("f32")).toEqual([Math.fround(0.1)]);
  });

  const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const wrong: Record<string, [make: () => string, message: string | RegExp]> = {
    "an empty file": [() => written(""), "it has 0 bytes"],
    "a header longer than the file": [
      () => withHeader({}, 0, 1000n),
      "its header has 1000 bytes, but it has 10 bytes in all",
    ],
    "an absurd header length": [() => withHeader({}, 0, 2n ** 53n), "its header has 9007199254740992 bytes"],
    "a header that is not JSON": [() => withHeader("{nonsense", 0), /its header is not JSON \(bytes 8 to 16\): ./],
    "a header that is no object": [() => withHeader([], 0), "its header is not a JSON object"],
    "metadata that are no texts": [() => withHeader({ __metadata__: { a: 1 } }, 0), "is not an object of texts"],
    "an unknown dtype": [
      () => withHeader({ a: { dtype: "F8_E4M3", shape: [4], data_offsets: [0, 4] } }, 4),
      'a has the dtype "F8_E4M3"; F32, F16, BF16, I32, I64 can be read',
    ],
    "a negative size": [
      () => withHeader({ a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4),
      "a has the shape [-1]",
    ],
    "offsets that are not two": [
      () => withHeader({ a: { dtype: "F32", shape: [1], data_offsets: [0] } }, 4),
      "a has the data_offsets [0]",
    ],
    "offsets that do not fit the shape": [
      () => withHeader({ a: f32(0, 8, [3]) }, 8),
      "takes 12 bytes, but its data_offsets [0, 8] hold 8",
    ],
    "a hole": [
      () => withHeader({ a: f32(0, 4), b: f32(8, 12) }, 12),
      /b begins at byte \d+ \(8 of the data\), but a ends at \d+: 4 bytes between them belong to no tensor/,
    ],
    "an overlap": [
      () => withHeader({ a: f32(0, 8), b: f32(4, 12) }, 12),
      /b begins at byte \d+ \(4 of the data\), but a ends at \d+: 4 bytes belong to both/,
    ],
    "a file that was cut off": [
      () => withHeader({ a: f32(0, 8), b: f32(8, 20, [1, 3]), c: f32(20, 24) }, 13),
      /cut off: b, F32 \[1, 3\], takes bytes \d+ to \d+, but the file ends at byte \d+, and 1 more tensors were to follow/,
    ],
    "bytes after the last tensor": [
      () => withHeader({ a: f32(0, 8) }, 9),
      /a ends at byte \d+, but the file has \d+ bytes: the rest belongs to no tensor/,
    ],
    "a name that comes twice": [
      () =>
        withHeader(
          '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "\\u0061" : {"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
          8,
        ),
      "two tensors are named a",
    ],
    "a large 64-bit integer": [
      () => {
        withHeader({ n: { dtype: "I64", shape: [1], data_offsets: [0, 8] } }, 8);
        const bytes = fs.readFileSync(file);
        bytes.writeBigInt64LE(2n ** 40n, bytes.length - 8);
        return written(bytes);
      },
      "n holds 1099511627776, which is too large for 32 bits",
    ],
  };
  for (const [what, [make, message]] of Object.entries(wrong)) {
    it(`refuses ${what}`, () => {
      const made = make();
      expect(() => readSafetensors(made)).toThrow(`${made} is not a sound safetensors file`);
      expect(() => readSafetensors(made)).toThrow(message);
    });
  }

  const foreign: Record<string, [begin: string, message: string]> = {
    "PyTorch's zip archive": ["PK\x03\x04\x00\x00\x08\x08", "it is a zip archive, as PyTorch's .bin"],
    "a pickle": ["\x80\x02\x8a\nl\xfc\x9cF", "it is a Python pickle"],
    GGUF: ["GGUF\x03\x00\x00\x00\x00", "it is a GGUF file"],
    "a pointer of Git LFS": ["version https://git-lfs.github.com/spec/v1\n", "git lfs pull"],
    "a web page": ["<!DOCTYPE html>", "the download went wrong"],
    "an index": ['{"weight_map": {}}', "begins as JSON does"],
    "a NumPy array": ["\x93NUMPY\x01\x00", "a NumPy array"],
  };
  for (const [what, [begin, message]] of Object.entries(foreign)) {
    it(`recognises ${what}`, () => {
      expect(() => readSafetensors(written(Buffer.from(begin, "latin1"), Buffer.alloc(100)))).toThrow(message);
    });
  }

  it("names the tensor and the byte of a file that is cut anywhere", () => {
    const whole = Buffer.concat(
      encodeSafetensors([
        { name: "first", shape: [3], data: Float32Array.of(1, 2, 3) },
        { name: "second", shape: [2], data: Float32Array.of(4, 5) },
      ]),
    );
    const data = whole.length - 20;
    for (let size = data; size < whole.length; size++) {
      const [name, begin, end] = size < data + 12 ? ["first", 0, 11] : ["second", 12, 19];
      expect(() => readSafetensors(written(whole.subarray(0, size)))).toThrow(
        new RegExp(
          `cut off: ${name}, .* takes bytes ${data + begin} to ${data + end}, but the file ends at byte ${size}`,
        ),
      );
    }
  });

  it("refuses or reads whatever was done to a file, and takes no more memory than the file is long", () => {
    const whole = Buffer.concat(
      encodeSafetensors(
        [
          { name: "a", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
          { name: "b", shape: [3], data: Int32Array.of(7, 8, 9) },
        ],
        { step: "3" },
      ),
    );
    const digits = [...whole.subarray(0, whole.length - 36).entries()].filter(([, byte]) => byte >= 48 && byte <= 57);
    const change = fc.oneof(
      fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) }),
      // Numbers of the header, which claim other sizes and places.
      fc.record({ at: fc.constantFrom(...digits.map(([at]) => at)), byte: fc.integer({ min: 48, max: 57 }) }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(whole.length), fc.boolean(), (changes, size, cut) => {
        const changed = Buffer.from(whole);
        for (const { at, byte } of changes) changed[at] = byte;
        written(cut ? changed.subarray(0, size) : changed);
        let numbers = 0;
        try {
          for (const { data } of readSafetensors(file).tensors.values()) numbers += data.length;
        } catch (error) {
          expect(error).toBeInstanceOf(UnsoundSafetensorsError);
          // What was thrown is said on purpose, and is no slip of the reader's own.
          expect(((error as Error).cause as Error).constructor).toBe(Error);
          expect((error as Error).message).toContain(`${file} is not a sound safetensors file: `);
        }
        expect(numbers).toBeLessThanOrEqual(36);
      }),
      { numRuns: 2000 },
    );
  });

  it("names a file that is not there", () => {
    expect(() => readSafetensors(path.join(folder, "none"))).toThrow("there is no such file");
  });

  it("never fails but with an error of its own, whatever single byte is changed", () => {
    const tensors = [
      { name: "a", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      { name: "b", shape: [0], data: new Float32Array(0) },
    ];
    const sound = Buffer.concat(encodeSafetensors(tensors, { k: "v" }));
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(sound);
        bytes[at]! ^= change;
        try {
          readSafetensors(written(bytes));
        } catch (error) {
          expect(String(error)).toContain("is not a sound safetensors file");
        }
      }),
      { numRuns: 300 },
    );
  });
});

it("reads what it wrote, to the bit, from any memory", () => {
  const shape = fc.array(fc.nat(4), { maxLength: 3 });
  const tensor = fc
    .tuple(fc.string({ unit: "binary", maxLength: 12 }), shape, fc.boolean(), fc.integer())
    .map(([name, shape, whole, seed]): NamedTensor => {
      const size = shape.reduce((product, n) => product * n, 1);
      const memory = new SharedArrayBuffer(4 * size + 8);
      const words = new Int32Array(memory, 8, size).map((_, i) => Math.imul(seed + i, 0x9e3779b1));
      const data = whole ? new Int32Array(memory, 8, size) : new Float32Array(memory, 8, size);
      new Int32Array(memory, 8, size).set(words);
      return { name, shape, data };
    });
  const tensors = fc
    .uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 })
    .filter((all) => all.every(({ name }) => name !== "__metadata__"));
  const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3, noNullPrototype: true });
  fc.assert(
    fc.property(tensors, metadata, (tensors, metadata) => {
      const read = readSafetensors(written(...encodeSafetensors(tensors, metadata)));
      expect(Object.entries(read.metadata)).toEqual(Object.entries(metadata));
      expect(read.tensors.size).toBe(tensors.length);
      for (const { name, shape, data } of tensors) {
        const found = read.tensors.get(name)!;
        expect([found.dtype, found.shape, bits(found.data)]).toEqual([
          data instanceof Int32Array ? "I32" : "F32",
          shape,
          bits(data),
        ]);
      }
    }),
  );
});
