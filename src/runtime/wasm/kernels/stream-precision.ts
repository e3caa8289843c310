// Question: how are streams narrowed to bfloat16 for keeping and widened for use?
//
// streamNarrow  row-wise over tokens
// streamWiden   row-wise over tokens

import { StreamNarrowArguments, StreamWidenArguments } from "./arguments";
import { narrow, narrowOne, widenHigh, widenLow, widenOne } from "./bfloat16";

/** Values narrowed before a look whether all were numbers. */
const BLOCK: usize = 512;

export function streamNarrow(args: StreamNarrowArguments, begin: i32, end: i32, scratch: usize): void {
  const K = args.K, count = <usize>((end - begin) * K);
  const x = args.x + (<usize>(begin * K) << 2), to = args.narrow + (<usize>(begin * K) << 1);
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

export function streamWiden(args: StreamWidenArguments, begin: i32, end: i32, scratch: usize): void {
  const K = args.K, count = <usize>((end - begin) * K);
  const from = args.narrow + (<usize>(begin * K) << 1), x = args.x + (<usize>(begin * K) << 2);
  let i: usize = 0;
  for (; i + 16 <= count; i += 16) {
    const at = from + (i << 1), to = x + (i << 2);
    const a = v128.load(at), b = v128.load(at, 16);
    v128.store(to, widenLow(a)); v128.store(to, widenHigh(a), 16); v128.store(to, widenLow(b), 32); v128.store(to, widenHigh(b), 48);
  }
  for (; i < count; i++) store<f32>(x + (i << 2), widenOne(from + (i << 1)));
}
