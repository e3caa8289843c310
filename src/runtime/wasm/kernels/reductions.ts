// Question: how are elements summed: of each row, over rows, all of them?
// Sums over rows leave a partial per task, which sumPartials adds in order.

import { SumLastArguments, SumBlocksArguments, SumRowsArguments } from "./arguments";

/** Sum of `count` floats: eight lanes in float32, the lanes in float64. */
@inline
function sumFloats(x: usize, count: i32): f32 {
  const last = <usize>count << 2;
  let a = f32x4.splat(0), b = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 32 <= last; i += 32) {
    a = f32x4.add(a, v128.load(x + i));
    b = f32x4.add(b, v128.load(x + i, 16));
  }
  const low = f64x2.add(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b));
  const high = f64x2.add(
    f64x2.promote_low_f32x4(i32x4.shuffle(a, a, 2, 3, 0, 1)), f64x2.promote_low_f32x4(i32x4.shuffle(b, b, 2, 3, 0, 1)));
  const pair = f64x2.add(low, high);
  let sum = f64x2.extract_lane(pair, 0) + f64x2.extract_lane(pair, 1);
  for (; i < last; i += 4) sum += load<f32>(x + i);
  return <f32>sum;
}

/** out[row] = sum over c of x[row, c]. Domain: rows. */
export function sumLast(args: SumLastArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y, size = args.size;
  for (let row = begin; row < end; row++) store<f32>(out + (<usize>row << 2), sumFloats(x + (<usize>row * size << 2), size));
}

/** partials[begin] = sum of one block. Domain: blocks, grain 1. */
export function sumBlocks(args: SumBlocksArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, partials = args.partials;
  const block = args.block, all = args.all;
  for (let i = begin; i < end; i++) {
    const first = i * block;
    store<f32>(partials + (<usize>i << 2), sumFloats(x + (<usize>first << 2), min(block, all - first)));
  }
}

/** partials[begin / tile, c] = sum over the task's rows of x[row, c]. */
export function sumRows(args: SumRowsArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, size = args.size, stride = <usize>size << 2;
  const out = args.partials + <usize>(begin / args.tile) * stride;
  const first = x + <usize>begin * stride;
  let c: usize = 0;
  for (; c + 32 <= stride; c += 32) {
    let from = first + c;
    let a = v128.load(from), b = v128.load(from, 16);
    for (let row = begin + 1; row < end; row++) {
      from += stride;
      a = f32x4.add(a, v128.load(from));
      b = f32x4.add(b, v128.load(from, 16));
    }
    v128.store(out + c, a);
    v128.store(out + c, b, 16);
  }
  for (; c < stride; c += 4) {
    let sum: f64 = 0;
    for (let row = begin, from = first + c; row < end; row++, from += stride) sum += load<f32>(from);
    store<f32>(out + c, <f32>sum);
  }
}
