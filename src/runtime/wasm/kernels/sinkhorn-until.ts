// Question: how do eight matrices iterate by Sinkhorn-Knopp until the columns of each sum to one, and what flows back?
//
//   c = column sums; done: |c − 1| ≤ tolerance for all;  else  M ← rows(M / c)
//   backward: G ← G − P Σ_line G at each normalisation, from G = P dP at the result to dL
//
// Lanes (token-lanes.ts): a lane that is done is divided by one from then on, which changes no bit of it, until all are.
// Kept for the way back, of each iteration: which lanes took part, then the divisors of n columns and n rows.
//
// sinkhornUntil          row-wise over matrices
// sinkhornUntilBackward  row-wise over matrices

import { SinkhornUntilArguments, SinkhornUntilBackwardArguments } from "./arguments";
import { expRow } from "./math";
import { pullBackLine, scaleLine, subtractMaximum } from "./sinkhorn-lines";
import { gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** The sums of n lines; `step` leads along a line, `next` to the next line. */
function sumLines(matrix: usize, step: usize, next: usize, n: i32, sums: usize): void {
  for (let line = 0; line < n; line++) {
    let low = v128.load(matrix), high = v128.load(matrix, 16);
    let entry = matrix;
    for (let k = 1; k < n; k++) {
      entry += step;
      low = f32x4.add(low, v128.load(entry));
      high = f32x4.add(high, v128.load(entry, 16));
    }
    v128.store(sums, low);
    v128.store(sums, high, 16);
    sums += LANE_STEP;
    matrix += next;
  }
}

/** Which lanes have a column that is off by more than the tolerance; all if `first`. Returns whether any has. */
function lanesLeft(sums: usize, n: i32, tolerance: f32, first: bool, mask: usize): bool {
  const one = f32x4.splat(1), limit = f32x4.splat(tolerance);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let j = 0; j < n; j++) {
    low = f32x4.pmax(low, f32x4.abs(f32x4.sub(v128.load(sums), one)));
    high = f32x4.pmax(high, f32x4.abs(f32x4.sub(v128.load(sums, 16), one)));
    sums += LANE_STEP;
  }
  low = first ? i32x4.splat(-1) : f32x4.gt(low, limit);
  high = first ? i32x4.splat(-1) : f32x4.gt(high, limit);
  v128.store(mask, low);
  v128.store(mask, high, 16);
  return v128.any_true(v128.or(low, high));
}

/** Divide n lines by their sums in the lanes of the mask; in the others the sums become one. */
function divideLines(matrix: usize, step: usize, next: usize, n: i32, sums: usize, mask: usize): void {
  const one = f32x4.splat(1), maskLow = v128.load(mask), maskHigh = v128.load(mask, 16);
  for (let line = 0; line < n; line++) {
    let low = v128.bitselect(v128.load(sums), one, maskLow), high = v128.bitselect(v128.load(sums, 16), one, maskHigh);
    v128.store(sums, low);
    v128.store(sums, high, 16);
    low = f32x4.div(one, low);
    high = f32x4.div(one, high);
    scaleLine(matrix, step, n, low, high);
    sums += LANE_STEP;
    matrix += next;
  }
}

/** Bytes of what an iteration keeps. */
@inline
function keptBytes(n: i32): usize {
  return LANE_STEP * <usize>(2 * n + 1);
}

/** logits → result, in place; returns the iterations of the slowest lane. With `keep` the room holds all of them, else one. */
function iterate(matrix: usize, n: i32, most: i32, tolerance: f32, room: usize, keep: bool): i32 {
  const across = LANE_STEP, down = LANE_STEP * <usize>n;
  for (let j = 0; j < n; j++) subtractMaximum(matrix + across * <usize>j, down, n);
  expRow(matrix, matrix, n * n * LANES);
  let t = 0;
  for (; t < most; t++) {
    const mask = room, columns = mask + LANE_STEP, rows = columns + down;
    sumLines(matrix, down, across, n, columns);
    if (!lanesLeft(columns, n, tolerance, t == 0, mask)) break;
    divideLines(matrix, down, across, n, columns, mask);
    sumLines(matrix, across, down, n, rows);
    divideLines(matrix, across, down, n, rows, mask);
    if (keep) room += keptBytes(n);
  }
  return t;
}

/** The way back through divideLines: g ← g − P Σ_line g in the lanes of the mask, then P ← P · sum. */
function undivideLines(matrix: usize, g: usize, step: usize, next: usize, n: i32, sums: usize, mask: usize): void {
  const maskLow = v128.load(mask), maskHigh = v128.load(mask, 16);
  for (let line = 0; line < n; line++) {
    let low = v128.load(g), high = v128.load(g, 16);
    let at = step;
    for (let k = 1; k < n; k++) {
      low = f32x4.add(low, v128.load(g + at));
      high = f32x4.add(high, v128.load(g + at, 16));
      at += step;
    }
    low = v128.and(f32x4.neg(low), maskLow);
    high = v128.and(f32x4.neg(high), maskHigh);
    const sumLow = v128.load(sums), sumHigh = v128.load(sums, 16);
    pullBackLine(matrix, g, step, n, low, high, sumLow, sumHigh);
    matrix += next;
    g += next;
    sums += LANE_STEP;
  }
}

export function sinkhornUntil(args: SinkhornUntilArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, out = args.h;
  const n = args.n, most = args.most, tolerance = args.tolerance;
  const size = n * n, row = <usize>size << 2, room = scratch + LANE_STEP * <usize>size;
  for (let r = begin; r < end; r += LANES) {
    const count = min(LANES, end - r);
    gatherLanes(logits + row * <usize>r, size, count, scratch);
    iterate(scratch, n, most, tolerance, room, false);
    scatterLanes(scratch, size, count, out + row * <usize>r);
  }
}

export function sinkhornUntilBackward(args: SinkhornUntilBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, g = args.g, dlogits = args.dlogits;
  const n = args.n, most = args.most, tolerance = args.tolerance;
  const size = n * n, row = <usize>size << 2, across = LANE_STEP, down = LANE_STEP * <usize>n;
  const gradient = scratch + LANE_STEP * <usize>size, room = gradient + LANE_STEP * <usize>size;
  for (let r = begin; r < end; r += LANES) {
    const count = min(LANES, end - r);
    gatherLanes(logits + row * <usize>r, size, count, scratch);
    gatherLanes(g + row * <usize>r, size, count, gradient);
    const steps = iterate(scratch, n, most, tolerance, room, true);
    for (let at: usize = 0; at < LANE_STEP * <usize>size; at += 16) {
      v128.store(gradient + at, f32x4.mul(v128.load(scratch + at), v128.load(gradient + at)));
    }
    for (let t = steps - 1; t >= 0; t--) {
      const mask = room + keptBytes(n) * <usize>t, columns = mask + LANE_STEP;
      undivideLines(scratch, gradient, across, down, n, columns + down, mask);
      undivideLines(scratch, gradient, down, across, n, columns, mask);
    }
    scatterLanes(gradient, size, count, dlogits + row * <usize>r);
  }
}
