// Question: what does a new token see of those before it?
//
//   keys[s, :, t] = k,  values[s, t] = v;  s_j = scale q.keys[s, :, j],  out = sum_j softmax(s)_j values[s, j],  j <= t
//
// cachedAttention  domain: slots * kvHeads, grain 1
//
// The new caches may be the old ones. A task is one key head of one slot: it takes the rows of its slot in their order, and copies the cache
// where the new one lies elsewhere. Padding (slot -1) gives zeros, written by the tasks of slot 0.
// Keys lie with the positions along a row: scores are sums of rows, without sums across lanes.

import { CachedAttentionArguments } from "./arguments";
import { MASKED } from "./attention-softmax";
import { checkedIndex } from "./indices";
import { expRow } from "./math";
import { fma } from "./simd";

/** scores[j] += sum over four rows of scale q keys[j]; rows are `stride` bytes apart, `count` is a multiple of 8. */
function addFour(q: usize, scale: f32, keys: usize, stride: usize, scores: usize, count: i32): void {
  const k1 = keys + stride, k2 = k1 + stride, k3 = k2 + stride;
  const q0 = f32x4.splat(scale * load<f32>(q)), q1 = f32x4.splat(scale * load<f32>(q, 4));
  const q2 = f32x4.splat(scale * load<f32>(q, 8)), q3 = f32x4.splat(scale * load<f32>(q, 12));
  const end = <usize>count << 2;
  for (let i: usize = 0; i < end; i += 32) {
    let x = v128.load(scores + i), y = v128.load(scores + i, 16);
    x = fma(q0, v128.load(keys + i), x);
    y = fma(q0, v128.load(keys + i, 16), y);
    x = fma(q1, v128.load(k1 + i), x);
    y = fma(q1, v128.load(k1 + i, 16), y);
    x = fma(q2, v128.load(k2 + i), x);
    y = fma(q2, v128.load(k2 + i, 16), y);
    x = fma(q3, v128.load(k3 + i), x);
    y = fma(q3, v128.load(k3 + i, 16), y);
    v128.store(scores + i, x);
    v128.store(scores + i, y, 16);
  }
}

