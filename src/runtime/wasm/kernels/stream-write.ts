// Question: how do the streams take up a sublayer's result, and what flows back?
//
//   x'_i = Σ_j res_ij x_j + post_i y
//   dx_j = Σ_i res_ij g_i,  dy = Σ_i post_i g_i,  dres_ij = <g_i, x_j>,  dpost_i = <g_i, y>
//
// streamWrite          row-wise over tokens
// streamWriteGather    row-wise over tokens: what flows back into the block
// streamWriteBackward  row-wise over tokens: what flows back into streams and coefficients; dx may be g
//
// What is read from memory is first read row by row (stream-rows.ts); then it is in the first-level cache.
// Four streams have loops of their own.

import { StreamWriteArguments, StreamWriteGatherArguments, StreamWriteBackwardArguments } from "./arguments";
import { fma } from "./simd";
import { combineRows, combineRowsInTurn, dotFour, dotRows } from "./stream-rows";

/** Bytes of n floats. */
@inline
function bytesOf(n: i32): usize {
  return <usize>n << 2;
}

export function streamWrite(args: StreamWriteArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, h = args.h, y = args.y, next = args.next;
  const n = args.n, C = args.C;
  const row = bytesOf(C), coefficients = bytesOf(n * (n + 2));
  for (let t = begin; t < end; t++) {
    const at = row * <usize>(t * n), result = y + row * <usize>t;
    let post = h + coefficients * <usize>t + bytesOf(n), res = post + bytesOf(n);
    for (let i: usize = 0; i < <usize>n; i++) {
      if (i == 0) combineRowsInTurn(load<f32>(post), result, res, 4, x + at, row, n, next + at, C);
      else if (n == 4) mixFour(load<f32>(post), result, res, x + at, row, next + at + row * i, C);
      else combineRows(load<f32>(post), result, res, 4, x + at, row, n, next + at + row * i, C);
      post += 4;
      res += bytesOf(n);
    }
  }
}

/** combineRows for four rows: out = post y + Σ_j res_j x_j. */
function mixFour(post: f32, y: usize, res: usize, x: usize, row: usize, out: usize, width: i32): void {
  const p = f32x4.splat(post);
  const r0 = v128.load32_splat(res), r1 = v128.load32_splat(res, 4), r2 = v128.load32_splat(res, 8), r3 = v128.load32_splat(res, 12);
  const x1 = x + row, x2 = x1 + row, x3 = x2 + row;
  const end = bytesOf(width);
  let c: usize = 0;
  for (; c + 64 <= end; c += 64) {
    let a0 = f32x4.mul(p, v128.load(y + c)), b0 = f32x4.mul(p, v128.load(y + c, 16));
    let a1 = f32x4.mul(p, v128.load(y + c, 32)), b1 = f32x4.mul(p, v128.load(y + c, 48));
    a0 = fma(r0, v128.load(x + c), a0); b0 = fma(r0, v128.load(x + c, 16), b0);
    a1 = fma(r0, v128.load(x + c, 32), a1); b1 = fma(r0, v128.load(x + c, 48), b1);
    a0 = fma(r1, v128.load(x1 + c), a0); b0 = fma(r1, v128.load(x1 + c, 16), b0);
    a1 = fma(r1, v128.load(x1 + c, 32), a1); b1 = fma(r1, v128.load(x1 + c, 48), b1);
    a0 = fma(r2, v128.load(x2 + c), a0); b0 = fma(r2, v128.load(x2 + c, 16), b0);
    a1 = fma(r2, v128.load(x2 + c, 32), a1); b1 = fma(r2, v128.load(x2 + c, 48), b1);
    a0 = fma(r3, v128.load(x3 + c), a0); b0 = fma(r3, v128.load(x3 + c, 16), b0);
    a1 = fma(r3, v128.load(x3 + c, 32), a1); b1 = fma(r3, v128.load(x3 + c, 48), b1);
    v128.store(out + c, a0); v128.store(out + c, b0, 16);
    v128.store(out + c, a1, 32); v128.store(out + c, b1, 48);
  }
  const rest = <i32>(end - c) >> 2;
  if (rest > 0) combineRows(post, y + c, res, 4, x + c, row, 4, out + c, rest);
}

export function streamWriteGather(args: StreamWriteGatherArguments, begin: i32, end: i32, scratch: usize): void {
  const h = args.h, g = args.g, dy = args.dy;
  const n = args.n, C = args.C;
  const row = bytesOf(C), coefficients = bytesOf(n * (n + 2));
  for (let t = begin; t < end; t++) {
    const post = h + coefficients * <usize>t + bytesOf(n);
    combineRows(0, 0, post, 4, g + row * <usize>(t * n), row, n, dy + row * <usize>t, C);
  }
}

