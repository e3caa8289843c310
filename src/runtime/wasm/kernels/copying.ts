// Question: how are floats moved: repeated, permuted, cut out, joined, looked up?
//
// Kernels with the words `item` and `all` produce the output's elements [begin * item, end * item) and work for
// any cut. A tensor seen along one axis is rows of `period`
// floats, of which an operand holds `chunk` floats from `before` on.

import { SCATTER_COLUMNS } from "../constants";
import {
  BroadcastArguments, BroadcastLastArguments, PermuteArguments, SliceArguments, PlaceArguments, ConcatArguments, ConcatWords, afterList,
  GatherArguments, ScatterAddArguments,
} from "./arguments";
import { checkedIndex } from "./indices";

@inline
function copyFloats(from: usize, to: usize, count: i32): void {
  const last = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= last; i += 32) {
    const a = v128.load(from + i), b = v128.load(from + i, 16);
    v128.store(to + i, a);
    v128.store(to + i, b, 16);
  }
  for (; i < last; i += 4) store<f32>(to + i, load<f32>(from + i));
}

@inline
function fillFloats(to: usize, value: f32, count: i32): void {
  const last = <usize>count << 2, values = f32x4.splat(value);
  let i: usize = 0;
  for (; i + 16 <= last; i += 16) v128.store(to + i, values);
  for (; i < last; i += 4) store<f32>(to + i, value);
}

/** Element where item `index` begins. */
@inline
function elementOf<A>(index: i32, args: A): i32 {
  return min(index * args.item, args.all);
}

/** out[i] = x[i mod size]. */
export function broadcast(args: BroadcastArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y, size = args.size;
  const first = elementOf(begin, args), last = elementOf(end, args);
  if (size == 1) return fillFloats(out + (<usize>first << 2), load<f32>(x), last - first);
  for (let i = first, count = 0; i < last; i += count) {
    const within = i % size;
    count = min(size - within, last - i);
    copyFloats(x + (<usize>within << 2), out + (<usize>i << 2), count);
  }
}

/** out[row, c] = x[row]. Domain: elements of x. */
export function broadcastLast(args: BroadcastLastArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y, size = args.size;
  for (let row = begin; row < end; row++) {
    fillFloats(out + (<usize>row * size << 2), load<f32>(x + (<usize>row << 2)), size);
  }
}

/**
 * Axes in another order: the output has `sizes`, and along each of its axes x has a stride (in floats).
 * Domain: rows of the output (all axes but the last).
 */
export function permute(args: PermuteArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y, rank = args.rank;
  const sizes = args.sizes, strides = sizes + (<usize>rank << 2), inner = <usize>(rank - 1) << 2;
  const size = load<i32>(sizes + inner), stride = <usize>load<i32>(strides + inner) << 2;
  for (let row = begin; row < end; row++) {
    let rest = row, offset = 0;
    for (let axis = inner; axis > 0; axis -= 4) {
      const extent = load<i32>(sizes + axis - 4);
      offset += (rest % extent) * load<i32>(strides + axis - 4);
      rest /= extent;
    }
    let from = x + (<usize>offset << 2), to = out + (<usize>row * size << 2);
    if (stride == 4) copyFloats(from, to, size);
    else for (let c = 0; c < size; c++, from += stride, to += 4) store<f32>(to, load<f32>(from));
  }
}

/** The chunk of every row. */
export function slice(args: SliceArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y;
  const period = args.period, before = args.before, chunk = args.chunk;
  const last = elementOf(end, args);
  for (let i = elementOf(begin, args), count = 0; i < last; i += count) {
    const row = i / chunk, within = i - row * chunk;
    count = min(chunk - within, last - i);
    copyFloats(x + (<usize>(row * period + before + within) << 2), out + (<usize>i << 2), count);
  }
}

/** Zeros around the chunk of every row. */
export function place(args: PlaceArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, out = args.y;
  const period = args.period, before = args.before, chunk = args.chunk, after = before + chunk;
  const last = elementOf(end, args);
  for (let i = elementOf(begin, args), count = 0; i < last; i += count) {
    const row = i / period, within = i - row * period, to = out + (<usize>i << 2);
    const inside = within >= before && within < after;
    count = min((within < before ? before : inside ? after : period) - within, last - i);
    if (inside) copyFloats(x + (<usize>(row * chunk + within - before) << 2), to, count);
    else fillFloats(to, 0, count);
  }
}

/** Rows side by side. */
export function concat(args: ConcatArguments, begin: i32, end: i32, scratch: usize): void {
  const out = args.y, words = changetype<ConcatWords>(afterList(args.parts));
  const period = words.period, last = elementOf(end, words);
  for (let i = elementOf(begin, words), count = 0; i < last; i += count) {
    const row = i / period;
    let within = i - row * period, pointer = args.parts, chunkWord = words.chunks;
    while (within >= load<i32>(chunkWord)) {
      within -= load<i32>(chunkWord);
      chunkWord += 4;
      pointer += 4;
    }
    const chunk = load<i32>(chunkWord);
    count = min(chunk - within, last - i);
    copyFloats(<usize>load<i32>(pointer) + (<usize>(row * chunk + within) << 2), out + (<usize>i << 2), count);
  }
}

/** out[i] = table[indices[i]]. Domain: indices. */
export function gather(args: GatherArguments, begin: i32, end: i32, scratch: usize): void {
  const table = args.table, indices = args.indices, out = args.y;
  const size = args.C;
  for (let i = begin; i < end; i++) {
    const row = checkedIndex(load<i32>(indices + (<usize>i << 2)), args.V, i);
    copyFloats(table + (<usize>row * size << 2), out + (<usize>i * size << 2), size);
  }
}

/**
 * out = addend (or 0), then out[indices[i]] += g[i], i in order. Every task walks all indices for its own
 * columns, so no two tasks write the same place and the order of the sum is fixed.
 * Domain: blocks of SCATTER_COLUMNS columns.
 */
export function scatterAdd(args: ScatterAddArguments, begin: i32, end: i32, scratch: usize): void {
  const indices = args.indices, g = args.g;
  const addend = args.addend, out = args.y;
  const count = args.N, size = args.C, vocabulary = args.V;
  const first = begin * SCATTER_COLUMNS, columns = min(end * SCATTER_COLUMNS, size) - first;
  const stride = <usize>size << 2, offset = <usize>first << 2;
  if (addend != out) {
    for (let v = 0; v < vocabulary; v++) {
      const to = <usize>v * stride + offset;
      if (addend != 0) copyFloats(addend + to, out + to, columns);
      else fillFloats(out + to, 0, columns);
    }
  }
  const last = <usize>columns << 2;
  for (let n = 0; n < count; n++) {
    const to = out + <usize>checkedIndex(load<i32>(indices + (<usize>n << 2)), vocabulary, n) * stride + offset;
    const from = g + <usize>n * stride + offset;
    let i: usize = 0;
    for (; i + 32 <= last; i += 32) {
      const a = f32x4.add(v128.load(to + i), v128.load(from + i));
      const b = f32x4.add(v128.load(to + i, 16), v128.load(from + i, 16));
      v128.store(to + i, a);
      v128.store(to + i, b, 16);
    }
    for (; i < last; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(from + i));
  }
}