/** scores[j] += scale q keys[j]. */
function addOne(q: usize, scale: f32, keys: usize, scores: usize, count: i32): void {
  const q0 = f32x4.splat(scale * load<f32>(q));
  const end = <usize>count << 2;
  for (let i: usize = 0; i < end; i += 32) {
    const x = fma(q0, v128.load(keys + i), v128.load(scores + i)), y = fma(q0, v128.load(keys + i, 16), v128.load(scores + i, 16));
    v128.store(scores + i, x);
    v128.store(scores + i, y, 16);
  }
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

/** e^(scores - highest) in place, and their sum; `count` is a multiple of 8. */
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

/** Columns [c, c + 32) of sum_j weights[j] values[j]; rows are `stride` bytes apart. */
function mixWide(weights: usize, values: usize, stride: usize, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  for (let j = 0; j < count; j++) {
    const p = v128.load32_splat(weights);
    a0 = fma(p, v128.load(values), a0);
    a1 = fma(p, v128.load(values, 16), a1);
    a2 = fma(p, v128.load(values, 32), a2);
    a3 = fma(p, v128.load(values, 48), a3);
    a4 = fma(p, v128.load(values, 64), a4);
    a5 = fma(p, v128.load(values, 80), a5);
    a6 = fma(p, v128.load(values, 96), a6);
    a7 = fma(p, v128.load(values, 112), a7);
    weights += 4;
    values += stride;
  }
  v128.store(out, a0); v128.store(out, a1, 16); v128.store(out, a2, 32); v128.store(out, a3, 48);
  v128.store(out, a4, 64); v128.store(out, a5, 80); v128.store(out, a6, 96); v128.store(out, a7, 112);
}

/** The same for 8 columns. */
function mixNarrow(weights: usize, values: usize, stride: usize, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0;
  for (let j = 0; j < count; j++) {
    const p = v128.load32_splat(weights);
    a0 = fma(p, v128.load(values), a0);
    a1 = fma(p, v128.load(values, 16), a1);
    weights += 4;
    values += stride;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
}

/** out[V] = attention of one query over `count` positions. */
function attend(
  q: usize, keys: usize, values: usize, out: usize, count: i32, T: i32, D: i32, V: i32, scale: f32, scratch: usize,
): void {
  const padded = (count + 7) & ~7;
  const scores = scratch + 64;
  const rowKeys = <usize>T << 2, rowValues = <usize>V << 2;
  memory.fill(scores, 0, <usize>padded << 2);
  let d = 0;
  for (; d + 4 <= D; d += 4) addFour(q + (<usize>d << 2), scale, keys + rowKeys * <usize>d, rowKeys, scores, padded);
  for (; d < D; d++) addOne(q + (<usize>d << 2), scale, keys + rowKeys * <usize>d, scores, padded);
  for (let j = count; j < padded; j++) store<f32>(scores + (<usize>j << 2), MASKED);

  const highest = largest(scores, padded, scratch);
  const sum = exponentiate(scores, padded, highest, scratch);
  const result = scores + (<usize>padded << 2);
  let c = 0;
  for (; c + 32 <= V; c += 32) mixWide(scores, values + (<usize>c << 2), rowValues, count, result + (<usize>c << 2));
  for (; c < V; c += 8) mixNarrow(scores, values + (<usize>c << 2), rowValues, count, result + (<usize>c << 2));
  const share: f32 = 1 / sum;
  for (let i: usize = 0; i < rowValues; i += 4) store<f32>(out + i, share * load<f32>(result + i));
}

export function cachedAttention(args: CachedAttentionArguments, begin: i32, end: i32, scratch: usize): void {
  const qkv = args.qkv, oldKeys = args.keys, oldValues = args.values;
  const positions = args.positions, slots = args.slots;
  const out = args.out, newKeys = args.newKeys, newValues = args.newValues;
  const R = args.rows, T = args.length, heads = args.heads, kvHeads = args.kvHeads;
  const D = args.headSize, V = args.valueSize, scale = args.scale;
  const head = <usize>D << 2, valueHead = <usize>V << 2;
  const row = head * <usize>(heads + kvHeads) + valueHead * <usize>kvHeads, outRow = valueHead * <usize>heads;
  const bytesKeys = head * <usize>T, bytesValues = valueHead * <usize>T;
  const group = heads / kvHeads;
  for (let item = begin; item < end; item++) {
    const slot = item / kvHeads, kv = item % kvHeads;
    const keys = newKeys + bytesKeys * <usize>item, values = newValues + bytesValues * <usize>item;
    if (newKeys != oldKeys) memory.copy(keys, oldKeys + bytesKeys * <usize>item, bytesKeys);
    if (newValues != oldValues) memory.copy(values, oldValues + bytesValues * <usize>item, bytesValues);
    for (let r = 0; r < R; r++) {
      const wanted = load<i32>(slots + (<usize>r << 2));
      const to = out + outRow * <usize>r + valueHead * <usize>(kv * group);
      if (slot == 0 && (wanted < 0 || checkedIndex(wanted, args.slotCount, r) != wanted)) memory.fill(to, 0, valueHead * <usize>group);
      if (wanted != slot) continue;
      const position = checkedIndex(load<i32>(positions + (<usize>r << 2)), T, r);
      const own = qkv + row * <usize>r;
      const k = own + head * <usize>(heads + kv), v = own + head * <usize>(heads + kvHeads) + valueHead * <usize>kv;
      let place = keys + (<usize>position << 2);
      for (let d = 0; d < D; d++) {
        store<f32>(place, load<f32>(k + (<usize>d << 2)));
        place += <usize>T << 2;
      }
      memory.copy(values + valueHead * <usize>position, v, valueHead);
      for (let h = 0; h < group; h++) {
        const q = own + head * <usize>(kv * group + h);
        attend(q, keys, values, to + valueHead * <usize>h, position + 1, T, D, V, scale, scratch);
      }
    }
  }
}
