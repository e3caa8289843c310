// Question: how do named tensors become a file that any safetensors reader opens?
//
// safetensors.ts describes the format. If a tensor's length is known only after its last value, the head is written
// last, into room that was reserved for it: spaces may follow the JSON.

import { writeAll } from "./atomic.ts";
import { type DescribedTensor, METADATA_KEY, sizeOf } from "./safetensors.ts";

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/**
 * The head of a file: everything before the tensors' bytes.
 *
 * @param room the smallest number of bytes that the head takes, a multiple of 8; used where the head is written after
 *   the tensors, into reserved room
 */
export function encodeHead(
  tensors: readonly DescribedTensor[],
  metadata: Readonly<Record<string, string>> = {},
  room = 0,
): Uint8Array {
  const entries = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) entries.set(METADATA_KEY, metadata);
  let end = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    if (name === METADATA_KEY) throw new Error(`no tensor can be named ${METADATA_KEY}: the format reserves that name`);
    if (entries.has(name)) throw new Error(`two tensors are named ${name}: give each a different name`);
    const begin = end;
    end += bytes;
    entries.set(name, { dtype, shape, data_offsets: [begin, end] });
  }
  // From entries, because assigning a tensor named "__proto__" would not make a property.
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const head = Buffer.alloc(Math.max(room, 8 + Math.ceil(json.length / 8) * 8), " ");
  head.writeBigUInt64LE(BigInt(head.length - 8));
  json.copy(head, 8);
  return head;
}

/**
 * The file as chunks to write one after another. The tensors are not copied: their chunks are views,
 * to be written before the values change.
 */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const described = tensors.map(({ name, shape, data }) => {
    if (sizeOf(shape) !== data.length) {
      throw new Error(`${name} has the shape [${shape.join(", ")}], which does not hold ${data.length} values`);
    }
    return { name, dtype: data instanceof Int32Array ? "I32" : "F32", shape, bytes: data.byteLength };
  });
  return [
    encodeHead(described, metadata),
    ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ];
}

/** Facts about a tensor that are known after all its bytes are written. */
export interface GrownTensor {
  readonly tensor: Omit<DescribedTensor, "bytes">;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Room for the head of a file of one tensor. */
const HEAD_ROOM = 1024;

/**
 * Writes a file of one tensor to an empty file, with its bytes as they come.
 *
 * @param parts the bytes; the generator returns the description of the tensor
 */
export function writeGrowingTensor(descriptor: number, parts: Iterator<Uint8Array, GrownTensor>): void {
  writeAll(descriptor, new Uint8Array(HEAD_ROOM));
  let bytes = 0;
  let part = parts.next();
  for (; !part.done; part = parts.next()) {
    writeAll(descriptor, part.value);
    bytes += part.value.length;
  }
  const { tensor, metadata } = part.value;
  const head = encodeHead([{ ...tensor, bytes }], metadata, HEAD_ROOM);
  if (head.length > HEAD_ROOM)
    throw new Error(
      `the head of ${tensor.name} takes ${head.length} bytes; there is room for ${HEAD_ROOM}: shorten its metadata`,
    );
  writeAll(descriptor, head, 0);
}