export function streamWriteBackward(args: StreamWriteBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, h = args.h, y = args.y, g = args.g;
  const dx = args.dx, dh = args.dh;
  const n = args.n, C = args.C;
  const row = bytesOf(C), group = bytesOf(n), coefficients = bytesOf(n * (n + 2));
  const unrolled = n == 4 ? C & ~7 : 0;
  for (let t = begin; t < end; t++) {
    const at = row * <usize>(t * n);
    const res = h + coefficients * <usize>t + 2 * group, dpost = dh + coefficients * <usize>t + group;
    memory.fill(dpost - group, 0, group);
    for (let i: usize = 0; i < <usize>n; i++) store<f32>(dpost + (i << 2), dotRows(g + at + row * i, y + row * <usize>t, C, scratch));
    for (let j: usize = 0; j < <usize>n; j++) dotColumn(g + at, row, n, x + at + row * j, C, dpost + group + (j << 2), group, scratch);
    if (unrolled > 0) spreadFour(g + at, row, res, dx + at, unrolled);
    for (let c = unrolled; c < C; c += BLOCK) {
      const first = bytesOf(c);
      spreadBlock(g + at + first, row, n, res, dx + at + first, min(BLOCK, C - c), scratch);
    }
  }
}

/** out_i = <g_i, other> for the n rows of g; `step` bytes lie between the results. */
function dotColumn(g: usize, row: usize, n: i32, other: usize, width: i32, out: usize, step: usize, temp: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    dotFour(other, g, row, width, out, step, temp);
    g += 4 * row;
    out += 4 * step;
  }
  for (; i < n; i++) {
    store<f32>(out, dotRows(g, other, width, temp));
    g += row;
    out += step;
  }
}

/** Channels that the general path copies aside, so that it may write over what it reads. */
const BLOCK: i32 = 64;
const BLOCK_BYTES: usize = 256;

/** dx_j = Σ_i res_ij g_i over a block of channels of any number of streams. */
function spreadBlock(g: usize, row: usize, n: i32, res: usize, dx: usize, width: i32, copy: usize): void {
  for (let i: usize = 0; i < <usize>n; i++) {
    for (let c: usize = 0; c < bytesOf(width); c += 16) v128.store(copy + BLOCK_BYTES * i + c, v128.load(g + row * i + c));
  }
  for (let j: usize = 0; j < <usize>n; j++) {
    combineRows(0, 0, res + (j << 2), bytesOf(n), copy, BLOCK_BYTES, n, dx + row * j, width);
  }
}

/** 8 channels of all four streams at a time: dx_j = Σ_i res_ij g_i. */
function spreadFour(g: usize, row: usize, res: usize, dx: usize, width: i32): void {
  const r00 = v128.load32_splat(res), r01 = v128.load32_splat(res, 4), r02 = v128.load32_splat(res, 8), r03 = v128.load32_splat(res, 12);
  const r10 = v128.load32_splat(res, 16), r11 = v128.load32_splat(res, 20), r12 = v128.load32_splat(res, 24), r13 = v128.load32_splat(res, 28);
  const r20 = v128.load32_splat(res, 32), r21 = v128.load32_splat(res, 36), r22 = v128.load32_splat(res, 40), r23 = v128.load32_splat(res, 44);
  const r30 = v128.load32_splat(res, 48), r31 = v128.load32_splat(res, 52), r32 = v128.load32_splat(res, 56), r33 = v128.load32_splat(res, 60);
  const g1 = g + row, g2 = g1 + row, g3 = g2 + row;
  const d1 = dx + row, d2 = d1 + row, d3 = d2 + row;
  const end = bytesOf(width);
  for (let c: usize = 0; c < end; c += 32) {
    let ga = v128.load(g + c), gb = v128.load(g + c, 16);
    let a0 = f32x4.mul(r00, ga), b0 = f32x4.mul(r00, gb), a1 = f32x4.mul(r01, ga), b1 = f32x4.mul(r01, gb);
    let a2 = f32x4.mul(r02, ga), b2 = f32x4.mul(r02, gb), a3 = f32x4.mul(r03, ga), b3 = f32x4.mul(r03, gb);
    ga = v128.load(g1 + c); gb = v128.load(g1 + c, 16);
    a0 = fma(r10, ga, a0); b0 = fma(r10, gb, b0); a1 = fma(r11, ga, a1); b1 = fma(r11, gb, b1);
    a2 = fma(r12, ga, a2); b2 = fma(r12, gb, b2); a3 = fma(r13, ga, a3); b3 = fma(r13, gb, b3);
    ga = v128.load(g2 + c); gb = v128.load(g2 + c, 16);
    a0 = fma(r20, ga, a0); b0 = fma(r20, gb, b0); a1 = fma(r21, ga, a1); b1 = fma(r21, gb, b1);
    a2 = fma(r22, ga, a2); b2 = fma(r22, gb, b2); a3 = fma(r23, ga, a3); b3 = fma(r23, gb, b3);
    ga = v128.load(g3 + c); gb = v128.load(g3 + c, 16);
    a0 = fma(r30, ga, a0); b0 = fma(r30, gb, b0); a1 = fma(r31, ga, a1); b1 = fma(r31, gb, b1);
    a2 = fma(r32, ga, a2); b2 = fma(r32, gb, b2); a3 = fma(r33, ga, a3); b3 = fma(r33, gb, b3);
    v128.store(dx + c, a0); v128.store(dx + c, b0, 16);
    v128.store(d1 + c, a1); v128.store(d1 + c, b1, 16);
    v128.store(d2 + c, a2); v128.store(d2 + c, b2, 16);
    v128.store(d3 + c, a3); v128.store(d3 + c, b3, 16);
  }
}
