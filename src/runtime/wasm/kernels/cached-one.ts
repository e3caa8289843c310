// Question: what does one query see of a cache?
//
// Keys lie with the positions along a row: scores are sums of rows, without sums across lanes, and stay in registers.
// Each is one chain of multiply-adds in the order of d, and each column of the result one in the order of positions.

import { scaleRow, softmaxWeights } from "./cached-softmax";
import { fma } from "./simd";

/** Positions of a block for which the scores of four blocks are made together: as many as registers hold. */
const FULL: i32 = 16;

/** scores[0..64) = q . keys of four blocks of 16 positions; `q` has D numbers, scaled. */
function scoreFour(q: usize, a: usize, b: usize, c: usize, e: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, e0 = a0, e1 = a0, e2 = a0, e3 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(a), a0); a1 = fma(x, v128.load(a, 16), a1);
    a2 = fma(x, v128.load(a, 32), a2); a3 = fma(x, v128.load(a, 48), a3);
    b0 = fma(x, v128.load(b), b0); b1 = fma(x, v128.load(b, 16), b1);
    b2 = fma(x, v128.load(b, 32), b2); b3 = fma(x, v128.load(b, 48), b3);
    c0 = fma(x, v128.load(c), c0); c1 = fma(x, v128.load(c, 16), c1);
    c2 = fma(x, v128.load(c, 32), c2); c3 = fma(x, v128.load(c, 48), c3);
    e0 = fma(x, v128.load(e), e0); e1 = fma(x, v128.load(e, 16), e1);
    e2 = fma(x, v128.load(e, 32), e2); e3 = fma(x, v128.load(e, 48), e3);
    a += 64; b += 64; c += 64; e += 64;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
  v128.store(scores, b0, 64); v128.store(scores, b1, 80); v128.store(scores, b2, 96); v128.store(scores, b3, 112);
  v128.store(scores, c0, 128); v128.store(scores, c1, 144); v128.store(scores, c2, 160); v128.store(scores, c3, 176);
  v128.store(scores, e0, 192); v128.store(scores, e1, 208); v128.store(scores, e2, 224); v128.store(scores, e3, 240);
}

/** scores[0..16) = q . keys of one block; rows are `stride` bytes apart. */
function scoreWide(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(keys), a0);
    a1 = fma(x, v128.load(keys, 16), a1);
    a2 = fma(x, v128.load(keys, 32), a2);
    a3 = fma(x, v128.load(keys, 48), a3);
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
}

/** The same for 8 positions. */
function scoreNarrow(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(keys), a0);
    a1 = fma(x, v128.load(keys, 16), a1);
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16);
}

/** Columns [c, c + 32) of sum_j weights[j] values[j]; rows are `stride` bytes apart, heads of blocks `bytes`. */
function mixWide(weights: usize, values: usize, stride: usize, bytes: usize, parts: usize, B: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  for (let start = 0; start < count; start += B) {
    let v = values + bytes * <usize>load<i32>(parts);
    parts += 4;
    const end = weights + (<usize>min(B, count - start) << 2);
    for (; weights < end; weights += 4) {
      const p = v128.load32_splat(weights);
      a0 = fma(p, v128.load(v), a0);
      a1 = fma(p, v128.load(v, 16), a1);
      a2 = fma(p, v128.load(v, 32), a2);
      a3 = fma(p, v128.load(v, 48), a3);
      a4 = fma(p, v128.load(v, 64), a4);
      a5 = fma(p, v128.load(v, 80), a5);
      a6 = fma(p, v128.load(v, 96), a6);
      a7 = fma(p, v128.load(v, 112), a7);
      v += stride;
    }
  }
  v128.store(out, a0); v128.store(out, a1, 16); v128.store(out, a2, 32); v128.store(out, a3, 48);
  v128.store(out, a4, 64); v128.store(out, a5, 80); v128.store(out, a6, 96); v128.store(out, a7, 112);
}

/** The same for 8 columns. */
function mixNarrow(weights: usize, values: usize, stride: usize, bytes: usize, parts: usize, B: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0;
  for (let start = 0; start < count; start += B) {
    let v = values + bytes * <usize>load<i32>(parts);
    parts += 4;
    const end = weights + (<usize>min(B, count - start) << 2);
    for (; weights < end; weights += 4) {
      const p = v128.load32_splat(weights);
      a0 = fma(p, v128.load(v), a0);
      a1 = fma(p, v128.load(v, 16), a1);
      v += stride;
    }
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
}

/**
 * out[V] = attention of one query over `count` positions, of which part p lies in head parts[p] of the blocks.
 * scratch: 64 bytes, the query, the scores, the result.
 */
export function attendOne(
  q: usize, keys: usize, values: usize, parts: usize, out: usize, count: i32, B: i32, D: i32, V: i32, scale: f32, scratch: usize,
): void {
  const padded = (count + 7) & ~7;
  const scaled = scratch + 64, scores = scaled + (<usize>((D + 15) & ~15) << 2);
  scaleRow(q, scaled, D, scale);
  const rowKeys = <usize>B << 2, rowValues = <usize>V << 2, bytesKeys = rowKeys * <usize>D, bytesValues = rowValues * <usize>B;
  let start = 0, p = parts;
  if (B == FULL) {
    for (; start + 4 * FULL <= count; start += 4 * FULL, p += 16) {
      const a = keys + bytesKeys * <usize>load<i32>(p), b = keys + bytesKeys * <usize>load<i32>(p, 4);
      const c = keys + bytesKeys * <usize>load<i32>(p, 8), e = keys + bytesKeys * <usize>load<i32>(p, 12);
      scoreFour(scaled, a, b, c, e, D, scores + (<usize>start << 2));
    }
  }
  // What is computed beyond the end of a block is written over by the next one, or masked.
  for (; start < count; start += B, p += 4) {
    const head = keys + bytesKeys * <usize>load<i32>(p), n = min(B, count - start);
    let c = 0;
    for (; c + 8 < n && c + 16 <= B; c += 16) scoreWide(scaled, head + (<usize>c << 2), rowKeys, D, scores + (<usize>(start + c) << 2));
    for (; c < n; c += 8) scoreNarrow(scaled, head + (<usize>c << 2), rowKeys, D, scores + (<usize>(start + c) << 2));
  }
  const sum = softmaxWeights(scores, count, scratch);
  const result = scores + (<usize>padded << 2);
  let c = 0;
  for (; c + 32 <= V; c += 32) mixWide(scores, values + (<usize>c << 2), rowValues, bytesValues, parts, B, count, result + (<usize>c << 2));
  for (; c < V; c += 8) mixNarrow(scores, values + (<usize>c << 2), rowValues, bytesValues, parts, B, count, result + (<usize>c << 2));
  scaleRow(result, out, V, 1 / sum);
}
