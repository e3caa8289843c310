// Question: what is the gradient of causal attention, without ever holding the probabilities?
//
// With p_ts = exp(scale q_t.k_s - lse_t), g_t the gradient of out_t and delta_t = g_t.out_t:
//   dv_s = sum_t p_ts g_t      ds_ts = p_ts (g_t.v_s - delta_t)
//   dq_t = scale sum_s ds_ts k_s      dk_s = scale sum_t ds_ts q_t
// Both products of a block of scores start from a row that is already subtracted, so one pass over the
// block gives p = 2^x and ds = p * y:   x = log2(e) (scale k.q - lse),   y = v.g - delta.
//
// attentionBackward  domain: B * kvHeads, grain 1
//
// A task owns dk and dv of one key head and dq of its query heads, and adds
// in a fixed order. Every element of dqkv is written. Layouts as in attention.ts; D and V are at most 512.

import { AttentionBackwardArguments } from "./arguments";
import { LOG2_E, keysOfPanel, keysPerBlock } from "./attention";
import { BLOCK, ROW, copyRows, touchRows, transposeRows, writeRow } from "./attention-rows";
import { expTimesPanel, maskPanel } from "./attention-softmax";
import { MR, tile } from "./gemm-tile";

/** From here on float32 has whole numbers only: of an lse so large p would be any number, so the gradient is NaN. */
const WHOLE: f32 = 16777216;

