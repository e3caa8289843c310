// Question: how is C = Aᵀ B (+ C0) computed, the sum running over all tokens (a weight gradient)?
//
// A [T, M] and B [T, N] are row-major with one row a token; C is [M, N]. C is cut into a grid of
// down x across tiles, one task each, of at most 256 x 320. A task walks T in blocks, packs its columns of B,
// and of A if its rows are far apart, and adds to its tile: every element is one sum in the order of the
// tokens, whatever the grid and whoever computes it. `gemm-grid.ts` chooses the grid on the host.
//
// Where the rows of A or B come from is a *source*, six words in scratch: the matrix, the bytes between its
// rows, whether it is bfloat16, and for rows that are gathered their order, their weights (0 for none) and
// how many pairs share a row: row r is then row order[r] / active of the matrix, times weights[order[r]].
//
// gemmOuter  domain: down * across tiles, grain 1

import { OUTER_ROWS } from "../constants";
import { GemmOuterArguments } from "./arguments";
import { MR, TILE_SCRATCH, multiplyPanels, panelWidth } from "./gemm-tile";
import { packAlong, packAlongNarrow, packGathered } from "./gemm-pack";

/** Tokens of a block: (OUTER_ROWS + OUTER_COLUMNS) x 128 floats are 288 KiB of the second-level cache at most. */
const DEPTH: i32 = 128;
/** Bytes from one token to the next in A up to which its columns are read where they are: each token is a line then. */
const NEAR: usize = 1024;

/** Behind what the register tile needs: two sources, a block of gathered rows, the panels. */
const SOURCE: usize = 24;
const GATHERED: usize = 128;

export function gemmOuter(args: GemmOuterArguments, begin: i32, end: i32, scratch: usize): void {
  const T = args.T, M = args.M, N = args.N;
  const narrowA = args.narrowA != 0, narrowB = args.narrowB != 0;
  plainSource(scratch, 0, args.A, <usize>args.lda << (narrowA ? 1 : 2), narrowA);
  plainSource(scratch, 1, args.B, <usize>args.ldb << (narrowB ? 1 : 2), narrowB);
  for (let tile = begin; tile < end; tile++) {
    outerTile(
      0, args.C0, args.C, T, M, N, <usize>args.ldc << 2,
      args.down, args.across, tile, scratch,
    );
  }
}

/** Let the rows of A (which = 0) or B (1) be those of a matrix, `ld` bytes apart. */
export function plainSource(scratch: usize, which: usize, matrix: usize, ld: usize, narrow: bool): void {
  gatheredSource(scratch, which, matrix, ld, 0, 0, 1);
  store<i32>(scratch + TILE_SCRATCH + which * SOURCE, narrow ? 1 : 0, 8);
}

/** Let them be gathered. */
export function gatheredSource(
  scratch: usize, which: usize, matrix: usize, ld: usize, order: usize, weights: usize, active: i32,
): void {
  const source = scratch + TILE_SCRATCH + which * SOURCE;
  store<usize>(source, matrix);
  store<usize>(source, ld, 4);
  store<i32>(source, 0, 8);
  store<usize>(source, order, 12);
  store<usize>(source, weights, 16);
  store<i32>(source, active, 20);
}

/** Rows [row, row + depth) of a source, `count` columns from `column` on, as panels. */
function packSource(
  scratch: usize, which: usize, row: i32, depth: i32, column: i32, count: i32, dst: usize, stride: usize, width: i32,
): void {
  const source = scratch + TILE_SCRATCH + which * SOURCE;
  const matrix = load<usize>(source), ld = load<usize>(source, 4), narrow = load<i32>(source, 8);
  const order = load<usize>(source, 12);
  if (order != 0) {
    const rows = scratch + TILE_SCRATCH + 2 * SOURCE;
    packGathered(
      matrix + (<usize>column << 2), ld, order + (<usize>row << 2), load<usize>(source, 16), load<i32>(source, 20),
      depth, count, dst, stride, width, rows,
    );
  } else if (narrow) packAlongNarrow(matrix + ld * <usize>row + (<usize>column << 1), ld, depth, count, dst, stride, width);
  else packAlong(matrix + ld * <usize>row + (<usize>column << 2), ld, depth, count, dst, stride, width);
}

/** One tile of the grid, of rows [first, first + T) of the sources; ldc in bytes. Without tokens it is C0, or zeros. */
export function outerTile(
  first: i32, C0: usize, C: usize, T: i32, M: i32, N: i32, ldc: usize, down: i32, across: i32, tile: i32, scratch: usize,
): void {
  const width = panelWidth();
  const panelA = scratch + TILE_SCRATCH + 2 * SOURCE + GATHERED;
  const panelB = panelA + <usize>((OUTER_ROWS + MR) * DEPTH << 2);
  const y = tile / across, x = tile - y * across;
  const row = cut(y, down, M, MR), rows = cut(y + 1, down, M, MR) - row;
  const col = cut(x, across, N, width), cols = cut(x + 1, across, N, width) - col;
  const corner = ldc * <usize>row + (<usize>col << 2);
  const source = scratch + TILE_SCRATCH;
  const matrix = load<usize>(source), lda = load<usize>(source, 4);
  const near = load<usize>(source, 12) == 0 && load<i32>(source, 8) == 0 && lda <= NEAR;
  let c0: usize = C0 == 0 ? 0 : C0 + corner;
  for (let t = 0; t < T; t += DEPTH) {
    const depth = min(DEPTH, T - t);
    const strideB = <usize>(depth * width) << 2;
    packSource(scratch, 1, first + t, depth, col, cols, panelB, strideB, width);
    let a = panelA, aStep = <usize>MR << 2, aPanel = <usize>(depth * MR) << 2;
    if (near) {
      a = matrix + lda * <usize>(first + t) + (<usize>row << 2);
      aStep = lda;
      aPanel = <usize>MR << 2;
    } else packSource(scratch, 0, first + t, depth, row, rows, panelA, aPanel, MR);
    multiplyPanels(a, 4, aStep, aPanel, panelB, strideB, depth, c0, ldc, C + corner, ldc, rows, cols, scratch);
    c0 = C + corner;
  }
  if (T > 0 || c0 == C + corner) return;
  for (let i = 0; i < rows; i++) {
    const to = C + corner + ldc * <usize>i;
    if (c0 == 0) memory.fill(to, 0, <usize>cols << 2);
    else memory.copy(to, c0 + ldc * <usize>i, <usize>cols << 2);
  }
}

/** Where tile `index` of `count` begins when `size` is cut evenly in whole units. */
function cut(index: i32, count: i32, size: i32, unit: i32): i32 {
  const units = (size + unit - 1) / unit;
  return min(size, units * index / count * unit);
}
