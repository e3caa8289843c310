// Question: how is a row normalised by its root mean square, and what is the gradient?
//
//   y = s x w,  s = 1 / sqrt(mean(x²) + epsilon)
//   dx = s w g − k x,  k = s³ / C · Σ w g x;  dw = Σ_rows s g x
//
// Sums over a row run in 8 or 16 lanes of float32; what is made of them is float64.
//
// rmsNorm          row-wise; y may be x
// rmsNormBackward  row-wise; dx may be x, g or addend

import { RmsNormArguments, RmsNormBackwardArguments } from "./arguments";
import { squares } from "./gradient-norm";
import { fma } from "./simd";

export function rmsNorm(args: RmsNormArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, w = args.w, y = args.y;
  const C = args.C, epsilon = args.epsilon;
  for (let row = begin; row < end; row++) {
    const at = <usize>(C << 2) * <usize>row;
    let sum = squares(x + at, C);
    if (!isFinite(sum)) sum = wideDot(x + at, x + at, 0, C);
    const s = inverseRms(sum, C, epsilon);
    scaleRow(x + at, w, y + at, C, <f32>s);
  }
}

export function rmsNormBackward(args: RmsNormBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, w = args.w, g = args.g;
  const addend = args.addend, dx = args.dx, partials = args.dwPartials;
  const C = args.C, epsilon = args.epsilon, grain = args.tile;
  const bytes = <usize>C << 2;
  const dw = partials + bytes * <usize>(begin / grain);
  memory.fill(dw, 0, bytes);
  // No addend is a row of zeros, not a second loop.
  const zeros = scratch + 64;
  if (addend == 0) memory.fill(zeros, 0, bytes);
  for (let row = begin; row < end; row++) {
    const at = bytes * <usize>row;
    sumsOfRow(x + at, w, g + at, C, scratch);
    const s = inverseRms(sumOfLanes(scratch), C, epsilon);
    const k = s * s * s * sumOfLanes(scratch + 32) / <f64>C;
    if (!isFinite(<f32>s) || s < TINY || !isFinite(<f32>k)) {
      wideBackwardRow(x + at, w, g + at, addend == 0 ? zeros : addend + at, dx + at, dw, C, epsilon);
      continue;
    }
    backwardRow(x + at, w, g + at, addend == 0 ? zeros : addend + at, dx + at, dw, C, <f32>s, <f32>-k);
  }
}

/** Below it squares of a row overflow float32, or k is 0 there: the row is done in float64. */
const TINY: f64 = 1e-17;

/** Σ x y, with w Σ x y w, in float64: no product of float32 overflows. */
function wideDot(x: usize, y: usize, w: usize, count: i32): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const product = <f64>load<f32>(x + i) * <f64>load<f32>(y + i);
    sum += w == 0 ? product : product * <f64>load<f32>(w + i);
  }
  return sum;
}

/** backwardRow with its sums, all in float64. */
function wideBackwardRow(
  x: usize, w: usize, g: usize, addend: usize, dx: usize, dw: usize, count: i32, epsilon: f32,
): void {
  const s = inverseRms(wideDot(x, x, 0, count), count, epsilon);
  const along = s * wideDot(x, g, w, count) / <f64>count;
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const normal = s * <f64>load<f32>(x + i), slope = <f64>load<f32>(g + i);
    const from = <f64>load<f32>(addend + i);
    store<f32>(dw + i, <f32>(<f64>load<f32>(dw + i) + slope * normal));
    store<f32>(dx + i, <f32>(from + s * (slope * <f64>load<f32>(w + i) - normal * along)));
  }
}

/** 1 / sqrt(mean(x²) + epsilon). */
@inline
function inverseRms(sumOfSquares: f64, count: i32, epsilon: f32): f64 {
  return 1 / sqrt<f64>(sumOfSquares / <f64>count + <f64>epsilon);
}

/** Sum of 8 floats, in a fixed order. */
@inline
function sumOfLanes(lanes: usize): f64 {
  const s = f32x4.add(v128.load(lanes), v128.load(lanes, 16));
  const sum = <f64>f32x4.extract_lane(s, 0) + <f64>f32x4.extract_lane(s, 1);
  return sum + (<f64>f32x4.extract_lane(s, 2) + <f64>f32x4.extract_lane(s, 3));
}

/** y = s x w. */
function scaleRow(x: usize, w: usize, y: usize, count: i32, s: f32): void {
  const scale = f32x4.splat(s);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const x0 = v128.load(x + i), x1 = v128.load(x + i, 16);
    const w0 = v128.load(w + i), w1 = v128.load(w + i, 16);
    v128.store(y + i, f32x4.mul(f32x4.mul(x0, scale), w0));
    v128.store(y + i, f32x4.mul(f32x4.mul(x1, scale), w1), 16);
  }
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(x + i) * s * load<f32>(w + i));
}

/** 8 partial sums of x² at `lanes`, 8 of w g x after them. */
function sumsOfRow(x: usize, w: usize, g: usize, count: i32, lanes: usize): void {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const x0 = v128.load(x + i), x1 = v128.load(x + i, 16);
    const g0 = v128.load(g + i), g1 = v128.load(g + i, 16);
    s0 = fma(x0, x0, s0);
    s1 = fma(x1, x1, s1);
    d0 = fma(f32x4.mul(x0, g0), v128.load(w + i), d0);
    d1 = fma(f32x4.mul(x1, g1), v128.load(w + i, 16), d1);
  }
  v128.store(lanes, s0);
  v128.store(lanes, s1, 16);
  v128.store(lanes, d0, 32);
  v128.store(lanes, d1, 48);
  for (; i < end; i += 4) {
    const value = load<f32>(x + i);
    store<f32>(lanes, load<f32>(lanes) + value * value);
    store<f32>(lanes, load<f32>(lanes, 32) + value * load<f32>(g + i) * load<f32>(w + i), 32);
  }
}

/** dx = addend + s w g + minusK x; dw += s g x. */
function backwardRow(
  x: usize, w: usize, g: usize, addend: usize, dx: usize, dw: usize, count: i32, s: f32, minusK: f32,
): void {
  const scale = f32x4.splat(s), k = f32x4.splat(minusK);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const x0 = v128.load(x + i), x1 = v128.load(x + i, 16);
    const g0 = f32x4.mul(v128.load(g + i), scale), g1 = f32x4.mul(v128.load(g + i, 16), scale);
    const a0 = fma(x0, k, v128.load(addend + i)), a1 = fma(x1, k, v128.load(addend + i, 16));
    const d0 = fma(g0, x0, v128.load(dw + i)), d1 = fma(g1, x1, v128.load(dw + i, 16));
    const r0 = fma(g0, v128.load(w + i), a0), r1 = fma(g1, v128.load(w + i, 16), a1);
    v128.store(dw + i, d0);
    v128.store(dw + i, d1, 16);
    v128.store(dx + i, r0);
    v128.store(dx + i, r1, 16);
  }
  for (; i < end; i += 4) {
    const value = load<f32>(x + i), slope = load<f32>(g + i) * s;
    const from = load<f32>(addend + i);
    store<f32>(dw + i, load<f32>(dw + i) + slope * value);
    store<f32>(dx + i, from + slope * load<f32>(w + i) + value * minusK);
  }
}
