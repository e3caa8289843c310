// Question: how are the lines of eight matrices normalised together, and what flows back?
//
//   P_l ← P_l / Σ P_l for every line l, a row or a column;  back: G_l ← G_l − P_l Σ G_l, G the gradient of log P
//
// Lanes (token-lanes.ts): every entry is the same entry of eight matrices.

import { fma } from "./simd";
import { LANE_STEP } from "./token-lanes";

/** A line of logits, `step` bytes from entry to entry, minus its maximum. */
export function subtractMaximum(line: usize, step: usize, n: i32): void {
  let low = v128.load(line), high = v128.load(line, 16);
  let entry = line;
  for (let k = 1; k < n; k++) {
    entry += step;
    low = f32x4.pmax(low, v128.load(entry));
    high = f32x4.pmax(high, v128.load(entry, 16));
  }
  for (let k = 0; k < n; k++) {
    const a = f32x4.sub(v128.load(line), low), b = f32x4.sub(v128.load(line, 16), high);
    v128.store(line, a);
    v128.store(line, b, 16);
    line += step;
  }
}

/** line ← factor · line, `step` bytes from entry to entry. */
@inline
export function scaleLine(line: usize, step: usize, n: i32, low: v128, high: v128): void {
  for (let k = 0; k < n; k++) {
    const a = f32x4.mul(v128.load(line), low), b = f32x4.mul(v128.load(line, 16), high);
    v128.store(line, a);
    v128.store(line, b, 16);
    line += step;
  }
}

/** g ← g + P · term, then P ← P · divisor, over one line of both. */
@inline
export function pullBackLine(
  line: usize, g: usize, step: usize, n: i32, low: v128, high: v128, divisorLow: v128, divisorHigh: v128,
): void {
  for (let k = 0; k < n; k++) {
    const p = v128.load(line), q = v128.load(line, 16);
    const a = fma(p, low, v128.load(g)), b = fma(q, high, v128.load(g, 16));
    v128.store(g, a);
    v128.store(g, b, 16);
    v128.store(line, f32x4.mul(p, divisorLow));
    v128.store(line, f32x4.mul(q, divisorHigh), 16);
    line += step;
    g += step;
  }
}

/**
 * Divide n lines by max(sum + added, least), both 0 in the paper's form; `step` leads along a line, `next` to
 * the next line. The divisors are kept if `sums` is not 0.
 */
export function normaliseLines(matrix: usize, step: usize, next: usize, n: i32, sums: usize, added: f32, least: f32): void {
  const one = f32x4.splat(1), term = f32x4.splat(added), floor = f32x4.splat(least);
  for (let line = 0; line < n; line++) {
    let low = v128.load(matrix), high = v128.load(matrix, 16);
    let entry = matrix;
    for (let k = 1; k < n; k++) {
      entry += step;
      low = f32x4.add(low, v128.load(entry));
      high = f32x4.add(high, v128.load(entry, 16));
    }
    low = f32x4.pmax(f32x4.add(low, term), floor);
    high = f32x4.pmax(f32x4.add(high, term), floor);
    if (sums != 0) {
      v128.store(sums, low);
      v128.store(sums, high, 16);
      sums += LANE_STEP;
    }
    low = f32x4.div(one, low);
    high = f32x4.div(one, high);
    scaleLine(matrix, step, n, low, high);
    matrix += next;
  }
}

/** The way back through normaliseLines: g ← g − P Σ_line g unless `least` was the divisor, then P ← P · divisor. */
export function unnormaliseLines(matrix: usize, g: usize, step: usize, next: usize, n: i32, sums: usize, least: f32): void {
  const floor = f32x4.splat(least);
  for (let line = 0; line < n; line++) {
    let low = v128.load(g), high = v128.load(g, 16);
    let at = step;
    for (let k = 1; k < n; k++) {
      low = f32x4.add(low, v128.load(g + at));
      high = f32x4.add(high, v128.load(g + at, 16));
      at += step;
    }
    const sumLow = v128.load(sums), sumHigh = v128.load(sums, 16);
    // A divisor of exactly the floor is a constant.
    low = v128.and(f32x4.neg(low), f32x4.gt(sumLow, floor));
    high = v128.and(f32x4.neg(high), f32x4.gt(sumHigh, floor));
    pullBackLine(matrix, g, step, n, low, high, sumLow, sumHigh);
    matrix += next;
    g += next;
    sums += LANE_STEP;
  }
}
