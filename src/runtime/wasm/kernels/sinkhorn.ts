// Question: how are the matrices of eight tokens made doubly stochastic together, and what flows back?
//
//   M(0) = exp(L),  M(t) = rows(columns(M(t−1))): every line is divided by its sum
//   backward: G ← G − P Σ_line G at each normalisation, from G = P dP at the result to dL
//
// Lanes (token-lanes.ts): entry i, j of eight tokens at [i n + j]. Each line has one division, for its
// sum's reciprocal. The forward pass keeps the sums if asked; the backward pass walks from the result
// to the iterates before it by multiplying each line by its sum again, so T and n may be large.
// Four streams have a faster way of their own (sinkhorn-four.ts).
//
// sinkhorn          row-wise over matrices
// sinkhornBackward  row-wise over matrices

import { SinkhornArguments, SinkhornBackwardArguments } from "./arguments";
import { expRow } from "./math";
import { roomBytes, sinkhornFour, sinkhornFourBackward } from "./sinkhorn-four";
import { normaliseLines, subtractMaximum, unnormaliseLines } from "./sinkhorn-lines";
import { gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** Bytes of the sums that the backward pass needs. */
@inline
function sumsBytes(n: i32, iterations: i32): usize {
  return LANE_STEP * <usize>(2 * iterations * n);
}

/** Bytes from a group of eight tokens to the next, for groups of `values` values that go through Sinkhorn together; 0: alone. */
export function pairStep(values: i32, n: i32, iterations: i32): usize {
  return n == 4 && iterations > 0 ? LANE_STEP * <usize>values + roomBytes(iterations) : 0;
}

/**
 * logits → result, in place. The room has space for 4n values, or with `keep` for all that the way back
 * needs; a second group of tokens may lie `apart` bytes behind the first (pairStep), 0: there is none.
 */
export function sinkhornLanes(matrix: usize, n: i32, iterations: i32, room: usize, keep: bool, apart: usize): void {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  if (apart != 0) exponentials(matrix + apart, n, iterations);
  exponentials(matrix, n, iterations);
  if (n == 4 && iterations > 0) {
    sinkhornFour(matrix, iterations, room, keep, apart);
    return;
  }
  let sums: usize = keep ? room : 0;
  const kept: usize = keep ? down : 0;
  for (let t = 0; t < iterations; t++) {
    normaliseLines(matrix, down, across, n, sums, 0, 0);
    sums += kept;
    normaliseLines(matrix, across, down, n, sums, 0, 0);
    sums += kept;
  }
}

/** exp(L): a factor of a column is undone by the first normalisation, so dividing by its maximum prevents overflow. */
function exponentials(matrix: usize, n: i32, iterations: i32): void {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  if (iterations > 0) for (let j = 0; j < n; j++) subtractMaximum(matrix + across * <usize>j, down, n);
  expRow(matrix, matrix, n * n * LANES);
}

/** result and gradient of it (in `g`) → gradient of the logits (in `g`), from what was kept; the result is used up. */
export function sinkhornBackwardLanes(matrix: usize, g: usize, n: i32, iterations: i32, room: usize, apart: usize): void {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  if (apart != 0) multiplyEntries(g + apart, matrix + apart, n);
  multiplyEntries(g, matrix, n);
  if (n == 4 && iterations > 0) {
    sinkhornFourBackward(matrix, g, iterations, room, apart);
    return;
  }
  let sums = room + sumsBytes(n, iterations);
  for (let t = 0; t < iterations; t++) {
    sums -= down;
    unnormaliseLines(matrix, g, across, down, n, sums, 0);
    sums -= down;
    unnormaliseLines(matrix, g, down, across, n, sums, 0);
  }
}

/** g ← P g, the gradient of log P. */
function multiplyEntries(g: usize, matrix: usize, n: i32): void {
  for (let at: usize = 0; at < LANE_STEP * <usize>(n * n); at += LANE_STEP) {
    const low = f32x4.mul(v128.load(matrix + at), v128.load(g + at)), high = f32x4.mul(v128.load(matrix + at, 16), v128.load(g + at, 16));
    v128.store(g + at, low);
    v128.store(g + at, high, 16);
  }
}

export function sinkhorn(args: SinkhornArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, out = args.h;
  const n = args.n, iterations = args.iterations;
  const size = n * n, rows = <usize>size << 2, room = scratch + LANE_STEP * <usize>size;
  const step = pairStep(size, n, iterations);
  for (let r = begin; r < end; r += LANES) {
    const count = min(LANES, end - r), apart = end - r > LANES ? step : 0;
    gatherLanes(logits + rows * <usize>r, size, count, scratch);
    if (apart != 0) gatherLanes(logits + rows * <usize>(r + LANES), size, min(LANES, end - r - LANES), scratch + apart);
    sinkhornLanes(scratch, n, iterations, room, false, apart);
    scatterLanes(scratch, size, count, out + rows * <usize>r);
    if (apart == 0) continue;
    r += LANES;
    scatterLanes(scratch + apart, size, min(LANES, end - r), out + rows * <usize>r);
  }
}

export function sinkhornBackward(args: SinkhornBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, g = args.g, dlogits = args.dlogits;
  const n = args.n, iterations = args.iterations;
  const size = n * n, rows = <usize>size << 2;
  const gradient = scratch + LANE_STEP * <usize>size, room = gradient + LANE_STEP * <usize>size;
  const step = pairStep(2 * size, n, iterations);
  for (let r = begin; r < end; r += LANES) {
    const apart = end - r > LANES ? step : 0;
    for (let other: usize = 0; other <= apart; other += step) {
      const first = other == 0 ? r : r + LANES, count = min(LANES, end - first);
      gatherLanes(logits + rows * <usize>first, size, count, scratch + other);
      gatherLanes(g + rows * <usize>first, size, count, gradient + other);
      if (step == 0) break;
    }
    sinkhornLanes(scratch, n, iterations, room, true, apart);
    sinkhornBackwardLanes(scratch, gradient, n, iterations, room, apart);
    scatterLanes(gradient, size, min(LANES, end - r), dlogits + rows * <usize>r);
    if (apart == 0) continue;
    r += LANES;
    scatterLanes(gradient + apart, size, min(LANES, end - r), dlogits + rows * <usize>r);
  }
}
