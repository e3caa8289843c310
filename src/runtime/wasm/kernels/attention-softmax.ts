// Question: what happens to scores between the products of attention?
//
// Scores lie transposed, s[key, query], in rows of 48 queries, in units of log2 (the queries were scaled
// by log2 e): maxima and sums over keys are then plain vector operations down a column, and 2^x needs no
// reduction by ln 2. A panel is 16 columns. 2^x of -127 or less is exactly 0, so a masked score
// leaves no trace.

import { ROW } from "./attention-rows";
import { opaque } from "./math";
import { fma } from "./simd";

/** Below every score, however large. */
export const MASKED: f32 = -Infinity;

// 2^r on [-1/2, 1/2] (Cephes' exp2f), and the rounding constant of math.ts.
let LOWEST: f32 = opaque(-127);
let ROUND: f32 = opaque(12582912);
let C1: f32 = opaque(6.931472028550421e-1);
let C2: f32 = opaque(2.402264791363012e-1);
let C3: f32 = opaque(5.550332471162809e-2);
let C4: f32 = opaque(9.618437357674640e-3);
let C5: f32 = opaque(1.339887440266574e-3);
let C6: f32 = opaque(1.535336188319500e-4);
let ONE: f32 = opaque(1);

/** 2^x for x < 128. */
@inline
function exp2With(
  x: v128, lowest: v128, round: v128, c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, c1: v128, one: v128,
): v128 {
  const clamped = f32x4.pmax(x, lowest);
  const shifted = f32x4.add(clamped, round);
  const r = f32x4.sub(clamped, f32x4.sub(shifted, round));
  let p = fma(c6, r, c5);
  p = fma(p, r, c4);
  p = fma(p, r, c3);
  p = fma(p, r, c2);
  p = fma(p, r, c1);
  return i32x4.add(fma(p, r, one), i32x4.shl(shifted, 23));
}

/** Mask the scores of a panel whose key comes after the query; its columns are the queries first, first + 1, ... */
export function maskPanel(panel: usize, keys: i32, first: i32): void {
  for (let key = max(first + 1, 0); key < keys; key++) {
    const row = panel + <usize>key * ROW;
    const later = min(key - first, 16);
    let j = 0;
    for (; j + 4 <= later; j += 4) v128.store(row + (<usize>j << 2), f32x4.splat(MASKED));
    for (; j < later; j++) store<f32>(row + (<usize>j << 2), MASKED);
  }
}

/** maximum[16] = the larger of itself and the scores of a panel. */
export function maxPanel(panel: usize, keys: i32, maximum: usize): void {
  let m0 = v128.load(maximum), m1 = v128.load(maximum, 16), m2 = v128.load(maximum, 32), m3 = v128.load(maximum, 48);
  for (let key = 0; key < keys; key++) {
    m0 = f32x4.pmax(m0, v128.load(panel));
    m1 = f32x4.pmax(m1, v128.load(panel, 16));
    m2 = f32x4.pmax(m2, v128.load(panel, 32));
    m3 = f32x4.pmax(m3, v128.load(panel, 48));
    panel += ROW;
  }
  v128.store(maximum, m0);
  v128.store(maximum, m1, 16);
  v128.store(maximum, m2, 32);
  v128.store(maximum, m3, 48);
}

/** s = 2^(s - maximum) in a half panel of 8 columns, and their sums over the keys added to sum[8]. */
export function expHalfPanel(panel: usize, keys: i32, maximum: usize, sum: usize): void {
  const lowest = f32x4.splat(LOWEST), round = f32x4.splat(ROUND), one = f32x4.splat(ONE);
  const c6 = f32x4.splat(C6), c5 = f32x4.splat(C5), c4 = f32x4.splat(C4);
  const c3 = f32x4.splat(C3), c2 = f32x4.splat(C2), c1 = f32x4.splat(C1);
  const m0 = v128.load(maximum), m1 = v128.load(maximum, 16);
  let s0 = v128.load(sum), s1 = v128.load(sum, 16);
  for (let key = 0; key < keys; key++) {
    const x = f32x4.sub(v128.load(panel), m0), y = f32x4.sub(v128.load(panel, 16), m1);
    const p = exp2With(x, lowest, round, c6, c5, c4, c3, c2, c1, one);
    const q = exp2With(y, lowest, round, c6, c5, c4, c3, c2, c1, one);
    v128.store(panel, p);
    v128.store(panel, q, 16);
    s0 = f32x4.add(s0, p);
    s1 = f32x4.add(s1, q);
    panel += ROW;
  }
  v128.store(sum, s0);
  v128.store(sum, s1, 16);
}

/** p = 2^p and d = p * d in a panel: probabilities and the gradient of the scores. */
export function expTimesPanel(p: usize, d: usize, keys: i32): void {
  const lowest = f32x4.splat(LOWEST), round = f32x4.splat(ROUND), one = f32x4.splat(ONE);
  const c6 = f32x4.splat(C6), c5 = f32x4.splat(C5), c4 = f32x4.splat(C4);
  const c3 = f32x4.splat(C3), c2 = f32x4.splat(C2), c1 = f32x4.splat(C1);
  for (let i = keys << 1; i > 0; i--) {
    const x = exp2With(v128.load(p), lowest, round, c6, c5, c4, c3, c2, c1, one);
    const y = exp2With(v128.load(p, 16), lowest, round, c6, c5, c4, c3, c2, c1, one);
    const dx = f32x4.mul(x, v128.load(d)), dy = f32x4.mul(y, v128.load(d, 16));
    v128.store(p, x);
    v128.store(p, y, 16);
    v128.store(d, dx);
    v128.store(d, dy, 16);
    const step: usize = i & 1 ? ROW - 32 : 32;
    p += step;
    d += step;
  }
}
