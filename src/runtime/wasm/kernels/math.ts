// Question: what are exp, log, tanh, sigmoid and 1/sqrt of four float32 at once?
//
// exp   x = n ln2 + r with |r| <= ln2 / 2 (Cody-Waite: ln2 in two parts, n * LN2_HIGH is exact),
//       e^x = 2^n (1 + r + r^2 P(r)); 2^n is added to the exponent bits. Cephes' expf polynomial.
// log   x = 2^n m with m in [sqrt(1/2), sqrt(2)), f = m - 1, log x = n ln2 + f - f^2/2 + f^3 P(f). Cephes' logf.
// tanh  near zero an odd polynomial (Cephes' tanhf), elsewhere 1 - 2 / (e^2|x| + 1) with the sign of x.
//
// Relative errors are at most 2e-7. NaN stays NaN: a diverged
// run must show. Everything is element-wise and free of shuffles, so a loop that applies one function to
// two adjacent v128 (offsets 0 and 16, all loads before all stores) pairs into 256-bit operations.

import { fma } from "./simd";

/**
 * The value itself, but unknown to the compiler (a memory has at most 2^16 pages, so it adds 0).
 * V8 rebuilds a known v128 constant from 64-bit halves at each use: exp is then 1.5 ns an element. A
 * splat of a global is 0.5 ns, and splats of globals set before the loop are 0.3 ns (see `expRow`).
 */
export function opaque(value: f32): f32 {
  return value + <f32>(memory.size() >>> 17);
}

// exp is clamped to [1.2e-38, 3.4e38]: no subnormals, no infinity.
let EXP_LOWEST: f32 = opaque(-87.3);
let EXP_HIGHEST: f32 = opaque(88.72);
let LOG2_E: f32 = opaque(1.44269504088896341);
// Adding 1.5 * 2^23 rounds a small float to the nearest integer and leaves it in the low mantissa bits.
let ROUND: f32 = opaque(12582912);
let MINUS_LN2_HIGH: f32 = opaque(-0.693359375);
let MINUS_LN2_LOW: f32 = opaque(2.12194440e-4);
let EXP_2: f32 = opaque(5.0000001201e-1);
let EXP_3: f32 = opaque(1.6666665459e-1);
let EXP_4: f32 = opaque(4.1665795894e-2);
let EXP_5: f32 = opaque(8.3334519073e-3);
let EXP_6: f32 = opaque(1.3981999507e-3);
let EXP_7: f32 = opaque(1.9875691500e-4);
let ONE: f32 = opaque(1);
let MINUS_HALF: f32 = opaque(-0.5);
let LN2_HIGH: f32 = opaque(0.693359375);
let LN2_LOW: f32 = opaque(-2.12194440e-4);
let LOG_3: f32 = opaque(3.3333331174e-1);
let LOG_4: f32 = opaque(-2.4999993993e-1);
let LOG_5: f32 = opaque(2.0000714765e-1);
let LOG_6: f32 = opaque(-1.6668057665e-1);
let LOG_7: f32 = opaque(1.4249322787e-1);
let LOG_8: f32 = opaque(-1.2420140846e-1);
let LOG_9: f32 = opaque(1.1676998740e-1);
let LOG_10: f32 = opaque(-1.1514610310e-1);
let LOG_11: f32 = opaque(7.0376836292e-2);
let TWO: f32 = opaque(2);
let TANH_NEAR: f32 = opaque(0.625);
let TANH_3: f32 = opaque(-3.33332819422e-1);
let TANH_5: f32 = opaque(1.33314422036e-1);
let TANH_7: f32 = opaque(-5.37397155531e-2);
let TANH_9: f32 = opaque(2.06390887954e-2);
let TANH_11: f32 = opaque(-5.70498872745e-3);
// The mantissa interval of log begins at sqrt(1/2).
let SQRT_HALF: f32 = opaque(0.707106781186547524);

