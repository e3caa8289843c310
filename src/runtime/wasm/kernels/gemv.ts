// Question: how is C = A B (+ C0) computed for a few rows, where packing B would cost more than the product?
//
// B is read as it lies, once, a few of its rows at a time, along the columns of a task. The results gather in
// scratch, so the columns need be no multiple of anything. Every element is the same chain of multiply-adds
// in the order of k as in gemm-tile.ts: the two give the same bits.
//
// gemv  domain: blocks of columns, grain 1
//   (M + 4) * (columns a block + 8) floats must fit into scratch. `rounded`: rows of B are rounded to bfloat16 there.

import { GemvArguments } from "./arguments";
import { fma } from "./simd";
import { roundRow } from "./bfloat16";

/** sums[j] += a[0..3] . B[0..3, j] for `count` columns, a multiple of 8; rows of B are `stride` bytes apart. */
function addFour(a: usize, b: usize, stride: usize, sums: usize, count: i32): void {
  const b1 = b + stride, b2 = b1 + stride, b3 = b2 + stride;
  const a0 = v128.load32_splat(a), a1 = v128.load32_splat(a, 4), a2 = v128.load32_splat(a, 8), a3 = v128.load32_splat(a, 12);
  const end = <usize>count << 2;
  for (let j: usize = 0; j < end; j += 32) {
    let x = v128.load(sums + j), y = v128.load(sums + j, 16);
    x = fma(a0, v128.load(b + j), x);
    y = fma(a0, v128.load(b + j, 16), y);
    x = fma(a1, v128.load(b1 + j), x);
    y = fma(a1, v128.load(b1 + j, 16), y);
    x = fma(a2, v128.load(b2 + j), x);
    y = fma(a2, v128.load(b2 + j, 16), y);
    x = fma(a3, v128.load(b3 + j), x);
    y = fma(a3, v128.load(b3 + j, 16), y);
    v128.store(sums + j, x);
    v128.store(sums + j, y, 16);
  }
}

/** addFour for two rows of A, `strideA` bytes apart, whose sums are `strideSums` apart: B is loaded once for both. */
function addFourTwice(
  a: usize, strideA: usize, b: usize, stride: usize, sums: usize, strideSums: usize, count: i32,
): void {
  const b1 = b + stride, b2 = b1 + stride, b3 = b2 + stride, c = a + strideA, others = sums + strideSums;
  const a0 = v128.load32_splat(a), a1 = v128.load32_splat(a, 4), a2 = v128.load32_splat(a, 8), a3 = v128.load32_splat(a, 12);
  const c0 = v128.load32_splat(c), c1 = v128.load32_splat(c, 4), c2 = v128.load32_splat(c, 8), c3 = v128.load32_splat(c, 12);
  const end = <usize>count << 2;
  for (let j: usize = 0; j < end; j += 32) {
    let x = v128.load(sums + j), y = v128.load(sums + j, 16), z = v128.load(others + j), w = v128.load(others + j, 16);
    let p = v128.load(b + j), q = v128.load(b + j, 16);
    x = fma(a0, p, x); y = fma(a0, q, y); z = fma(c0, p, z); w = fma(c0, q, w);
    p = v128.load(b1 + j); q = v128.load(b1 + j, 16);
    x = fma(a1, p, x); y = fma(a1, q, y); z = fma(c1, p, z); w = fma(c1, q, w);
    p = v128.load(b2 + j); q = v128.load(b2 + j, 16);
    x = fma(a2, p, x); y = fma(a2, q, y); z = fma(c2, p, z); w = fma(c2, q, w);
    p = v128.load(b3 + j); q = v128.load(b3 + j, 16);
    x = fma(a3, p, x); y = fma(a3, q, y); z = fma(c3, p, z); w = fma(c3, q, w);
    v128.store(sums + j, x);
    v128.store(sums + j, y, 16);
    v128.store(others + j, z);
    v128.store(others + j, w, 16);
  }
}

function addOne(a: usize, b: usize, sums: usize, count: i32): void {
  const a0 = v128.load32_splat(a);
  const end = <usize>count << 2;
  for (let j: usize = 0; j < end; j += 32) {
    const x = fma(a0, v128.load(b + j), v128.load(sums + j)), y = fma(a0, v128.load(b + j, 16), v128.load(sums + j, 16));
    v128.store(sums + j, x);
    v128.store(sums + j, y, 16);
  }
}

export function gemv(args: GemvArguments, begin: i32, end: i32, scratch: usize): void {
  const A = args.A, B = args.B;
  const C0 = args.C0, C = args.C;
  const M = args.M, K = args.K, N = args.N, block = args.block;
  const rowA = <usize>K << 2, rowB = <usize>N << 2;
  const first = begin * block, columns = min(end * block, N) - first;
  const padded = (columns + 7) & ~7;
  const own = <usize>padded << 2, bytes = <usize>columns << 2, corner = <usize>first << 2;
  for (let i = 0; i < M; i++) {
    const sums = scratch + own * <usize>i;
    if (C0 == 0) memory.fill(sums, 0, own);
    else memory.copy(sums, C0 + rowB * <usize>i + corner, bytes);
  }
  let k = 0;
  const rounded = args.rounded, rows = scratch + own * <usize>M;
  let b = B + corner;
  for (; k + 4 <= K; k += 4) {
    let a = A + (<usize>k << 2), sums = scratch, from = b, stride = rowB;
    if (rounded) {
      for (let i: usize = 0; i < 4; i++) roundRow(b + rowB * i, rows + own * i, own);
      from = rows;
      stride = own;
    }
    for (let i = 0; i < M >> 1; i++) {
      addFourTwice(a, rowA, from, stride, sums, own, padded);
      a += 2 * rowA;
      sums += 2 * own;
    }
    if (M & 1) addFour(a, from, stride, sums, padded);
    b += 4 * rowB;
  }
  for (; k < K; k++) {
    if (rounded) roundRow(b, rows, own);
    const from = rounded ? rows : b;
    for (let i = 0; i < M; i++) addOne(A + rowA * <usize>i + (<usize>k << 2), from, scratch + own * <usize>i, padded);
    b += rowB;
  }
  for (let i = 0; i < M; i++) memory.copy(C + rowB * <usize>i + corner, scratch + own * <usize>i, bytes);
}
