// Question: what is the RMS-normalised projection of the streams, and what flows back?
//
//   p = s (x wᵀ),  s = 1 / sqrt(mean(x²) + epsilon)
//   draw = s dp,  dx = addend + draw w − (s² / K) (Σ_m dp_m p_m) x
//
// Rows of length K: one a token (all its streams) or n a token (one a stream). The items are tokens.
// The product runs on the micro kernel of gemm.ts, that of four streams on one of its own; norm and scaling
// follow while the rows are in the cache. A row whose squares overflow float32 is done once more in float64.
//
// streamProjection          row-wise over tokens
// streamProjectionBackward  row-wise over tokens; dx may be addend

import {
  GemmRowsArguments, StreamProjectionArguments, StreamProjectionBackwardArguments,
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

/** A smaller scale has a square that float32 does not hold. */
const TINY: f32 = 1e-17;

/** s and p of one row, all sums in float64. Panels of w have `width` columns each. */
function projectWide(row: usize, w: usize, width: i32, K: i32, P: i32, epsilon: f32, s: usize, p: usize): void {
  let squares: f64 = 0;
  for (let k: usize = 0; k < <usize>K << 2; k += 4) squares += <f64>load<f32>(row + k) * <f64>load<f32>(row + k);
  const scale = 1 / sqrt<f64>(squares / <f64>K + <f64>epsilon);
  store<f32>(s, <f32>scale);
  for (let m = 0; m < P; m++) {
    let at = w + (<usize>(m / width * K * width + m % width) << 2), sum: f64 = 0;
    for (let k: usize = 0; k < <usize>K << 2; k += 4) {
      sum += <f64>load<f32>(row + k) * <f64>load<f32>(at);
      at += <usize>width << 2;
    }
    store<f32>(p + (<usize>m << 2), <f32>(scale * sum));
  }
}

/** out = factor x + from, in float64; from may be 0, or out. */
function addWide(factor: f64, x: usize, from: usize, out: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const before: f64 = from == 0 ? 0 : <f64>load<f32>(from + i);
    store<f32>(out + i, <f32>(before + factor * <f64>load<f32>(x + i)));
  }
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
    const squares = dotRows(row, row, K, scratch);
    if (!isFinite(squares)) {
      projectWide(row, packed, panelWidth(), K, P, epsilon, s + (<usize>r << 2), projected);
      continue;
    }
    const scale = <f32>1 / sqrt<f32>(squares / <f32>K + epsilon);
    store<f32>(s + (<usize>r << 2), scale);
    for (let m: usize = 0; m < <usize>P; m++) store<f32>(projected + (m << 2), scale * load<f32>(projected + (m << 2)));
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
      const from: usize = addend == 0 ? 0 : addend + at;
      for (let m: usize = 0; m < <usize>P; m++) store<f32>(draw + small + (m << 2), scale * load<f32>(dp + small + (m << 2)));
      const along = dotRows(dp + small, p + small, P, scratch);
      if (scale < TINY) {
        addWide(-<f64>scale * <f64>scale * <f64>along / <f64>K, x + at, from, dx + at, K);
        continue;
      }
      store<f32>(scratch, -scale * scale * along / <f32>K);
      combineRows(1, from, scratch, 0, x + at, 0, 1, dx + at, K);
    }
    product(draw, packed, dx, dx, P, K, first, last, scratch);
  }
}
