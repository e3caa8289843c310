// Question: how are many small products C[b] = op(A[b]) op(B[b]) computed?
//
// op(A) is [M, K] (stored [K, M] when transA), op(B) is [K, N] (stored [N, K] when transB); every matrix
// is dense and row-major. Each task packs the whole of B in its scratch, in blocks; A is read as it lies.
//
// gemmBatched  domain: batch * ceil(M / rowsPerTask), grain 1 (tasks of one b follow one another)

import { GemmBatchedArguments } from "./arguments";
import { MR, TILE_SCRATCH, multiplyPanels, panelWidth } from "./gemm-tile";
import { packAcross, packAlong } from "./gemm-pack";

/** A block: 96 x 256 of A and 256 x 256 of B, 352 KiB of the second-level cache. */
const ROWS: i32 = 96;
const COLS: i32 = 256;
const DEPTH: i32 = 256;

export function gemmBatched(args: GemmBatchedArguments, begin: i32, end: i32, scratch: usize): void {
  const A = args.A, B = args.B, C = args.C;
  const strideA = <usize>args.strideA << 2, strideB = <usize>args.strideB << 2, strideC = <usize>args.strideC << 2;
  const M = args.M, N = args.N, K = args.K;
  const transA = args.transposeA, transB = args.transposeB, rowsPerTask = args.rowsPerTask;
  const tasks = (M + rowsPerTask - 1) / rowsPerTask;
  for (let item = begin; item < end; item++) {
    const b = item / tasks;
    const first = (item - b * tasks) * rowsPerTask;
    const last = min(first + rowsPerTask, M);
    const a = A + strideA * <usize>b;
    for (let row = first; row < last; row += ROWS) {
      product(a, B + strideB * <usize>b, C + strideC * <usize>b, M, N, K, transA, transB, row, min(ROWS, last - row), scratch);
    }
  }
}

/** Rows [row, row + rows) of one product. */
function product(
  a: usize, b: usize, c: usize, M: i32, N: i32, K: i32, transA: i32, transB: i32, row: i32, rows: i32, scratch: usize,
): void {
  const width = panelWidth();
  const lda = <usize>(transA ? M : K) << 2, ldb = <usize>(transB ? K : N) << 2, ldc = <usize>N << 2;
  const panelB = scratch + TILE_SCRATCH;
  const aRow: usize = transA ? 4 : lda, aStep: usize = transA ? lda : 4;
  for (let k = 0; k < K; k += DEPTH) {
    const depth = min(DEPTH, K - k);
    const strideB = <usize>(depth * width) << 2;
    const rowsOfA = a + aRow * <usize>row + aStep * <usize>k;
    for (let col = 0; col < N; col += COLS) {
      const cols = min(COLS, N - col);
      if (transB) packAcross(b + ldb * <usize>col + (<usize>k << 2), ldb, depth, cols, panelB, strideB, width);
      else packAlong(b + ldb * <usize>k + (<usize>col << 2), ldb, depth, cols, panelB, strideB, width);
      const corner = c + ldc * <usize>row + (<usize>col << 2);
      multiplyPanels(
        rowsOfA, aRow, aStep, aRow * MR, panelB, strideB, depth, k == 0 ? 0 : corner, ldc, corner, ldc, rows, cols, scratch,
      );
    }
  }
}