/** Minus a.b for rows of D floats. */
function minusDot(a: usize, b: usize, D: i32): f32 {
  const end = <usize>D << 2;
  let sums = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) sums = f32x4.sub(sums, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  let sum = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
  for (; i < end; i += 4) sum -= load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** One key head and its query heads, `shared` of them. q, out, dout, dq point at the first of these. */
function backwardHeads(
  q: usize, k: usize, v: usize, dq: usize, dk: usize, dv: usize, stride: usize,
  out: usize, dout: usize, strideOut: usize, lse: usize, shared: i32, T: i32, D: i32, V: i32, scale: f32,
  scratch: usize,
): void {
  const padded = (D + 7) & ~7, paddedV = (V + 7) & ~7;
  const row = <usize>padded << 2, rowV = <usize>paddedV << 2;
  const KB = keysPerBlock(
    260000 - BLOCK * (D + V + 2 * padded + paddedV), 2 * padded + 2 * paddedV + 2 * BLOCK, 288,
  );
  const zeros = scratch;
  const minusLse = zeros + 64;
  const minusDelta = minusLse + ROW;
  const turnedQ = minusDelta + ROW;
  const turnedG = turnedQ + <usize>D * ROW;
  const blockQ = turnedG + <usize>V * ROW;
  const blockG = blockQ + BLOCK * row;
  const blockDQ = blockG + BLOCK * rowV;
  const blockK = blockDQ + BLOCK * row;
  const blockV = blockK + <usize>KB * row;
  const blockDK = blockV + <usize>KB * rowV;
  const blockDV = blockDK + <usize>KB * row;
  const p = blockDV + <usize>KB * rowV;
  const ds = p + <usize>KB * ROW;
  memory.fill(zeros, 0, 64);

  for (let k0 = 0; k0 < T; k0 += KB) {
    const keysHere = min(KB, T - k0);
    copyRows(k + <usize>k0 * stride, stride, blockK, row, keysHere, 1);
    copyRows(v + <usize>k0 * stride, stride, blockV, rowV, keysHere, 1);
    memory.fill(blockDK, 0, <usize>KB * (row + rowV));

    for (let h = 0; h < shared; h++) {
      const column = <usize>(h * D) << 2, columnV = <usize>(h * V) << 2;
      const lseH = lse + (<usize>(h * T) << 2);
      for (let q0 = k0; q0 < T; q0 += BLOCK) {
        const queries = min(BLOCK, T - q0);
        const first = q0 - k0;
        const keys = min(keysHere, first + queries);
        const at = <usize>q0 * stride + column, atOut = <usize>q0 * strideOut + columnV;
        copyRows(q + at, stride, blockQ, row, queries, scale);
        copyRows(dout + atOut, strideOut, blockG, rowV, queries, 1);
        transposeRows(q + at, stride, turnedQ, queries, D, scale * LOG2_E);
        transposeRows(dout + atOut, strideOut, turnedG, queries, V, 1);
        touchRows(out + atOut, strideOut, queries, V, p);
        for (let i = 0; i < BLOCK; i++) {
          const known = i < queries, r = atOut + <usize>i * strideOut;
          const total: f32 = known ? load<f32>(lseH + (<usize>(q0 + i) << 2)) : 0;
          store<f32>(minusLse + (<usize>i << 2), abs<f32>(total) < WHOLE ? -LOG2_E * total : NaN);
          store<f32>(minusDelta + (<usize>i << 2), known ? minusDot(out + r, dout + r, V) : 0);
        }

        for (let j = 0; j < queries; j += 16) {
          const lanes = <usize>j << 2;
          const rows = keysOfPanel(first + j, keysHere);
          for (let key = 0; key < rows; key += MR) {
            const to = <usize>key * ROW + lanes, k = <usize>key;
            tile(blockK + k * row, row, 4, turnedQ + lanes, ROW, D, minusLse + lanes, 0, p + to, ROW, 16);
            tile(blockV + k * rowV, rowV, 4, turnedG + lanes, ROW, V, minusDelta + lanes, 0, ds + to, ROW, 16);
          }
          maskPanel(p + lanes, rows, first + j);
          expTimesPanel(p + lanes, ds + lanes, rows);
        }

        for (let c = 0; c < max(padded, paddedV); c += 16) {
          const across = <usize>c << 2;
          const width = min(16, padded - c), widthV = min(16, paddedV - c);
          for (let key = 0; key < keys; key += MR) {
            const start = max(0, key - first);
            const from = <usize>key * ROW + (<usize>start << 2);
            if (widthV > 0) {
              const b = blockG + <usize>start * rowV + across, to = blockDV + <usize>key * rowV + across;
              tile(p + from, ROW, 4, b, rowV, queries - start, to, rowV, to, rowV, widthV);
            }
            if (width > 0) {
              const b = blockQ + <usize>start * row + across, to = blockDK + <usize>key * row + across;
              tile(ds + from, ROW, 4, b, row, queries - start, to, row, to, row, width);
            }
          }
          if (width <= 0) continue;
          for (let i = 0; i < queries; i += MR) {
            tile(
              ds + (<usize>i << 2), 4, ROW, blockK + across, row, min(keys, first + i + MR), zeros, 0,
              blockDQ + <usize>i * row + across, row, width,
            );
          }
        }
        for (let i = 0; i < queries; i++) {
          writeRow(blockDQ + <usize>i * row, dq + at + <usize>i * stride, D, scale, k0 > 0);
        }
      }
    }
    for (let i = 0; i < keysHere; i++) {
      const to = <usize>(k0 + i) * stride;
      writeRow(blockDK + <usize>i * row, dk + to, D, 1, false);
      writeRow(blockDV + <usize>i * rowV, dv + to, V, 1, false);
    }
  }
}

export function attentionBackward(args: AttentionBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const qkv = args.qkv, out = args.out, lse = args.lse;
  const dout = args.g, dqkv = args.dqkv;
  const T = args.length, heads = args.heads, kvHeads = args.kvHeads, D = args.headSize;
  const scale = args.scale;
  const stride = <usize>args.width << 2;
  const V = args.valueSize;
  const strideOut = <usize>(heads * V) << 2;
  const shared = heads / kvHeads;
  for (let item = begin; item < end; item++) {
    const b = item / kvHeads, kv = item % kvHeads;
    const h = kv * shared;
    const sample = <usize>(b * T) * stride;
    const atQ = sample + (<usize>(h * D) << 2);
    const atK = sample + (<usize>((heads + kv) * D) << 2);
    const atV = sample + (<usize>((heads + kvHeads) * D + kv * V) << 2);
    const atOut = <usize>(b * T) * strideOut + (<usize>(h * V) << 2);
    backwardHeads(
      qkv + atQ, qkv + atK, qkv + atV, dqkv + atQ, dqkv + atK, dqkv + atV, stride,
      out + atOut, dout + atOut, strideOut, lse + (<usize>((b * heads + h) * T) << 2), shared, T, D, V, scale, scratch,
    );
  }
}
