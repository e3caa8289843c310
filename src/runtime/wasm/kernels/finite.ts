// Question: how many elements are NaN or infinite?
//
// countNotFinite  domain: blocks. One partial a block; sumPartials adds them.

import { CountNotFiniteArguments } from "./arguments";

export function countNotFinite(args: CountNotFiniteArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, partials = args.partials;
  const block = args.block, all = args.all;
  for (let i = begin; i < end; i++) {
    const first = i * block;
    store<f32>(partials + (<usize>i << 2), <f32>count(x + (<usize>first << 2), min(block, all - first)));
  }
}

/** x − x is 0 for a finite x, NaN for the others; a true comparison is −1 in its lane. */
function count(x: usize, size: i32): i32 {
  const last = <usize>size << 2;
  let a = i32x4.splat(0), b = i32x4.splat(0);
  let i: usize = 0;
  for (; i + 32 <= last; i += 32) {
    const x0 = v128.load(x + i), x1 = v128.load(x + i, 16);
    const d0 = f32x4.sub(x0, x0), d1 = f32x4.sub(x1, x1);
    a = i32x4.sub(a, f32x4.ne(d0, d0));
    b = i32x4.sub(b, f32x4.ne(d1, d1));
  }
  const s = i32x4.add(a, b);
  let sum = i32x4.extract_lane(s, 0) + i32x4.extract_lane(s, 1) + i32x4.extract_lane(s, 2) + i32x4.extract_lane(s, 3);
  for (; i < last; i += 4) sum += isFinite(load<f32>(x + i)) ? 0 : 1;
  return sum;
}