@inline
export function exp4(x: v128): v128 {
  return exp4With(
    x, f32x4.splat(EXP_LOWEST), f32x4.splat(EXP_HIGHEST), f32x4.splat(LOG2_E), f32x4.splat(ROUND),
    f32x4.splat(MINUS_LN2_HIGH), f32x4.splat(MINUS_LN2_LOW), f32x4.splat(EXP_7), f32x4.splat(EXP_6),
    f32x4.splat(EXP_5), f32x4.splat(EXP_4), f32x4.splat(EXP_3), f32x4.splat(EXP_2), f32x4.splat(ONE),
  );
}

/** exp4 with its constants given: for hot loops, which set them beforehand (see `expRow`). */
@inline
export function exp4With(
  x: v128, lowest: v128, highest: v128, log2e: v128, round: v128, minusLn2High: v128, minusLn2Low: v128,
  c7: v128, c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, one: v128,
): v128 {
  const clamped = f32x4.pmax(f32x4.pmin(x, highest), lowest);
  const shifted = fma(clamped, log2e, round);
  const n = f32x4.sub(shifted, round);
  const r = fma(n, minusLn2Low, fma(n, minusLn2High, clamped));
  let p = fma(c7, r, c6);
  p = fma(p, r, c5);
  p = fma(p, r, c4);
  p = fma(p, r, c3);
  p = fma(p, r, c2);
  p = f32x4.add(fma(p, f32x4.mul(r, r), r), one);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Beyond these exp4 has its clamps. */
export const EXP_FROM: f32 = -87.3;
export const EXP_TO: f32 = 88.72;

/** e^x of any x: subnormals, 0 and infinity too. Two steps beyond the clamps: e^x = e^(x + 64) e^-64 = e^(x - 8) e^8. */
@inline
function exp4Wide(x: v128): v128 {
  const low = f32x4.mul(exp4(f32x4.add(x, f32x4.splat(64))), f32x4.splat(1.603810890548638e-28));
  const high = f32x4.mul(exp4(f32x4.sub(x, f32x4.splat(8))), f32x4.splat(2980.957987041728));
  const y = v128.bitselect(low, exp4(x), f32x4.lt(x, f32x4.splat(EXP_FROM)));
  return v128.bitselect(high, y, f32x4.gt(x, f32x4.splat(EXP_TO)));
}

/** expRow without clamps, for rows with values beyond them; slower. The values between have the same bits. */
export function expRowWide(source: usize, target: usize, count: i32): void {
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) v128.store(target + i, exp4Wide(v128.load(source + i)));
  for (; i < end; i += 4) store<f32>(target + i, f32x4.extract_lane(exp4Wide(v128.load32_splat(source + i)), 0));
}

/** Whether all of count floats lie from low to high; a NaN does not. */
export function within(x: usize, count: i32, low: f32, high: f32): bool {
  const end = <usize>count << 2, least = f32x4.splat(low), most = f32x4.splat(high);
  let a = i32x4.splat(-1), b = a;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const p = v128.load(x + i), q = v128.load(x + i, 16);
    a = v128.and(a, v128.and(f32x4.ge(p, least), f32x4.le(p, most)));
    b = v128.and(b, v128.and(f32x4.ge(q, least), f32x4.le(q, most)));
  }
  let all = i32x4.all_true(v128.and(a, b));
  for (; i < end; i += 4) all = all && load<f32>(x + i) >= low && load<f32>(x + i) <= high;
  return all;
}

/** target[i] = e^source[i] for count floats (source may be target). */
export function expRow(source: usize, target: usize, count: i32): void {
  const lowest = f32x4.splat(EXP_LOWEST), highest = f32x4.splat(EXP_HIGHEST);
  const log2e = f32x4.splat(LOG2_E), round = f32x4.splat(ROUND);
  const high = f32x4.splat(MINUS_LN2_HIGH), low = f32x4.splat(MINUS_LN2_LOW);
  const c7 = f32x4.splat(EXP_7), c6 = f32x4.splat(EXP_6), c5 = f32x4.splat(EXP_5);
  const c4 = f32x4.splat(EXP_4), c3 = f32x4.splat(EXP_3), c2 = f32x4.splat(EXP_2), one = f32x4.splat(ONE);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const a = v128.load(source + i), b = v128.load(source + i, 16);
    const x = exp4With(a, lowest, highest, log2e, round, high, low, c7, c6, c5, c4, c3, c2, one);
    const y = exp4With(b, lowest, highest, log2e, round, high, low, c7, c6, c5, c4, c3, c2, one);
    v128.store(target + i, x);
    v128.store(target + i, y, 16);
  }
  for (; i < end; i += 4) store<f32>(target + i, exp1(load<f32>(source + i)));
}

