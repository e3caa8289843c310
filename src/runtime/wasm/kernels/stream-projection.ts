// Question: what is the RMS-normalised projection of the streams, and what flows back?
//
//   p = s (x wᵀ),  s = 1 / sqrt(mean(x²) + epsilon)
//   draw = s dp,  dx = addend + draw w − (s² / K) (Σ_m dp_m p_m) x
//
// Rows of length K: one a token (all its streams) or n a token (one a stream). The items are tokens.
// The product runs on the micro kernel of gemm.ts, that of four streams on one of its own; norm and scaling
// follow while the rows are in the cache.
//
// streamProjection          row-wise over tokens
// streamProjectionFew       row-wise over tokens; w as it lies, for so few tokens that packing it would not pay
// streamProjectionBackward  row-wise over tokens; dx may be addend

import {
  GemmRowsArguments, StreamProjectionArguments, StreamProjectionFewArguments, StreamProjectionBackwardArguments,
} from "./arguments";
import { gemmRows } from "./gemm";
import { panelWidth } from "./gemm-tile";
import { COLUMNS, projectFour, TOKENS } from "./stream-project-four";
import { combineRows, dotRows } from "./stream-rows";

/** Where the scratch holds the words of an inner call to gemmRows, behind what gemmRows itself uses. */
const GEMM_WORDS: usize = 768 << 10;
/** Rows of dx begun and finished together, so that the product finds them in the first-level cache. */
const CHUNK: i32 = 12;

/** C = A B (+ C0) for rows [begin, end), dense rows. */
function product(a: usize, packed: usize, c0: usize, c: usize, K: i32, N: i32, begin: i32, end: i32, scratch: usize): void {
  const words = changetype<GemmRowsArguments>(scratch + GEMM_WORDS);
  words.A = a;
  words.B = packed;
  words.C0 = c0;
  words.C = c;
  words.K = K;
  words.N = N;
  words.lda = K;
  words.ldc = N;
  gemmRows(words, begin, end, scratch);
}

export function streamProjection(args: StreamProjectionArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, packed = args.w, p = args.p, s = args.s;
  const K = args.K, P = args.P, rows = args.rows, epsilon = args.epsilon;
  const first = begin * rows, last = end * rows;
  const whole = P == COLUMNS ? (last - first) / TOKENS * TOKENS : 0;
  if (whole > 0) projectFour(x + (<usize>K << 2) * <usize>first, packed, p + (<usize>P << 2) * <usize>first, K, whole, panelWidth());
  if (first + whole < last) product(x, packed, 0, p, K, P, first + whole, last, scratch);
  for (let r = begin * rows; r < end * rows; r++) {
    const row = x + (<usize>K << 2) * <usize>r, projected = p + (<usize>P << 2) * <usize>r;
    const scale = <f32>1 / sqrt<f32>(dotRows(row, row, K, scratch) / <f32>K + epsilon);
    store<f32>(s + (<usize>r << 2), scale);
    for (let m: usize = 0; m < <usize>P; m++) store<f32>(projected + (m << 2), scale * load<f32>(projected + (m << 2)));
  }
}

export function streamProjectionFew(args: StreamProjectionFewArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, w = args.w, p = args.p, s = args.s;
  const K = args.K, P = args.P, rows = args.rows, epsilon = args.epsilon;
  const bytes = <usize>K << 2;
  for (let r = begin * rows; r < end * rows; r++) {
    const row = x + bytes * <usize>r, projected = p + (<usize>P << 2) * <usize>r;
    const scale = <f32>1 / sqrt<f32>(dotRows(row, row, K, scratch) / <f32>K + epsilon);
    store<f32>(s + (<usize>r << 2), scale);
    for (let m: usize = 0; m < <usize>P; m++) store<f32>(projected + (m << 2), scale * dotRows(row, w + bytes * m, K, scratch));
  }
}

export function streamProjectionBackward(args: StreamProjectionBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, packed = args.w, p = args.p, s = args.s;
  const dp = args.dp, dx = args.dx, draw = args.draw, addend = args.addend;
  const K = args.K, P = args.P, rows = args.rows;
  for (let first = begin * rows; first < end * rows; first += CHUNK) {
    const last = min(first + CHUNK, end * rows);
    for (let r = first; r < last; r++) {
      const at = (<usize>K << 2) * <usize>r, small = (<usize>P << 2) * <usize>r;
      const scale = load<f32>(s + (<usize>r << 2));
      for (let m: usize = 0; m < <usize>P; m++) store<f32>(draw + small + (m << 2), scale * load<f32>(dp + small + (m << 2)));
      store<f32>(scratch, -scale * scale * dotRows(dp + small, p + small, P, scratch) / <f32>K);
      combineRows(1, addend == 0 ? 0 : addend + at, scratch, 0, x + at, 0, 1, dx + at, K);
    }
    product(draw, packed, dx, dx, P, K, first, last, scratch);
  }
}
