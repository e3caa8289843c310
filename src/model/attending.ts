// Question: where do a token's keys and values come from?
//
// In training they come from the other tokens of its sequence, all computed at once. In generation they come from
// a cache that earlier tokens filled: rows [R, 1] of any texts, each at its own position. The blocks of the model
// are the same in both cases; an `Attending` decides what they attend to. Connections work token by token;
// one that asks for a mean over earlier tokens attends to them, too.

import { persistent } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import { attention } from "../ops/attention.ts";
import { cachedAttention } from "../ops/cached-attention.ts";
import { gather } from "../ops/gather.ts";
import { reshape } from "../ops/reshape.ts";
import { rotaryTable } from "../ops/rotary-table.ts";

/** Query heads, the key heads that serve them, and columns of each. */
export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  /** Columns of a query and of a key. */
  readonly headSize: number;
  /** Columns of a value. Default: headSize. */
  readonly valueSize?: number;
  /** What scores are multiplied by. Default: 1 / √headSize. */
  readonly scale?: number;
}

/** How the blocks of a model attend to other tokens. */
export interface Attending {
  /** Whether keys and values are kept for later tokens; latent attention then keeps only its latents. */
  readonly remembers: boolean;
  /** Cosines and sines for `rotary`, for tokens of T = length, with the geometric row of `theta`. */
  angles(options: { readonly length: number; readonly dimension: number; readonly theta: number }): Tensor;
  /** Turned queries, keys and values of a layer, side by side as in `attention` → [B, T, heads · valueSize]. */
  attend(qkv_BTE: Tensor, heads: Heads, layer: number): Tensor;
}

/** Every token attends to those before it in its own sequence; positions count from its start. */
export const wholeSequences: Attending = {
  remembers: false,
  angles: (options) => rotaryTable(options),
  attend: (qkv_BTE, heads) => attention(qkv_BTE, heads),
};

/** Keys and values of the tokens read so far, in every layer, in P blocks of B positions. */
export interface KeyValueCache {
  /** For each layer: keys [P, kvHeads, headSize, B], values [P, kvHeads, B, valueSize]. */
  layer(index: number, heads: Heads): { readonly keys: Tensor; readonly values: Tensor };
  /** Cosines and sines of all positions, [T, dimension]; a program that updates them writes them once. */
  readonly angles: Tensor;
  /** The initial value of `angles`. */
  readonly table: Tensor;
}

/**
 * @param size blocks P of positions B each; positions T = length; dimension and theta of the rotary angles
 */
export function keyValueCache(size: {
  blocks: number;
  blockSize: number;
  length: number;
  dimension: number;
  theta: number;
}): KeyValueCache {
  const { blocks, blockSize, length, dimension, theta } = size;
  const layers = new Map<number, { keys: Tensor; values: Tensor }>();
  return {
    layer(index, { kvHeads, headSize, valueSize = headSize }) {
      let made = layers.get(index);
      if (!made) {
        made = {
          keys: persistent(`cache.${index}.keys`, [blocks, kvHeads, headSize, blockSize]),
          values: persistent(`cache.${index}.values`, [blocks, kvHeads, blockSize, valueSize]),
        };
        layers.set(index, made);
      }
      return made;
    },
    angles: persistent("cache.angles", [length, dimension]),
    table: rotaryTable({ length, dimension, theta }),
  };
}

/** Attending to a cache, and what a program must update so that the cache keeps the new tokens. */
export interface Cached extends Attending {
  readonly updates: readonly (readonly [state: Tensor, value: Tensor])[];
}

/**
 * Rows of tokens, [R, 1], that attend to a cache and are added to it.
 *
 * @param rows i32 [R]: the position of each row in its text, and the text's slot, or −1 for padding; blocks i32 [S, N]:
 *   where the texts of the slots lie
 */
export function cachedTexts(
  cache: KeyValueCache,
  { blocks, ...rows }: { positions: Tensor; slots: Tensor; blocks: Tensor },
): Cached {
  const updates: [Tensor, Tensor][] = [];
  return {
    remembers: true,
    updates,
    angles: () => gather(cache.angles, rows.positions),
    attend(qkv_R1E, heads, layer) {
      const before = cache.layer(layer, heads);
      const [count, , width] = qkv_R1E.shape as [number, number, number];
      const { out, keys, values } = cachedAttention(
        reshape(qkv_R1E, [count, width]),
        { ...before, blocks },
        rows,
        heads,
      );
      updates.push([before.keys, keys], [before.values, values]);
      return reshape(out, [count, 1, out.shape[1]!]);
    },
  };
}
