// Question: how long is a gradient, and by what must it shrink?
//
// sumSquares  domain: blocks. One partial a block; sumPartials adds them.
// clipScale   domain: 1

import { SumSquaresArguments, ClipScaleArguments, ClipScaleWords } from "./arguments";
import { fma } from "./simd";

export function sumSquares(args: SumSquaresArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, partials = args.partials;
  const block = args.block, all = args.all;
  for (let i = begin; i < end; i++) {
    const first = i * block;
    store<f32>(partials + (<usize>i << 2), <f32>squares(x + (<usize>first << 2), min(block, all - first)));
  }
}

/** Σ x²: 16 lanes in float32, the lanes in float64. */
export function squares(x: usize, count: i32): f64 {
  const last = <usize>count << 2;
  let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 64 <= last; i += 64) {
    const x0 = v128.load(x + i), x1 = v128.load(x + i, 16), x2 = v128.load(x + i, 32), x3 = v128.load(x + i, 48);
    a = fma(x0, x0, a);
    b = fma(x1, x1, b);
    c = fma(x2, x2, c);
    d = fma(x3, x3, d);
  }
  const s = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  let sum = <f64>f32x4.extract_lane(s, 0) + <f64>f32x4.extract_lane(s, 1);
  sum += <f64>f32x4.extract_lane(s, 2) + <f64>f32x4.extract_lane(s, 3);
  for (; i < last; i += 4) sum += <f64>load<f32>(x + i) * <f64>load<f32>(x + i);
  return sum;
}

export function clipScale(args: ClipScaleArguments, begin: i32, end: i32, scratch: usize): void {
  const out = args.clip;
  let sum: f64 = 0;
  let word = args.sums;
  for (; load<i32>(word) != 0; word += 4) sum += load<f32>(<usize>load<i32>(word));
  const limit = changetype<ClipScaleWords>(word + 4).limit;
  const norm = sqrt<f64>(sum);
  store<f32>(out, <f32>norm);
  store<f32>(out, limit == Infinity ? 1 : <f32>min<f64>(1, <f64>limit / (norm + 1e-6)), 4);
}
