// Question: what becomes of the scores of one query, and how are a query and its result scaled?

import { MASKED } from "./attention-softmax";
import { expRow } from "./math";

/** to[i] = factor * from[i] for exactly `count` floats. */
export function scaleRow(from: usize, to: usize, count: i32, factor: f32): void {
  const scale = f32x4.splat(factor);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const x = f32x4.mul(scale, v128.load(from + i)), y = f32x4.mul(scale, v128.load(from + i, 16));
    v128.store(to + i, x);
    v128.store(to + i, y, 16);
  }
  for (; i < end; i += 4) store<f32>(to + i, factor * load<f32>(from + i));
}

/** The scores of `count` positions become e^(score - the largest); gives their sum. Up to 7 behind them become 0. lanes: 64 bytes. */
export function softmaxWeights(scores: usize, count: i32, lanes: usize): f32 {
  const padded = (count + 7) & ~7;
  for (let j = count; j < padded; j++) store<f32>(scores + (<usize>j << 2), MASKED);
  return exponentiate(scores, padded, largest(scores, padded, lanes), lanes);
}

/** The largest of `count` scores, a multiple of 8. */
function largest(scores: usize, count: i32, lanes: usize): f32 {
  let x = f32x4.splat(MASKED), y = x;
  const end = <usize>count << 2;
  for (let i: usize = 0; i < end; i += 32) {
    x = f32x4.pmax(x, v128.load(scores + i));
    y = f32x4.pmax(y, v128.load(scores + i, 16));
  }
  v128.store(lanes, f32x4.pmax(x, y));
  return max(max(load<f32>(lanes), load<f32>(lanes, 4)), max(load<f32>(lanes, 8), load<f32>(lanes, 12)));
}

/**
 * e^(scores - highest) in place, and their sum; `count` is a multiple of 8. In one loop it was no faster, and V8 (Node
 * 24.21) gave wrong sums once it had paired the vectors; test/runtime/wasm/cached-attention.test.ts would see it.
 */
function exponentiate(scores: usize, count: i32, highest: f32, lanes: usize): f32 {
  const m = f32x4.splat(highest);
  const end = <usize>count << 2;
  for (let i: usize = 0; i < end; i += 32) {
    const x = f32x4.sub(v128.load(scores + i), m), y = f32x4.sub(v128.load(scores + i, 16), m);
    v128.store(scores + i, x);
    v128.store(scores + i, y, 16);
  }
  expRow(scores, scores, count);
  let x = f32x4.splat(0), y = x;
  for (let i: usize = 0; i < end; i += 32) {
    x = f32x4.add(x, v128.load(scores + i));
    y = f32x4.add(y, v128.load(scores + i, 16));
  }
  v128.store(lanes, f32x4.add(x, y));
  return (load<f32>(lanes) + load<f32>(lanes, 4)) + (load<f32>(lanes, 8) + load<f32>(lanes, 12));
}
