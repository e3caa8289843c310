// Question: how do the rows of tokens get to their experts and back?
//
// Pair p = n k + j is token n's j-th expert; order[r] is the pair in row r when pairs are sorted by expert,
// position[p] its row. See ops/dispatch.ts. Every sum is in the order of the choices.
//
// dispatch           domain 1
// expertRows         row-wise over P rows
// expertSum          row-wise over N tokens
// expertSumBackward  row-wise over P rows
//   dx may be x

import { DispatchArguments, ExpertRowsArguments, ExpertSumArguments, ExpertSumBackwardArguments } from "./arguments";
import { checkedIndex } from "./indices";
import { fma, horizontalSum } from "./simd";

export function dispatch(args: DispatchArguments, begin: i32, end: i32, scratch: usize): void {
  const chosen = args.chosen, order = args.order, position = args.position;
  const offsets = args.offsets, loads = args.load;
  const pairs = args.pairs, experts = args.experts;
  // offsets[e + 1] counts, then is where expert e goes on, and so ends as where expert e + 1 begins.
  memory.fill(offsets, 0, <usize>(experts + 1) << 2);
  for (let p = 0; p < pairs; p++) {
    const count = offsets + 4 + (<usize>checkedIndex(load<i32>(chosen + (<usize>p << 2)), experts, p) << 2);
    store<i32>(count, load<i32>(count) + 1);
  }
  let first = 0;
  for (let e = 0; e < experts; e++) {
    const count = offsets + 4 + (<usize>e << 2);
    const rows = load<i32>(count);
    store<f32>(loads + (<usize>e << 2), <f32>rows);
    store<i32>(count, first);
    first += rows;
  }
  for (let p = 0; p < pairs; p++) {
    const next = offsets + 4 + (<usize>checkedIndex(load<i32>(chosen + (<usize>p << 2)), experts, p) << 2);
    const row = load<i32>(next);
    store<i32>(next, row + 1);
    store<i32>(order + (<usize>row << 2), p);
    store<i32>(position + (<usize>p << 2), row);
  }
}

export function expertRows(args: ExpertRowsArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, order = args.order, y = args.y;
  const k = args.k, bytes = <usize>args.C << 2;
  for (let row = begin; row < end; row++) {
    const n = checkedIndex(load<i32>(order + (<usize>row << 2)), args.pairs, row) / k;
    memory.copy(y + <usize>row * bytes, x + <usize>n * bytes, bytes);
  }
}

/** y = w x, or that added to y. */
@inline
function addRow(x: usize, y: usize, w: f32, bytes: usize, first: bool): void {
  const weight = f32x4.splat(w), zero = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const a = fma(weight, v128.load(x + i), first ? zero : v128.load(y + i));
    const b = fma(weight, v128.load(x + i, 16), first ? zero : v128.load(y + i, 16));
    v128.store(y + i, a);
    v128.store(y + i, b, 16);
  }
  for (; i < bytes; i += 4) store<f32>(y + i, w * load<f32>(x + i) + (first ? 0 : load<f32>(y + i)));
}

export function expertSum(args: ExpertSumArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, position = args.position, weights = args.weights;
  const y = args.y;
  const k = args.k, bytes = <usize>args.C << 2;
  for (let n = begin; n < end; n++) {
    const to = y + <usize>n * bytes;
    for (let p = n * k; p < (n + 1) * k; p++) {
      const from = x + <usize>checkedIndex(load<i32>(position + (<usize>p << 2)), args.pairs, p) * bytes;
      const w: f32 = weights == 0 ? 1 : load<f32>(weights + (<usize>p << 2));
      if (p == n * k) addRow(from, to, w, bytes, true);
      else addRow(from, to, w, bytes, false);
    }
  }
}

export function expertSumBackward(args: ExpertSumBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, order = args.order, weights = args.weights;
  const g = args.g, dx = args.dx, dWeights = args.dWeights;
  const k = args.k, bytes = <usize>args.C << 2;
  for (let row = begin; row < end; row++) {
    const p = checkedIndex(load<i32>(order + (<usize>row << 2)), args.pairs, row);
    const from = x + <usize>row * bytes, to = dx + <usize>row * bytes, gradient = g + <usize>(p / k) * bytes;
    const w = load<f32>(weights + (<usize>p << 2));
    const weight = f32x4.splat(w);
    let a = f32x4.splat(0), b = f32x4.splat(0);
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const g0 = v128.load(gradient + i), g1 = v128.load(gradient + i, 16);
      a = fma(g0, v128.load(from + i), a);
      b = fma(g1, v128.load(from + i, 16), b);
      v128.store(to + i, f32x4.mul(weight, g0));
      v128.store(to + i, f32x4.mul(weight, g1), 16);
    }
    let sum = horizontalSum(f32x4.add(a, b));
    for (; i < bytes; i += 4) {
      const value = load<f32>(gradient + i);
      sum += value * load<f32>(from + i);
      store<f32>(to + i, w * value);
    }
    store<f32>(dWeights + (<usize>p << 2), sum);
  }
}
