// Question: how are gradients added up that travel as bfloat16?
//
// Each rank rounds its own to the nearest bfloat16 and sends the part of every other rank there. The rank that owns a part
// widens what has come and adds it up in float32, in the order of the ranks, its own as rounded as the others': so no sum
// is rounded on its way, and a gradient does not depend on which rank owns it.

import type { Pool } from "../../basics/pool.ts";
import type { Collective, Pending } from "../../runtime/collective/collective.ts";

/** A reduce-scatter that is begun; `finish` once it is done. */
export interface Reducing {
  readonly pending: Pending;
  finish(): void;
}

/** Rank q gets the sum of all ranks' parts q, rounded to bfloat16 before: `whole` is N parts as long as `own`, of an even length. */
export function reduceNarrow(ranks: Collective, whole: Float32Array, own: Float32Array, pool: Pool): Reducing {
  const [sent, come] = [pool.take(whole.length >> 1), pool.take(whole.length >> 1)];
  narrow(whole, halvesOf(sent));
  return {
    pending: ranks.allToAll(bytesOf(sent), bytesOf(come)),
    finish() {
      sumParts(halvesOf(come), own);
      pool.give(sent);
      pool.give(come);
    },
  };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
const halvesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint16Array =>
  new Uint16Array(buffer, byteOffset, byteLength >> 1);
const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length);

/** The nearest bfloat16 of each value, ties to even; NaN stays NaN. */
export function narrow(values: Float32Array, into: Uint16Array): void {
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    into[i] = (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}

/** The sum of parts of bfloat16, as many as `sums` fits into `parts`, in their order. */
export function sumParts(parts: Uint16Array, sums: Float32Array): void {
  const { length } = sums;
  const wide = new Float32Array(1);
  const word = new Uint32Array(wide.buffer);
  for (let i = 0; i < length; i++) {
    word[0] = parts[i]! << 16;
    let sum = wide[0]!;
    for (let at = length + i; at < parts.length; at += length) {
      word[0] = parts[at]! << 16;
      sum = Math.fround(sum + wide[0]!);
    }
    sums[i] = sum;
  }
}
