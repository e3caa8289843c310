// Question: how does a tensor become a file when its length is known only after its last value?
//
// The head is written last, into room that was reserved for it: spaces may follow the JSON.

import { writeAll } from "./atomic.ts";
import type { DescribedTensor } from "./safetensors-format.ts";
import { encodeHead } from "./write-safetensors.ts";

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
