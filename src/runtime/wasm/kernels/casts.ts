// Question: how are values rounded to bfloat16 for keeping and widened for use?
//
// toBfloat16  any cut of the elements
// toFloat32   any cut of the elements

import { ToBfloat16Arguments, ToFloat32Arguments } from "./arguments";
import { narrow, narrowOne, widenHigh, widenLow, widenOne } from "./bfloat16";

/** Values narrowed before a look whether all were numbers. */
const BLOCK: usize = 512;

export function toBfloat16(args: ToBfloat16Arguments, begin: i32, end: i32, scratch: usize): void {
  const first = <usize>min(begin * args.item, args.all), count = <usize>min(end * args.item, args.all) - first;
  const x = args.x + (first << 2), to = args.narrow + (first << 1);
  for (let i: usize = 0; i < count; i += BLOCK) narrowBlock(x + (i << 2), to + (i << 1), min(BLOCK, count - i));
}

function narrowBlock(x: usize, to: usize, count: usize): void {
  let i: usize = 0;
  let s = f32x4.splat(0), t = s;
  for (; i + 16 <= count; i += 16) {
    const from = x + (i << 2), at = to + (i << 1);
    const a = v128.load(from), b = v128.load(from, 16), c = v128.load(from, 32), d = v128.load(from, 48);
    s = f32x4.add(f32x4.add(s, a), c);
    t = f32x4.add(f32x4.add(t, b), d);
    const low = narrow(a, b), high = narrow(c, d);
    v128.store(at, low);
    v128.store(at, high, 16);
  }
  const sum = f32x4.add(s, t);
  if (v128.any_true(f32x4.ne(sum, sum))) i = 0; // NaN, or infinities: the careful way
  for (; i < count; i++) narrowOne(load<f32>(x + (i << 2)), to + (i << 1));
}

export function toFloat32(args: ToFloat32Arguments, begin: i32, end: i32, scratch: usize): void {
  const first = <usize>min(begin * args.item, args.all), count = <usize>min(end * args.item, args.all) - first;
  const from = args.narrow + (first << 1), x = args.x + (first << 2);
  let i: usize = 0;
  for (; i + 16 <= count; i += 16) {
    const at = from + (i << 1), to = x + (i << 2);
    const a = v128.load(at), b = v128.load(at, 16);
    v128.store(to, widenLow(a)); v128.store(to, widenHigh(a), 16); v128.store(to, widenLow(b), 32); v128.store(to, widenHigh(b), 48);
  }
  for (; i < count; i++) store<f32>(x + (i << 2), widenOne(from + (i << 1)));
}
