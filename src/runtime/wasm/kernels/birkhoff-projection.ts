// Question: which doubly stochastic matrices are nearest, in entropy, to the logits of eight tokens?
//
//   P = row softmax of L + 1vᵀ, c = Pᵀ1;  S δ = 1 − c, shortened;  v ← v + δ
//
// As in ops/birkhoff-projection.ts: steps of v until the columns are near to one, then steps of P itself,
// P ← rows(P e^δ), until they are there up to rounding. Eight matrices at a time (token-lanes.ts); one that
// has arrived is left alone, bit by bit, so no result depends on a matrix's neighbours.
//
// birkhoffProjection  row-wise over matrices

import { BirkhoffProjectionArguments } from "./arguments";
import { columnWeights, eliminateColumns, solveColumnsShort } from "./column-graph";
import { exp4, expRow } from "./math";
import { gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

const NEAR: f32 = 1e-2;
const ROUNDING: f32 = 2.4e-7;
const MOST_STEPS: i32 = 400;
const LONGEST: f32 = 20;

/** p = row softmax of l + 1vᵀ; exp is no less than 1e-38 before it is divided. */
function shiftedSoftmax(l: usize, v: usize, n: i32, p: usize): void {
  const rowBytes = LANE_STEP * <usize>n;
  let row = p;
  for (let i = 0; i < n; i++) {
    let low = f32x4.splat(-Infinity), high = low;
    for (let j: usize = 0; j < rowBytes; j += LANE_STEP) {
      const a = f32x4.add(v128.load(l + j), v128.load(v + j)), b = f32x4.add(v128.load(l + j, 16), v128.load(v + j, 16));
      low = f32x4.pmax(low, a);
      high = f32x4.pmax(high, b);
      v128.store(row + j, a);
      v128.store(row + j, b, 16);
    }
    for (let j: usize = 0; j < rowBytes; j += LANE_STEP) {
      const a = f32x4.sub(v128.load(row + j), low), b = f32x4.sub(v128.load(row + j, 16), high);
      v128.store(row + j, a);
      v128.store(row + j, b, 16);
    }
    l += rowBytes;
    row += rowBytes;
  }
  expRow(p, p, n * n * LANES);
  row = p;
  for (let i = 0; i < n; i++) {
    normaliseRow(row, n, i32x4.splat(-1), i32x4.splat(-1));
    row += rowBytes;
  }
}

/** Divide a row by its sum in the lanes of the masks. */
function normaliseRow(row: usize, n: i32, maskLow: v128, maskHigh: v128): void {
  const end = row + LANE_STEP * <usize>n, one = f32x4.splat(1);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let at = row; at < end; at += LANE_STEP) {
    low = f32x4.add(low, v128.load(at));
    high = f32x4.add(high, v128.load(at, 16));
  }
  low = v128.bitselect(f32x4.div(one, low), one, maskLow);
  high = v128.bitselect(f32x4.div(one, high), one, maskHigh);
  for (let at = row; at < end; at += LANE_STEP) {
    const a = f32x4.mul(v128.load(at), low), b = f32x4.mul(v128.load(at, 16), high);
    v128.store(at, a);
    v128.store(at, b, 16);
  }
}

/** b = 1 − c; whether a column of a lane is off by more than `tolerance` goes to `mask`. Returns whether any is. */
function columnErrors(p: usize, n: i32, tolerance: f32, b: usize, mask: usize): bool {
  const rowBytes = LANE_STEP * <usize>n, one = f32x4.splat(1), limit = f32x4.splat(tolerance);
  let worstLow = f32x4.splat(0), worstHigh = f32x4.splat(0);
  for (let j: usize = 0; j < rowBytes; j += LANE_STEP) {
    let low = one, high = one;
    let at = p + j;
    for (let i = 0; i < n; i++) {
      low = f32x4.sub(low, v128.load(at));
      high = f32x4.sub(high, v128.load(at, 16));
      at += rowBytes;
    }
    worstLow = f32x4.pmax(worstLow, f32x4.abs(low));
    worstHigh = f32x4.pmax(worstHigh, f32x4.abs(high));
    v128.store(b + j, low);
    v128.store(b + j, high, 16);
  }
  const offLow = f32x4.gt(worstLow, limit), offHigh = f32x4.gt(worstHigh, limit);
  v128.store(mask, offLow);
  v128.store(mask, offHigh, 16);
  return v128.any_true(v128.or(offLow, offHigh));
}

