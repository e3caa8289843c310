// Question: how is C = A B (+ C0) computed for the rows (tokens) of a tile?
//
// All matrices are row-major float32; strides (lda, ...) are in elements. B is packed once a step by
// `packB` (a parameter changes only once a step), A is read as it lies.
// The order of the sum over k is the same for every element: see gemm-tile.ts.
//
// packB       domain: panels, ceil(N / panelWidth()); a grain of 4 or more reads longer runs
// gemmRows    domain: M rows, row-wise
// gemmPanels  domain: panels of B; all M rows: where these are too few to be shared out among the threads

import { GemmPanelsArguments, GemmRowsArguments, PackBArguments } from "./arguments";
import { DEPTH, MR, multiplyPanels, panelWidth } from "./gemm-tile";
import { packAcross, packAlong } from "./gemm-pack";
import { roundRow } from "./bfloat16";

export function packB(args: PackBArguments, begin: i32, end: i32, scratch: usize): void {
  const src = args.B, dst = args.packed;
  const K = args.K, N = args.N;
  const ldb = <usize>args.ldb << 2, transposed = args.transposed;
  const width = panelWidth();
  const first = begin * width;
  const columns = min(end * width, N) - first;
  const stride = <usize>(K * width) << 2;
  const to = dst + stride * <usize>begin;
  if (transposed) packAcross(src + ldb * <usize>first, ldb, K, columns, to, stride, width);
  else packAlong(src + (<usize>first << 2), ldb, K, columns, to, stride, width);
  if (args.rounded) roundRow(to, to, stride * <usize>(end - begin));
}

export function gemmRows(args: GemmRowsArguments, begin: i32, end: i32, scratch: usize): void {
  multiplyRows(
    args.A, args.B, args.C0, args.C,
    args.K, args.N, <usize>args.lda << 2, <usize>args.ldc << 2,
    begin, end, scratch,
  );
}

export function gemmPanels(args: GemmPanelsArguments, begin: i32, end: i32, scratch: usize): void {
  const A = args.A, K = args.K, lda = <usize>args.lda << 2, ldc = <usize>args.ldc << 2;
  const width = panelWidth(), first = begin * width, columns = min(end * width, args.N) - first;
  const step = <usize>width << 2, corner = <usize>first << 2;
  const B = args.B + step * <usize>(K * begin), C = args.C + corner;
  let c0: usize = args.C0 == 0 ? 0 : args.C0 + corner;
  for (let k = 0; k < K; k += DEPTH) {
    multiplyPanels(
      A + (<usize>k << 2), lda, 4, lda * MR, B + step * <usize>k, step * <usize>K, min(DEPTH, K - k),
      c0, ldc, C, ldc, args.M, columns, scratch,
    );
    c0 = C;
  }
}

/** Rows [begin, end) of C; strides in bytes. */
export function multiplyRows(
  A: usize, B: usize, C0: usize, C: usize, K: i32, N: i32, lda: usize, ldc: usize, begin: i32, end: i32, scratch: usize,
): void {
  const step = <usize>panelWidth() << 2;
  const c = C + ldc * <usize>begin;
  let c0: usize = C0 == 0 ? 0 : C0 + ldc * <usize>begin;
  for (let k = 0; k < K; k += DEPTH) {
    multiplyPanels(
      A + lda * <usize>begin + (<usize>k << 2), lda, 4, lda * MR, B + step * <usize>k, step * <usize>K, min(DEPTH, K - k),
      c0, ldc, c, ldc, end - begin, N, scratch,
    );
    c0 = c;
  }
}
