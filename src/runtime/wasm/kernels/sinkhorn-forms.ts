// Question: what do the coefficients of mHC become in another form than the paper's?
//
//   pre = σ(l_pre) + ε_read,  post = s σ(l_post),  res = one of the forms of ops/sinkhorn.ts
//
// The order of lines, the start, the guard of the divisions and the transposition are words of the call,
// looked at outside the loops over entries. The paper's form has kernels of its own (sinkhorn.ts,
// manifold-coefficients.ts), which these do not touch. Lanes as in token-lanes.ts.
//
// sinkhornForm                      row-wise over matrices
// sinkhornFormBackward              row-wise over matrices
// manifoldCoefficientsForm          row-wise over tokens
// manifoldCoefficientsFormBackward  row-wise over tokens

import { FORM_COLUMNS_LAST, FORM_FLOOR, FORM_SOFTMAX, FORM_TRANSPOSED } from "../constants";
import {
  SinkhornFormArguments, SinkhornFormBackwardArguments, ManifoldCoefficientsFormArguments,
  ManifoldCoefficientsFormBackwardArguments,
} from "./arguments";
import { expRow, sigmoid4 } from "./math";
import { fma } from "./simd";
import { normaliseLines, subtractMaximum, unnormaliseLines } from "./sinkhorn-lines";
import { affineCoefficients, affineCoefficientsBackward, foldLanes, gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** logits → result, in place. `sums` is 0, or where to keep the 2T n divisors. */
function formLanes(matrix: usize, n: i32, iterations: i32, form: i32, epsilon: f32, sums: usize): void {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  // A line of the first normalisation is `step` bytes from entry to entry, `next` from line to line.
  const step = form & FORM_COLUMNS_LAST ? across : down, next = form & FORM_COLUMNS_LAST ? down : across;
  if (iterations > 0) for (let line = 0; line < n; line++) subtractMaximum(matrix + next * <usize>line, step, n);
  expRow(matrix, matrix, n * n * LANES);
  const kept: usize = sums == 0 ? 0 : down;
  const added: f32 = form & FORM_FLOOR ? 0 : epsilon, least: f32 = form & FORM_FLOOR ? epsilon : 0;
  for (let t = 0; t < iterations; t++) {
    // The lines of the first normalisation hold a one: nothing to guard.
    normaliseLines(matrix, step, next, n, sums, t == 0 ? 0 : added, t == 0 ? 0 : least);
    if (t == 0 && form & FORM_SOFTMAX) addToAll(matrix, n, epsilon);
    sums += kept;
    normaliseLines(matrix, next, step, n, sums, added, least);
    sums += kept;
  }
  if (form & FORM_TRANSPOSED) transposeSquare(matrix, n);
}

/** result and gradient of it (in `g`) → gradient of the logits (in `g`); the result is used up. */
function formBackwardLanes(matrix: usize, g: usize, n: i32, iterations: i32, form: i32, epsilon: f32, sums: usize): void {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  const step = form & FORM_COLUMNS_LAST ? across : down, next = form & FORM_COLUMNS_LAST ? down : across;
  if (form & FORM_TRANSPOSED) {
    transposeSquare(matrix, n);
    transposeSquare(g, n);
  }
  const bytes = LANE_STEP * <usize>(n * n);
  for (let at: usize = 0; at < bytes; at += 16) v128.store(g + at, f32x4.mul(v128.load(matrix + at), v128.load(g + at)));
  const least: f32 = form & FORM_FLOOR ? epsilon : 0;
  sums += down * <usize>(2 * iterations);
  for (let t = iterations - 1; t >= 0; t--) {
    sums -= down;
    unnormaliseLines(matrix, g, next, step, n, sums, least);
    if (t == 0 && form & FORM_SOFTMAX) takeFromAll(matrix, g, n, epsilon);
    sums -= down;
    unnormaliseLines(matrix, g, step, next, n, sums, t == 0 ? 0 : least);
  }
}

function addToAll(matrix: usize, n: i32, epsilon: f32): void {
  const offset = f32x4.splat(epsilon);
  for (let at: usize = 0; at < LANE_STEP * <usize>(n * n); at += 16) v128.store(matrix + at, f32x4.add(v128.load(matrix + at), offset));
}

/** The way back through addToAll: P ← P' − epsilon, g ← g P / P'. */
function takeFromAll(matrix: usize, g: usize, n: i32, epsilon: f32): void {
  const offset = f32x4.splat(epsilon);
  for (let at: usize = 0; at < LANE_STEP * <usize>(n * n); at += 16) {
    const after = v128.load(matrix + at), before = f32x4.sub(after, offset);
    v128.store(g + at, f32x4.mul(v128.load(g + at), f32x4.div(before, after)));
    v128.store(matrix + at, before);
  }
}

function transposeSquare(matrix: usize, n: i32): void {
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const a = matrix + LANE_STEP * <usize>(i * n + j), b = matrix + LANE_STEP * <usize>(j * n + i);
      const low = v128.load(a), high = v128.load(a, 16);
      v128.store(a, v128.load(b));
      v128.store(a, v128.load(b, 16), 16);
      v128.store(b, low);
      v128.store(b, high, 16);
    }
  }
}

