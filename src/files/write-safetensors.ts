// Question: how do named tensors become bytes that any safetensors reader opens?
//
// safetensors-format.ts describes the format.

import { type DescribedTensor, METADATA_KEY, sizeOf } from "./safetensors-format.ts";

const SPACE = 0x20;

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
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const head = new Uint8Array(Math.max(room, 8 + Math.ceil(json.length / 8) * 8)).fill(SPACE);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
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
