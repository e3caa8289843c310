// Question: how do the operands of a matrix product become the panels that gemm-tile.ts reads?
//
// A panel holds `width` columns of B (or rows of A) as [k, width] contiguous: the tile reads it
// front to back. `width` is panelWidth() for B, MR for A (4 or 6). Panels follow each other at `stride` bytes;
// the last is padded with zeros. Sources with k along their rows are transposed (packAcross), sources
// with k down their columns are copied (packAlong). Strides are in bytes.

import { widenHigh, widenLow } from "./bfloat16";

/** All ones in the lanes whose index is below `count`, zero in the others. */
@inline
function laneMask(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Rows [k, count <= width], `ld` bytes apart, into one panel; reads `width` floats of each row. */
@inline
function copyPanel(src: usize, ld: usize, k: i32, count: i32, dst: usize, width: i32): void {
  const m0 = laneMask(count), m1 = laneMask(count - 4), m2 = laneMask(count - 8), m3 = laneMask(count - 12);
  for (let i = 0; i < k; i++) {
    v128.store(dst, v128.and(v128.load(src), m0));
    if (width == 6) v128.store64_lane(dst + 16, v128.and(v128.load64_zero(src + 16), m1), 0);
    if (width >= 8) v128.store(dst, v128.and(v128.load(src, 16), m1), 16);
    if (width >= 16) {
      v128.store(dst, v128.and(v128.load(src, 32), m2), 32);
      v128.store(dst, v128.and(v128.load(src, 48), m3), 48);
    }
    src += ld;
    dst += <usize>width << 2;
  }
}

/** Rows of k copied before the next panel: the source is then read in long runs, not column by column. */
const ALONG: i32 = 16;

/** Source [k, count] (row i of the source is one k): the panels are slices of its rows. */
export function packAlong(src: usize, ld: usize, k: i32, count: i32, dst: usize, stride: usize, width: i32): void {
  for (let i = 0; i < k; i += ALONG) {
    const depth = min(ALONG, k - i);
    let to = dst + (<usize>(i * width) << 2);
    for (let j = 0; j < count; j += width) {
      const from = src + (<usize>j << 2);
      const filled = min(width, count - j);
      if (width == 16) copyPanel(from, ld, depth, filled, to, 16);
      else if (width == 8) copyPanel(from, ld, depth, filled, to, 8);
      else if (width == 6) copyPanel(from, ld, depth, filled, to, 6);
      else copyPanel(from, ld, depth, filled, to, 4);
      to += stride;
    }
    src += ld * ALONG;
  }
}

/**
 * packAlong where row i of the source is one of many: at `src + ld * (order[i] / active)`, times
 * weights[order[i]] unless `weights` is 0. `rows` has room for ALONG addresses and factors.
 */
export function packGathered(
  src: usize, ld: usize, order: usize, weights: usize, active: i32,
  k: i32, count: i32, dst: usize, stride: usize, width: i32, rows: usize,
): void {
  for (let i = 0; i < k; i += ALONG) {
    const depth = min(ALONG, k - i);
    for (let r = 0; r < depth; r++) {
      const pair = load<i32>(order + (<usize>(i + r) << 2));
      store<usize>(rows + (<usize>r << 3), src + ld * <usize>(pair / active));
      store<f32>(rows + (<usize>r << 3), weights == 0 ? 1 : load<f32>(weights + (<usize>pair << 2)), 4);
    }
    let to = dst + (<usize>(i * width) << 2);
    for (let j = 0; j < count; j += width) {
      const column = <usize>j << 2;
      const filled = min(width, count - j);
      if (width == 16) gatherPanel(rows, column, depth, filled, to, 16);
      else if (width == 8) gatherPanel(rows, column, depth, filled, to, 8);
      else if (width == 6) gatherPanel(rows, column, depth, filled, to, 6);
      else gatherPanel(rows, column, depth, filled, to, 4);
      to += stride;
    }
  }
}

/** copyPanel from `k` rows at [address, factor] each, from byte `column` on. */
@inline
function gatherPanel(rows: usize, column: usize, k: i32, count: i32, dst: usize, width: i32): void {
  const m0 = laneMask(count), m1 = laneMask(count - 4), m2 = laneMask(count - 8), m3 = laneMask(count - 12);
  for (let i = 0; i < k; i++) {
    const src = load<usize>(rows) + column, factor = v128.load32_splat(rows, 4);
    v128.store(dst, f32x4.mul(factor, v128.and(v128.load(src), m0)));
    if (width == 6) v128.store64_lane(dst + 16, f32x4.mul(factor, v128.and(v128.load64_zero(src + 16), m1)), 0);
    if (width >= 8) v128.store(dst, f32x4.mul(factor, v128.and(v128.load(src, 16), m1)), 16);
    if (width >= 16) {
      v128.store(dst, f32x4.mul(factor, v128.and(v128.load(src, 32), m2)), 32);
      v128.store(dst, f32x4.mul(factor, v128.and(v128.load(src, 48), m3)), 48);
    }
    rows += 8;
    dst += <usize>width << 2;
  }
}

/** copyPanel from bfloat16 rows; reads `width` values of each row. */
@inline
function widenPanel(src: usize, ld: usize, k: i32, count: i32, dst: usize, width: i32): void {
  const m0 = laneMask(count), m1 = laneMask(count - 4), m2 = laneMask(count - 8), m3 = laneMask(count - 12);
  for (let i = 0; i < k; i++) {
    const low = width >= 8 ? v128.load(src) : v128.load64_zero(src);
    v128.store(dst, v128.and(widenLow(low), m0));
    if (width == 6) {
      const rest = widenLow(v128.load32_zero(src, 8));
      v128.store64_lane(dst + 16, v128.and(rest, m1), 0);
    }
    if (width >= 8) v128.store(dst, v128.and(widenHigh(low), m1), 16);
    if (width == 16) {
      const high = v128.load(src, 16);
      v128.store(dst, v128.and(widenLow(high), m2), 32);
      v128.store(dst, v128.and(widenHigh(high), m3), 48);
    }
    src += ld;
    dst += <usize>width << 2;
  }
}

/** packAlong from a bfloat16 source. */
export function packAlongNarrow(src: usize, ld: usize, k: i32, count: i32, dst: usize, stride: usize, width: i32): void {
  for (let i = 0; i < k; i += ALONG) {
    const depth = min(ALONG, k - i);
    let to = dst + (<usize>(i * width) << 2);
    for (let j = 0; j < count; j += width) {
      const from = src + (<usize>j << 1);
      const filled = min(width, count - j);
      if (width == 16) widenPanel(from, ld, depth, filled, to, 16);
      else if (width == 8) widenPanel(from, ld, depth, filled, to, 8);
      else if (width == 6) widenPanel(from, ld, depth, filled, to, 6);
      else widenPanel(from, ld, depth, filled, to, 4);
      to += stride;
    }
    src += ld * ALONG;
  }
}

/** Four source rows [rows <= 4, k] into four adjacent columns of a panel whose rows are `step` bytes. */
function transposeQuad(src: usize, ld: usize, rows: i32, k: i32, dst: usize, step: usize): void {
  let p0 = src;
  let p1 = rows > 1 ? p0 + ld : p0;
  let p2 = rows > 2 ? p1 + ld : p1;
  let p3 = rows > 3 ? p2 + ld : p2;
  const mask = laneMask(rows);
  const whole = k & ~3;
  for (let i = 0; i < whole; i += 4) {
    const r0 = v128.load(p0), r1 = v128.load(p1), r2 = v128.load(p2), r3 = v128.load(p3);
    const lo01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5), hi01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
    const lo23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5), hi23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
    v128.store(dst, v128.and(i64x2.shuffle(lo01, lo23, 0, 2), mask));
    dst += step;
    v128.store(dst, v128.and(i64x2.shuffle(lo01, lo23, 1, 3), mask));
    dst += step;
    v128.store(dst, v128.and(i64x2.shuffle(hi01, hi23, 0, 2), mask));
    dst += step;
    v128.store(dst, v128.and(i64x2.shuffle(hi01, hi23, 1, 3), mask));
    dst += step;
    p0 += 16; p1 += 16; p2 += 16; p3 += 16;
  }
  for (let i = whole; i < k; i++) {
    const column = f32x4(load<f32>(p0), load<f32>(p1), load<f32>(p2), load<f32>(p3));
    v128.store(dst, v128.and(column, mask));
    dst += step;
    p0 += 4; p1 += 4; p2 += 4; p3 += 4;
  }
}

/** Depth of k transposed before the next four columns: the written lines are then still in the cache. */
const ACROSS: i32 = 64;

/** Source [count, k] (one source row per panel column): transposed in blocks of 4 x 4. */
export function packAcross(src: usize, ld: usize, k: i32, count: i32, dst: usize, stride: usize, width: i32): void {
  const step = <usize>width << 2;
  for (let j = 0; j < count; j += width) {
    for (let i = 0; i < k; i += ACROSS) {
      const depth = min(ACROSS, k - i);
      for (let q = 0; q < width; q += 4) {
        // Columns past the end read the last row again and are masked to zero.
        const row = min(j + q, count - 1);
        const from = src + ld * <usize>row + (<usize>i << 2);
        const to = dst + (<usize>(i * width + q) << 2);
        transposeQuad(from, ld, count - j - q, depth, to, step);
      }
    }
    dst += stride;
  }
}
