// Question: how do fields and tensors become a GGUF file, which llama.cpp and its like read?
//
// "GGUF", the version, the numbers of tensors and of fields; the fields; a description of each tensor; then the tensors'
// bytes, each from a multiple of 32 on. Strings and lists have their length before them, as u64; every number is
// little-endian. The sizes of a tensor are listed from the last axis to the first.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

const VERSION = 3;
const ALIGNMENT = 32;
const F32 = 0;

/** A field: its kind and its value. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly flag: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly i32s: readonly number[] };

/** A tensor of float32 numbers. */
export interface GgufTensor {
  readonly name: string;
  /** From the first axis to the last. */
  readonly shape: readonly number[];
  /** Makes its values; called once, when it is written. */
  make(): Float32Array;
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);

function string(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** The number of each kind in the file. */
const kinds = { u32: 4, i32: 5, f32: 6, flag: 7, text: 8, list: 9 } as const;

const list = (kind: number, items: readonly Uint8Array[]): readonly Uint8Array[] => [
  u32(kinds.list),
  u32(kind),
  u64(items.length),
  ...items,
];

function encodeValue(value: GgufValue): readonly Uint8Array[] {
  if ("u32" in value) return [u32(kinds.u32), u32(value.u32)];
  if ("f32" in value) return [u32(kinds.f32), f32(value.f32)];
  if ("flag" in value) return [u32(kinds.flag), Uint8Array.of(Number(value.flag))];
  if ("text" in value) return [u32(kinds.text), string(value.text)];
  if ("texts" in value) return list(kinds.text, value.texts.map(string));
  return list(kinds.i32, [new Uint8Array(Int32Array.from(value.i32s).buffer)]).with(2, u64(value.i32s.length));
}

const bytesOf = ({ shape }: GgufTensor): number => 4 * shape.reduce((product, size) => product * size, 1);
const aligned = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

/** The parts of a file, one after another; each tensor is made when it is its turn. */
export function* encodeGguf(
  fields: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
): Generator<Uint8Array> {
  const entries = Object.entries(fields);
  let offset = 0;
  const described = tensors.flatMap((tensor) => {
    const { name, shape } = tensor;
    const parts = [string(name), u32(shape.length), ...shape.toReversed().map(u64), u32(F32), u64(offset)];
    offset += aligned(bytesOf(tensor));
    return parts;
  });
  const head = Buffer.concat([
    new TextEncoder().encode("GGUF"),
    u32(VERSION),
    u64(tensors.length),
    u64(entries.length),
    ...entries.flatMap(([name, value]) => [string(name), ...encodeValue(value)]),
    ...described,
  ]);
  yield head;
  yield new Uint8Array(aligned(head.length) - head.length);
  for (const tensor of tensors) {
    const { buffer, byteOffset, byteLength } = tensor.make();
    yield new Uint8Array(buffer, byteOffset, byteLength);
    yield new Uint8Array(aligned(byteLength) - byteLength);
  }
}
