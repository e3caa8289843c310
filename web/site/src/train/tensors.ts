// Question: how do the tensors of a session become the bytes of one file?
//
// As safetensors does it (8 bytes with the length of a JSON header, the header, the values), with float32 only: the file
// can be opened by any reader of that format.

import type { SavedTensor } from "../../../../src/browser.ts";

interface Entry {
  readonly dtype: "F32";
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const METADATA = "__metadata__";

/** Bytes of a file with these tensors, in their order. */
export function encodeTensors(
  tensors: readonly SavedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  let at = 0;
  const header: Record<string, Entry | Readonly<Record<string, string>>> = { [METADATA]: metadata };
  for (const { name, shape, data } of tensors)
    header[name] = { dtype: "F32", shape, data_offsets: [at, (at += data.byteLength)] };
  // Values begin at a multiple of eight.
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const words = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + words.length + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(words.length), true);
  bytes.set(words, 8);
  let place = 8 + words.length;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), place);
    place += data.byteLength;
  }
  return bytes;
}

/** The tensors of such a file. */
export function decodeTensors(bytes: ArrayBuffer): SavedTensor[] {
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length))) as Record<string, Entry>;
  const entries = Object.entries(header).filter(([name]) => name !== METADATA);
  return entries.map(([name, { shape, data_offsets }]) => {
    const [from, to] = data_offsets.map((offset) => 8 + length + offset);
    return { name, shape, data: new Float32Array(bytes.slice(from, to)) };
  });
}
