// Question: how does one AdamW step change a parameter and its two moments?
//
//   g = factor · gradient,  m' = β₁ m + (1 − β₁) g,  v' = β₂ v + (1 − β₂) g²
//   p' = (1 − η λ) p − (η / c₁) · m' / (√v' / √c₂ + ε)
// and p' = p, m' = m, v' = v where the norm is not finite.
//
// adamw  elementwise; p', m', v' may be p, m, v

import { AdamwArguments } from "./arguments";
import { fma } from "./simd";

export function adamw(args: AdamwArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.param, g = args.gradient, m = args.m, v = args.v;
  const schedule = args.schedule, clip = args.clip;
  const newP = args.newParam, newM = args.newM, newV = args.newV;
  const item = args.item, total = args.all;
  const first = <usize>min(begin * item, total) << 2, last = <usize>min(end * item, total) << 2;

  if (!isFinite(load<f32>(clip))) {
    keepValues(p, newP, first, last);
    keepValues(m, newM, first, last);
    keepValues(v, newV, first, last);
    return;
  }

  const rate = <f64>load<f32>(schedule) * <f64>args.learningRateScale;
  const factor = f32x4.splat(load<f32>(clip, 4));
  const at = changetype<usize>(args);
  const beta1 = v128.load32_splat(at, offsetof<AdamwArguments>("beta1")), rest1 = v128.load32_splat(at, offsetof<AdamwArguments>("rest1"));
  const beta2 = v128.load32_splat(at, offsetof<AdamwArguments>("beta2")), rest2 = v128.load32_splat(at, offsetof<AdamwArguments>("rest2"));
  const epsilon = v128.load32_splat(at, offsetof<AdamwArguments>("epsilon"));
  const keep = f32x4.splat(<f32>(1 - rate * <f64>args.weightDecay));
  const minusStep = f32x4.splat(<f32>(-rate / <f64>load<f32>(schedule, 4)));
  const scaleV = f32x4.splat(<f32>(1 / sqrt<f64>(<f64>load<f32>(schedule, 8))));

  let i = first;
  for (; i + 32 <= last; i += 32) {
    const g0 = f32x4.mul(v128.load(g + i), factor), g1 = f32x4.mul(v128.load(g + i, 16), factor);
    const m0 = fma(v128.load(m + i), beta1, f32x4.mul(g0, rest1)), m1 = fma(v128.load(m + i, 16), beta1, f32x4.mul(g1, rest1));
    const r0 = f32x4.mul(g0, rest2), r1 = f32x4.mul(g1, rest2);
    const v0 = fma(r0, g0, f32x4.mul(v128.load(v + i), beta2)), v1 = fma(r1, g1, f32x4.mul(v128.load(v + i, 16), beta2));
    const d0 = fma(f32x4.sqrt(v0), scaleV, epsilon), d1 = fma(f32x4.sqrt(v1), scaleV, epsilon);
    const s0 = f32x4.div(f32x4.mul(m0, minusStep), d0), s1 = f32x4.div(f32x4.mul(m1, minusStep), d1);
    const p0 = fma(v128.load(p + i), keep, s0), p1 = fma(v128.load(p + i, 16), keep, s1);
    v128.store(newM + i, m0);
    v128.store(newM + i, m1, 16);
    v128.store(newV + i, v0);
    v128.store(newV + i, v1, 16);
    v128.store(newP + i, p0);
    v128.store(newP + i, p1, 16);
  }
  for (; i < last; i += 4) {
    const gradient = load<f32>(g + i) * f32x4.extract_lane(factor, 0);
    const nextM = load<f32>(m + i) * f32x4.extract_lane(beta1, 0) + gradient * f32x4.extract_lane(rest1, 0);
    const nextV = load<f32>(v + i) * f32x4.extract_lane(beta2, 0) + gradient * gradient * f32x4.extract_lane(rest2, 0);
    const divisor = sqrt<f32>(nextV) * f32x4.extract_lane(scaleV, 0) + f32x4.extract_lane(epsilon, 0);
    const nextP = load<f32>(p + i) * f32x4.extract_lane(keep, 0) + nextM * f32x4.extract_lane(minusStep, 0) / divisor;
    store<f32>(newM + i, nextM);
    store<f32>(newV + i, nextV);
    store<f32>(newP + i, nextP);
  }
}

/** Bytes [first, last) of `from` to `to`, unless they are the same. */
function keepValues(from: usize, to: usize, first: usize, last: usize): void {
  if (from != to) memory.copy(to + first, from + first, last - first);
}
