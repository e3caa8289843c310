// Question: how are rows turned into probabilities, and into a loss against targets?
//
// Each row is read for its maximum, then for exponentials of x - maximum, which expRow takes block by
// block while they are in the first-level cache.

import {
  SoftmaxArguments, SoftmaxBackwardArguments, CrossEntropyArguments, CrossEntropyBackwardArguments,
} from "./arguments";
import { checkedIndex } from "./indices";
import { expRow, log1 } from "./math";
import { horizontalSum } from "./simd";

/** Floats of a block of exponentials. */
const BLOCK: i32 = 2048;

@final class Add { @inline of(a: v128, b: v128): v128 { return f32x4.add(a, b); } }
@final class Max { @inline of(a: v128, b: v128): v128 { return f32x4.pmax(a, b); } }

/** Eight accumulators of four lanes: with fewer the loop would wait for each addition or comparison. */
@inline
function fold<F>(x: usize, count: i32, start: f32): f32 {
  const f = changetype<F>(0), last = x + (<usize>count << 2);
  let a = f32x4.splat(start), b = a, c = a, d = a, e = a, g = a, h = a, i = a;
  for (; x + 128 <= last; x += 128) {
    a = f.of(a, v128.load(x));
    b = f.of(b, v128.load(x, 16));
    c = f.of(c, v128.load(x, 32));
    d = f.of(d, v128.load(x, 48));
    e = f.of(e, v128.load(x, 64));
    g = f.of(g, v128.load(x, 80));
    h = f.of(h, v128.load(x, 96));
    i = f.of(i, v128.load(x, 112));
  }
  a = f.of(f.of(f.of(a, c), f.of(e, h)), f.of(f.of(b, d), f.of(g, i)));
  for (; x + 16 <= last; x += 16) a = f.of(a, v128.load(x));
  a = f.of(a, i32x4.shuffle(a, a, 2, 3, 0, 1));
  a = f.of(a, i32x4.shuffle(a, a, 1, 0, 3, 2));
  for (; x < last; x += 4) a = f.of(a, v128.load32_splat(x));
  return f32x4.extract_lane(a, 0);
}

function maximum(x: usize, count: i32): f32 {
  return fold<Max>(x, count, load<f32>(x));
}

function sum(x: usize, count: i32): f32 {
  return fold<Add>(x, count, 0);
}

/** y = x * factor + offset; y may be x. */
function affineRow(x: usize, y: usize, count: i32, factor: f32, offset: f32): void {
  const last = <usize>count << 2, scale = f32x4.splat(factor), shift = f32x4.splat(offset);
  let i: usize = 0;
  for (; i + 32 <= last; i += 32) {
    const a = f32x4.add(f32x4.mul(v128.load(x + i), scale), shift);
    const b = f32x4.add(f32x4.mul(v128.load(x + i, 16), scale), shift);
    v128.store(y + i, a);
    v128.store(y + i, b, 16);
  }
  for (; i < last; i += 4) store<f32>(y + i, load<f32>(x + i) * factor + offset);
}

function dot(x: usize, y: usize, count: i32): f32 {
  const last = <usize>count << 2;
  let a = f32x4.splat(0), b = a;
  let i: usize = 0;
  for (; i + 32 <= last; i += 32) {
    a = f32x4.add(a, f32x4.mul(v128.load(x + i), v128.load(y + i)));
    b = f32x4.add(b, f32x4.mul(v128.load(x + i, 16), v128.load(y + i, 16)));
  }
  let total = horizontalSum(f32x4.add(a, b));
  for (; i < last; i += 4) total += load<f32>(x + i) * load<f32>(y + i);
  return total;
}

/** y = e^(x - maximum) / sum. */
export function softmax(args: SoftmaxArguments, begin: i32, end: i32, scratch: usize): void {
  const size = args.size, stride = <usize>size << 2;
  let x = args.x + <usize>begin * stride, y = args.y + <usize>begin * stride;
  for (let row = begin; row < end; row++, x += stride, y += stride) {
    affineRow(x, y, size, 1, -maximum(x, size));
    expRow(y, y, size);
    affineRow(y, y, size, 1 / sum(y, size), 0);
  }
}

/** dx = y (g - sum(y g)). */
export function softmaxBackward(args: SoftmaxBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const size = args.size, stride = <usize>size << 2;
  const y = args.y, g = args.g, dx = args.dx;
  for (let row = begin; row < end; row++) {
    const at = <usize>row * stride, along = dot(y + at, g + at, size), mean = f32x4.splat(along);
    let i = at;
    for (; i + 32 <= at + stride; i += 32) {
      const a = f32x4.mul(v128.load(y + i), f32x4.sub(v128.load(g + i), mean));
      const b = f32x4.mul(v128.load(y + i, 16), f32x4.sub(v128.load(g + i, 16), mean));
      v128.store(dx + i, a);
      v128.store(dx + i, b, 16);
    }
    for (; i < at + stride; i += 4) store<f32>(dx + i, load<f32>(y + i) * (load<f32>(g + i) - along));
  }
}

/** lse = log sum e^x, loss = lse - x[target]. */
export function crossEntropy(args: CrossEntropyArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, targets = args.targets;
  const loss = args.loss, lse = args.lse;
  const size = args.size, stride = <usize>size << 2;
  for (let row = begin; row < end; row++) {
    const x = logits + <usize>row * stride, at = <usize>row << 2;
    const largest = maximum(x, size);
    let total: f64 = 0;
    for (let c = 0; c < size; c += BLOCK) {
      const count = min(BLOCK, size - c);
      affineRow(x + (<usize>c << 2), scratch, count, 1, -largest);
      expRow(scratch, scratch, count);
      total += sum(scratch, count);
    }
    const rest = log1(<f32>total), target = load<f32>(x + (<usize>checkedIndex(load<i32>(targets + at), size, row) << 2));
    store<f32>(lse + at, largest + rest);
    store<f32>(loss + at, (largest - target) + rest);
  }
}

/**
 * dx = softmax(x) s - onehot(target) g, where g is the gradient of the loss and s, `total`, that of the
 * loss and of lse together.
 */
export function crossEntropyBackward(args: CrossEntropyBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, targets = args.targets, lse = args.lse;
  const g = args.g, s = args.s, dx = args.dlogits;
  const size = args.size, stride = <usize>size << 2;
  for (let row = begin; row < end; row++) {
    const x = logits + <usize>row * stride, y = dx + <usize>row * stride, at = <usize>row << 2;
    const offset = -load<f32>(lse + at), factor = load<f32>(s + at);
    for (let c = 0; c < size; c += BLOCK) {
      const count = min(BLOCK, size - c), block = <usize>c << 2;
      affineRow(x + block, y + block, count, 1, offset);
      expRow(y + block, y + block, count);
      affineRow(y + block, y + block, count, factor, 0);
    }
    const target = y + (<usize>checkedIndex(load<i32>(targets + at), size, row) << 2);
    store<f32>(target, load<f32>(target) - load<f32>(g + at));
  }
}