/** f_jk = (b_j − b_k) / n for j < k: flows that sum to b. */
function evenFlows(b: usize, n: i32, f: usize): void {
  const share = f32x4.splat(1 / <f32>n), down = LANE_STEP * <usize>n;
  for (let j: usize = 0; j < down; j += LANE_STEP) {
    const low = v128.load(b + j), high = v128.load(b + j, 16);
    for (let k = j + LANE_STEP; k < down; k += LANE_STEP) {
      const a = f32x4.sub(low, v128.load(b + k)), c = f32x4.sub(high, v128.load(b + k, 16));
      v128.store(f + k, f32x4.mul(a, share));
      v128.store(f + k, f32x4.mul(c, share), 16);
    }
    f += down;
  }
}

/** b = 1 − c becomes the step in the lanes of `mask`, zero in the others. `w` holds 2 n² values. */
function newtonStep(p: usize, n: i32, w: usize, b: usize, mask: usize): void {
  const flows = w + LANE_STEP * <usize>(n * n), end = b + LANE_STEP * <usize>n;
  columnWeights(p, n, w);
  evenFlows(b, n, flows);
  eliminateColumns(w, flows, n);
  solveColumnsShort(w, flows, n, ROUNDING, b);
  const low = v128.load(mask), high = v128.load(mask, 16);
  for (let at = b; at < end; at += LANE_STEP) {
    v128.store(at, v128.and(v128.load(at), low));
    v128.store(at, v128.and(v128.load(at, 16), high), 16);
  }
}

/** p ← rows(p e^δ) in the lanes of `mask`; δ is zero in the others. */
function multiplyColumns(p: usize, delta: usize, n: i32, mask: usize): void {
  const rowBytes = LANE_STEP * <usize>n;
  const longest = f32x4.splat(LONGEST), shortest = f32x4.splat(-LONGEST);
  for (let at = delta; at < delta + rowBytes; at += 16) {
    v128.store(at, exp4(f32x4.pmax(f32x4.pmin(v128.load(at), longest), shortest)));
  }
  const maskLow = v128.load(mask), maskHigh = v128.load(mask, 16);
  for (let i = 0; i < n; i++) {
    for (let j: usize = 0; j < rowBytes; j += LANE_STEP) {
      const a = f32x4.mul(v128.load(p + j), v128.load(delta + j)), b = f32x4.mul(v128.load(p + j, 16), v128.load(delta + j, 16));
      v128.store(p + j, a);
      v128.store(p + j, b, 16);
    }
    normaliseRow(p, n, maskLow, maskHigh);
    p += rowBytes;
  }
}

/** Logits l → p. `work` holds 2 n (n + 1) + 1 values of eight lanes. */
function projectLanes(l: usize, n: i32, p: usize, work: usize): void {
  const rowBytes = LANE_STEP * <usize>n;
  const w = work, v = w + 2 * rowBytes * <usize>n, b = v + rowBytes, mask = b + rowBytes;
  memory.fill(v, 0, rowBytes);
  shiftedSoftmax(l, v, n, p);
  let step = 0;
  for (; step < MOST_STEPS && columnErrors(p, n, NEAR, b, mask); step++) {
    newtonStep(p, n, w, b, mask);
    for (let j: usize = 0; j < rowBytes; j += 16) v128.store(v + j, f32x4.add(v128.load(v + j), v128.load(b + j)));
    shiftedSoftmax(l, v, n, p);
  }
  for (; step < MOST_STEPS && columnErrors(p, n, ROUNDING * <f32>(n + 2), b, mask); step++) {
    newtonStep(p, n, w, b, mask);
    multiplyColumns(p, b, n, mask);
  }
}

export function birkhoffProjection(args: BirkhoffProjectionArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, out = args.p;
  const n = args.n, size = n * n;
  const p = scratch + LANE_STEP * <usize>size, work = p + LANE_STEP * <usize>size;
  for (let m = begin; m < end; m += LANES) {
    const count = min(LANES, end - m), at = <usize>(m * size) << 2;
    gatherLanes(logits + at, size, count, scratch);
    projectLanes(scratch, n, p, work);
    scatterLanes(p, size, count, out + at);
  }
}
