// Question: what do four queries see of a cache that they share?
//
// Each key and each value is loaded once for all four: queries of one text at successive positions, or heads that share a
// key head. The first sees no more positions than the last. Blocks have 16 positions, and a tile of registers is 4 queries
// by 16 positions, then 4 queries by 16 columns. The sums are the chains of cached-one.ts, so that the bits are too.

import { SCRATCH_BYTES } from "../constants";
import { scaleRow, softmaxWeights } from "./cached-softmax";
import { fma } from "./simd";

/** Positions of a block, and columns of a tile. */
const FULL: i32 = 16;

/** Whether four queries over up to `count` positions fit the tiles and the scratch. */
export function canAttendFour(count: i32, N: i32, B: i32, D: i32, V: i32): bool {
  return B == FULL && V % FULL == 0 && (N + 4 * (D + V + count + 64)) << 2 <= SCRATCH_BYTES;
}

/** scores[i, 0..16) = q[i] . keys of one block, for four queries; rows of q are D floats, those of scores `stride` bytes apart. */
function scoreBlock(q: usize, keys: usize, D: i32, scores: usize, stride: usize): void {
  const bytes = <usize>D << 2, q1 = bytes, q2 = 2 * bytes, q3 = 3 * bytes;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, e0 = a0, e1 = a0, e2 = a0, e3 = a0;
  for (const end = q + bytes; q < end; q += 4) {
    const k0 = v128.load(keys), k1 = v128.load(keys, 16), k2 = v128.load(keys, 32), k3 = v128.load(keys, 48);
    let x = v128.load32_splat(q);
    a0 = fma(x, k0, a0); a1 = fma(x, k1, a1); a2 = fma(x, k2, a2); a3 = fma(x, k3, a3);
    x = v128.load32_splat(q + q1);
    b0 = fma(x, k0, b0); b1 = fma(x, k1, b1); b2 = fma(x, k2, b2); b3 = fma(x, k3, b3);
    x = v128.load32_splat(q + q2);
    c0 = fma(x, k0, c0); c1 = fma(x, k1, c1); c2 = fma(x, k2, c2); c3 = fma(x, k3, c3);
    x = v128.load32_splat(q + q3);
    e0 = fma(x, k0, e0); e1 = fma(x, k1, e1); e2 = fma(x, k2, e2); e3 = fma(x, k3, e3);
    keys += 64;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
  scores += stride;
  v128.store(scores, b0); v128.store(scores, b1, 16); v128.store(scores, b2, 32); v128.store(scores, b3, 48);
  scores += stride;
  v128.store(scores, c0); v128.store(scores, c1, 16); v128.store(scores, c2, 32); v128.store(scores, c3, 48);
  scores += stride;
  v128.store(scores, e0); v128.store(scores, e1, 16); v128.store(scores, e2, 32); v128.store(scores, e3, 48);
}

/** out[i, 0..16) = sum_j weights[i, j] values[j] over `count` positions, for four queries. */
function mixColumns(
  weights: usize, strideWeights: usize, values: usize, V: i32, parts: usize, count: i32, out: usize,
): void {
  const w1 = strideWeights, w2 = 2 * strideWeights, w3 = 3 * strideWeights, stride = <usize>V << 2;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, e0 = a0, e1 = a0, e2 = a0, e3 = a0;
  for (let start = 0; start < count; start += FULL) {
    let v = values + FULL * stride * <usize>load<i32>(parts);
    parts += 4;
    for (const end = weights + (<usize>min(FULL, count - start) << 2); weights < end; weights += 4) {
      const v0 = v128.load(v), v1 = v128.load(v, 16), v2 = v128.load(v, 32), v3 = v128.load(v, 48);
      let p = v128.load32_splat(weights);
      a0 = fma(p, v0, a0); a1 = fma(p, v1, a1); a2 = fma(p, v2, a2); a3 = fma(p, v3, a3);
      p = v128.load32_splat(weights + w1);
      b0 = fma(p, v0, b0); b1 = fma(p, v1, b1); b2 = fma(p, v2, b2); b3 = fma(p, v3, b3);
      p = v128.load32_splat(weights + w2);
      c0 = fma(p, v0, c0); c1 = fma(p, v1, c1); c2 = fma(p, v2, c2); c3 = fma(p, v3, c3);
      p = v128.load32_splat(weights + w3);
      e0 = fma(p, v0, e0); e1 = fma(p, v1, e1); e2 = fma(p, v2, e2); e3 = fma(p, v3, e3);
      v += stride;
    }
  }
  v128.store(out, a0); v128.store(out, a1, 16); v128.store(out, a2, 32); v128.store(out, a3, 48);
  out += stride;
  v128.store(out, b0); v128.store(out, b1, 16); v128.store(out, b2, 32); v128.store(out, b3, 48);
  out += stride;
  v128.store(out, c0); v128.store(out, c1, 16); v128.store(out, c2, 32); v128.store(out, c3, 48);
  out += stride;
  v128.store(out, e0); v128.store(out, e1, 16); v128.store(out, e2, 32); v128.store(out, e3, 48);
}

/** sums[V] += weight * value. */
function addValue(weight: usize, value: usize, sums: usize, V: i32): void {
  const p = v128.load32_splat(weight);
  for (const end = value + (<usize>V << 2); value < end; value += 32) {
    const x = fma(p, v128.load(value), v128.load(sums)), y = fma(p, v128.load(value, 16), v128.load(sums, 16));
    v128.store(sums, x);
    v128.store(sums, y, 16);
    sums += 32;
  }
}

/**
 * The queries first, ..., first + 3 of a run: query i is head i % group of row i / group and sees i / group positions
 * more than `seen`. Rows of q and out are `row` and `outRow` bytes apart.
 */
export function attendFour(
  q: usize, row: usize, out: usize, outRow: usize, first: i32, group: i32,
  keys: usize, values: usize, parts: usize, seen: i32, D: i32, V: i32, scale: f32, scratch: usize,
): void {
  const head = <usize>D << 2, valueHead = <usize>V << 2, bytesKeys = head * FULL, bytesValues = valueHead * FULL;
  const least = seen + first / group, most = seen + (first + 3) / group;
  const stride = <usize>((most + FULL - 1) & ~(FULL - 1)) << 2;
  const sums = scratch + 64, scaled = sums + 64, scores = scaled + 4 * head, result = scores + 4 * stride;
  for (let i = 0; i < 4; i++) {
    const query = first + i;
    scaleRow(q + row * <usize>(query / group) + head * <usize>(query % group), scaled + head * <usize>i, D, scale);
  }
  for (let start = 0; start < most; start += FULL)
    scoreBlock(scaled, keys + bytesKeys * <usize>load<i32>(parts + (<usize>start >> 2)), D, scores + (<usize>start << 2), stride);

  for (let i = 0; i < 4; i++)
    store<f32>(sums + (<usize>i << 2), softmaxWeights(scores + stride * <usize>i, seen + (first + i) / group, scratch));
  for (let c: usize = 0; c < valueHead; c += 64) mixColumns(scores, stride, values + c, V, parts, least, result + c);
  for (let i = 0; i < 4; i++) {
    const query = first + i, count = seen + query / group, own = result + valueHead * <usize>i;
    // The positions that not all of them see.
    for (let j = least; j < count; j++) {
      const part = <usize>load<i32>(parts + (<usize>(j / FULL) << 2));
      addValue(scores + stride * <usize>i + (<usize>j << 2), values + bytesValues * part + valueHead * <usize>(j % FULL), own, V);
    }
    scaleRow(own, out + outRow * <usize>(query / group) + valueHead * <usize>(query % group), V, 1 / load<f32>(sums + (<usize>i << 2)));
  }
}
