// Question: what is causal attention, without ever holding the scores?
//
// Per head, with queries q_t and keys k_s of D floats, values v_s of V floats and s <= t:
//   lse_t = log sum_s exp(scale q_t.k_s)      out_t = sum_s exp(scale q_t.k_s - lse_t) v_s
// Layout: qkv [B, T, E], E = (heads + kvHeads) D + kvHeads V columns: queries (head-major), keys, values; query
// head h reads key head floor(h kvHeads / heads). out [B, T, heads V], lse [B, heads, T].
//
// Keys are taken KB at a time and queries 48 at a time (Dao et al., FlashAttention-2): a block of scores,
// transposed, [keys, 48 queries], is computed, exponentiated in place and multiplied into the output.
// What earlier keys gave, (out, lse), counts as one more key with score lse and value out. Tiles above the
// diagonal are skipped; in tiles on it the later keys are masked.
//
// attention  domain: B * heads, grain 1
//
// D and V are at most 512. See attention-backward.ts for the gradient.

import { AttentionArguments } from "./arguments";
import { BLOCK, ROW, copyRows, touchRows, transposeRows, writeRow } from "./attention-rows";
import { expHalfPanel, MASKED, maskPanel, maxPanel } from "./attention-softmax";
import { MR, tile } from "./gemm-tile";
import { exp1, log4 } from "./math";

export const LOG2_E: f32 = 1.44269504088896341;
const LN_2: f32 = 0.693147180559945309;

/** Keys that fit beside each other in scratch: a multiple of 48, at most `most`. */
export function keysPerBlock(floats: i32, floatsPerKey: i32, most: i32): i32 {
  return max(BLOCK, min(most, floats / floatsPerKey / BLOCK * BLOCK));
}

/** Rows of keys whose tiles touch a panel of 16 queries that starts `first` keys after the block's first key. */
@inline
export function keysOfPanel(first: i32, keys: i32): i32 {
  return (min(first + 16, keys) + MR - 1) / MR * MR;
}

function forwardHead(
  q: usize, k: usize, v: usize, strideQ: usize, strideKV: usize, out: usize, strideOut: usize, lse: usize,
  T: i32, D: i32, V: i32, scale: f32, scratch: usize,
): void {
  const padded = (D + 7) & ~7, paddedV = (V + 7) & ~7;
  const row = <usize>padded << 2, rowV = <usize>paddedV << 2;
  const KB = keysPerBlock(260000 - BLOCK * (D + paddedV), padded + paddedV + BLOCK, 288);
  const zeros = scratch;
  const maximum = zeros + 64;
  const sum = maximum + ROW;
  const blockQ = sum + ROW;
  const blockO = blockQ + <usize>D * ROW;
  const blockK = blockO + BLOCK * rowV;
  const blockV = blockK + <usize>KB * row;
  const scores = blockV + <usize>KB * rowV;
  memory.fill(zeros, 0, 64);

  for (let k0 = 0; k0 < T; k0 += KB) {
    const keysHere = min(KB, T - k0);
    copyRows(k + <usize>k0 * strideKV, strideKV, blockK, row, keysHere, 1);
    copyRows(v + <usize>k0 * strideKV, strideKV, blockV, rowV, keysHere, 1);

    for (let q0 = k0; q0 < T; q0 += BLOCK) {
      const queries = min(BLOCK, T - q0);
      const first = q0 - k0;
      const keys = min(keysHere, first + queries);
      touchRows(q + <usize>q0 * strideQ, strideQ, queries, D, blockQ);
      transposeRows(q + <usize>q0 * strideQ, strideQ, blockQ, queries, D, scale * LOG2_E);

      for (let i = 0; i < BLOCK; i++) {
        const at = <usize>i << 2;
        store<f32>(maximum + at, k0 > 0 && i < queries ? load<f32>(lse + (<usize>(q0 + i) << 2)) * LOG2_E : MASKED);
        store<f32>(sum + at, 0);
      }
      for (let p = 0; p < queries; p += 16) {
        const column = <usize>p << 2;
        const rows = keysOfPanel(first + p, keysHere);
        for (let key = 0; key < rows; key += MR) {
          tile(
            blockK + <usize>key * row, row, 4, blockQ + column, ROW, D, zeros, 0,
            scores + <usize>key * ROW + column, ROW, 16,
          );
        }
        maskPanel(scores + column, rows, first + p);
        maxPanel(scores + column, rows, maximum + column);
        expHalfPanel(scores + column, rows, maximum + column, sum + column);
        expHalfPanel(scores + column + 32, rows, maximum + column + 32, sum + column + 32);
      }

      if (k0 > 0) {
        for (let i = 0; i < queries; i++) {
          const at = <usize>i << 2;
          const before = load<f32>(lse + (<usize>(q0 + i) << 2)) * LOG2_E;
          const share = exp1((before - load<f32>(maximum + at)) * LN_2);
          store<f32>(sum + at, load<f32>(sum + at) + share);
          writeRow(out + <usize>(q0 + i) * strideOut, blockO + <usize>i * rowV, V, share, false);
        }
      }
      for (let c = 0; c < paddedV; c += 16) {
        const column = <usize>c << 2;
        const width = min(16, paddedV - c);
        for (let i = 0; i < queries; i += MR) {
          const c0 = k0 > 0 ? blockO + <usize>i * rowV + column : zeros;
          tile(
            scores + (<usize>i << 2), 4, ROW, blockV + column, rowV, min(keys, first + i + MR), c0, k0 > 0 ? rowV : 0,
            blockO + <usize>i * rowV + column, rowV, width,
          );
        }
      }

      for (let i = 0; i < queries; i++) {
        writeRow(
          blockO + <usize>i * rowV, out + <usize>(q0 + i) * strideOut, V, 1 / load<f32>(sum + (<usize>i << 2)), false,
        );
      }
      for (let i: usize = 0; i < ROW; i += 16) {
        const m = f32x4.mul(v128.load(maximum + i), f32x4.splat(LN_2));
        v128.store(sum + i, f32x4.add(m, log4(v128.load(sum + i))));
      }
      memory.copy(lse + (<usize>q0 << 2), sum, <usize>queries << 2);
    }
  }
}

export function attention(args: AttentionArguments, begin: i32, end: i32, scratch: usize): void {
  const qkv = args.qkv, out = args.out, lse = args.lse;
  const T = args.length, heads = args.heads, kvHeads = args.kvHeads, D = args.headSize;
  const scale = args.scale;
  const stride = <usize>args.width << 2;
  const V = args.valueSize;
  const strideOut = <usize>(heads * V) << 2;
  for (let item = begin; item < end; item++) {
    const b = item / heads, h = item % heads;
    const kv = h * kvHeads / heads;
    const sample = qkv + <usize>(b * T) * stride;
    forwardHead(
      sample + (<usize>(h * D) << 2),
      sample + (<usize>((heads + kv) * D) << 2),
      sample + (<usize>((heads + kvHeads) * D + kv * V) << 2),
      stride, stride,
      out + <usize>(b * T) * strideOut + (<usize>(h * V) << 2), strideOut,
      lse + (<usize>(item * T) << 2), T, D, V, scale, scratch,
    );
  }
}