/** l → scale · σ(l) + offset for n values, in place. */
function gates(l: usize, scale: f32, offset: f32, n: i32): void {
  const factor = f32x4.splat(scale), term = f32x4.splat(offset);
  for (let at: usize = 0; at < LANE_STEP * <usize>n; at += 16) {
    v128.store(l + at, fma(factor, sigmoid4(v128.load(l + at)), term));
  }
}

/** dh → dh · scale σ(l) (1 − σ(l)), in place, for n logits l. */
function gatesBackward(l: usize, dh: usize, scale: f32, n: i32): void {
  const factor = f32x4.splat(scale), one = f32x4.splat(1);
  for (let at: usize = 0; at < LANE_STEP * <usize>n; at += 16) {
    const gate = sigmoid4(v128.load(l + at));
    const slope = f32x4.mul(f32x4.mul(factor, gate), f32x4.sub(one, gate));
    v128.store(dh + at, f32x4.mul(v128.load(dh + at), slope));
  }
}

export function sinkhornForm(args: SinkhornFormArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, out = args.h;
  const n = args.n, iterations = args.iterations, form = args.form, epsilon = args.epsilon;
  const size = n * n;
  for (let r = begin; r < end; r += LANES) {
    const rows = min(LANES, end - r), at = <usize>(r * size) << 2;
    gatherLanes(logits + at, size, rows, scratch);
    formLanes(scratch, n, iterations, form, epsilon, 0);
    scatterLanes(scratch, size, rows, out + at);
  }
}

export function sinkhornFormBackward(args: SinkhornFormBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, g = args.g, dlogits = args.dlogits;
  const n = args.n, iterations = args.iterations, form = args.form, epsilon = args.epsilon;
  const size = n * n;
  const gradient = scratch + LANE_STEP * <usize>size;
  const sums = gradient + LANE_STEP * <usize>size;
  for (let r = begin; r < end; r += LANES) {
    const rows = min(LANES, end - r), at = <usize>(r * size) << 2;
    gatherLanes(logits + at, size, rows, scratch);
    gatherLanes(g + at, size, rows, gradient);
    formLanes(scratch, n, iterations, form, epsilon, sums);
    formBackwardLanes(scratch, gradient, n, iterations, form, epsilon, sums);
    scatterLanes(gradient, size, rows, dlogits + at);
  }
}

export function manifoldCoefficientsForm(args: ManifoldCoefficientsFormArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, bias = args.bias, h = args.h;
  const n = args.n, iterations = args.iterations, form = args.form, epsilon = args.epsilon;
  const readEpsilon = args.readEpsilon, writeScale = args.writeScale;
  const M = n * (n + 2), group = LANE_STEP * <usize>n;
  for (let t = begin; t < end; t += LANES) {
    const tokens = min(LANES, end - t), at = <usize>(t * M) << 2;
    gatherLanes(p + at, M, tokens, scratch);
    affineCoefficients(scratch, alpha, bias, n, scratch);
    gates(scratch, 1, readEpsilon, n);
    gates(scratch + group, writeScale, 0, n);
    formLanes(scratch + 2 * group, n, iterations, form, epsilon, 0);
    scatterLanes(scratch, M, tokens, h + at);
  }
}

export function manifoldCoefficientsFormBackward(args: ManifoldCoefficientsFormBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, bias = args.bias, dh = args.dh;
  const dp = args.dp, dalpha = args.dalphaPartials, dbias = args.dbiasPartials;
  const n = args.n, iterations = args.iterations, form = args.form, epsilon = args.epsilon;
  const writeScale = args.writeScale, tile = <usize>(begin / args.tile);
  const M = n * (n + 2), group = LANE_STEP * <usize>n, all = LANE_STEP * <usize>M;
  const q = scratch, value = q + all, e = value + all, biasSums = e + all, alphaSums = biasSums + all, sums = alphaSums + 3 * LANE_STEP;
  memory.fill(biasSums, 0, all + 3 * LANE_STEP);
  for (let t = begin; t < end; t += LANES) {
    const tokens = min(LANES, end - t), at = <usize>(t * M) << 2;
    gatherLanes(p + at, M, tokens, q);
    gatherLanes(dh + at, M, tokens, e);
    affineCoefficients(q, alpha, bias, n, value);
    gatesBackward(value, e, 1, n);
    gatesBackward(value + group, e + group, writeScale, n);
    formLanes(value + 2 * group, n, iterations, form, epsilon, sums);
    formBackwardLanes(value + 2 * group, e + 2 * group, n, iterations, form, epsilon, sums);
    affineCoefficientsBackward(e, q, alpha, n, biasSums, alphaSums);
    scatterLanes(e, M, tokens, dp + at);
  }
  foldLanes(biasSums, M, dbias + (<usize>M << 2) * tile);
  foldLanes(alphaSums, 3, dalpha + 12 * tile);
}