/** Natural logarithm of normal positive numbers (about -88 for zero; meaningless below it). */
@inline
export function log4(x: v128): v128 {
  const start = f32x4.splat(SQRT_HALF);
  const n = i32x4.shr_s(i32x4.sub(x, start), 23);
  const f = f32x4.sub(i32x4.sub(x, i32x4.shl(n, 23)), f32x4.splat(ONE));
  const exponent = f32x4.convert_i32x4_s(n);
  let p = fma(f32x4.splat(LOG_11), f, f32x4.splat(LOG_10));
  p = fma(p, f, f32x4.splat(LOG_9));
  p = fma(p, f, f32x4.splat(LOG_8));
  p = fma(p, f, f32x4.splat(LOG_7));
  p = fma(p, f, f32x4.splat(LOG_6));
  p = fma(p, f, f32x4.splat(LOG_5));
  p = fma(p, f, f32x4.splat(LOG_4));
  p = fma(p, f, f32x4.splat(LOG_3));
  const square = f32x4.mul(f, f);
  p = fma(f32x4.mul(p, f), square, f32x4.mul(exponent, f32x4.splat(LN2_LOW)));
  p = f32x4.add(fma(square, f32x4.splat(MINUS_HALF), p), f);
  return f32x4.add(fma(exponent, f32x4.splat(LN2_HIGH), p), f32x4.sub(x, x)); // NaN stays NaN
}

/** log4 of any x: -infinity for 0, NaN below, right for subnormals and infinity; the same bits for the others. */
@inline
export function log4Wide(x: v128): v128 {
  const small = f32x4.lt(x, f32x4.splat(1.17549435e-38));
  // A subnormal times 2^23 is normal; 23 ln2 is taken away again.
  const scaled = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608)), x, small);
  let y = f32x4.sub(log4(scaled), v128.and(f32x4.splat(15.942385152878742), small));
  y = v128.bitselect(f32x4.splat(-Infinity), y, f32x4.eq(x, f32x4.splat(0)));
  y = v128.bitselect(f32x4.splat(NaN), y, f32x4.lt(x, f32x4.splat(0)));
  return v128.bitselect(x, y, f32x4.eq(x, f32x4.splat(Infinity)));
}

/**
 * Near zero an odd polynomial (Cephes, tanhf), elsewhere 1 - 2 / (e^2|x| + 1) with the sign of x: there
 * the quotient is less than the result, so its error is less than one of exp.
 */
@inline
export function tanh4(x: v128): v128 {
  const magnitude = f32x4.abs(x), one = f32x4.splat(ONE);
  const quotient = f32x4.div(f32x4.splat(TWO), f32x4.add(exp4(f32x4.add(magnitude, magnitude)), one));
  const far = v128.or(f32x4.sub(one, quotient), v128.and(x, f32x4.splat(-0.0)));
  const square = f32x4.mul(x, x);
  let p = fma(f32x4.splat(TANH_11), square, f32x4.splat(TANH_9));
  p = fma(p, square, f32x4.splat(TANH_7));
  p = fma(p, square, f32x4.splat(TANH_5));
  p = fma(p, square, f32x4.splat(TANH_3));
  const near = fma(f32x4.mul(p, square), x, x);
  return v128.bitselect(near, far, f32x4.lt(magnitude, f32x4.splat(TANH_NEAR)));
}

/** 1 / (1 + e^-x). */
@inline
export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(ONE);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

@inline
export function rsqrt4(x: v128): v128 {
  return f32x4.div(f32x4.splat(ONE), f32x4.sqrt(x));
}

export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

export function log1(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

export function tanh1(x: f32): f32 {
  return f32x4.extract_lane(tanh4(f32x4.splat(x)), 0);
}

export function sigmoid1(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}
