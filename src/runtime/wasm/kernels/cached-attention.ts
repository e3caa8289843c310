// Question: what does a new token see of those before it?
//
//   keys[s, :, t] = k,  values[s, t] = v;  s_j = scale q.keys[s, :, j],  out = sum_j softmax(s)_j values[s, j],  j <= t
//
// cachedAttention  domain: slots * kvHeads, grain 1
//
// The new caches may be the old ones. A task is one key head of one slot: it takes the rows of its slot in their order, and copies the cache
// where the new one lies elsewhere. Padding (slot -1) gives zeros, written by the tasks of slot 0.
// Keys lie with the positions along a row: scores are sums of rows, without sums across lanes, and stay in registers.
// Each is one chain of multiply-adds in the order of d.

import { CachedAttentionArguments } from "./arguments";
import { MASKED } from "./attention-softmax";
import { checkedIndex } from "./indices";
import { expRow } from "./math";
import { fma } from "./simd";

/** Positions whose scores are made together: as many as registers hold, or as few as share two of 256 bits. */
const MANY: i32 = 64, FEW: i32 = 16;

/** scores[0..64) = q . keys; `q` has D numbers, scaled; rows of keys are `stride` bytes apart. */
function scoreMany(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  let b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0, b6 = a0, b7 = a0;
  for (let d = 0; d < D; d++) {
    const s = v128.load32_splat(q);
    a0 = fma(s, v128.load(keys), a0); a1 = fma(s, v128.load(keys, 16), a1);
    a2 = fma(s, v128.load(keys, 32), a2); a3 = fma(s, v128.load(keys, 48), a3);
    a4 = fma(s, v128.load(keys, 64), a4); a5 = fma(s, v128.load(keys, 80), a5);
    a6 = fma(s, v128.load(keys, 96), a6); a7 = fma(s, v128.load(keys, 112), a7);
    b0 = fma(s, v128.load(keys, 128), b0); b1 = fma(s, v128.load(keys, 144), b1);
    b2 = fma(s, v128.load(keys, 160), b2); b3 = fma(s, v128.load(keys, 176), b3);
    b4 = fma(s, v128.load(keys, 192), b4); b5 = fma(s, v128.load(keys, 208), b5);
    b6 = fma(s, v128.load(keys, 224), b6); b7 = fma(s, v128.load(keys, 240), b7);
    q += 4;
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
  v128.store(scores, a4, 64); v128.store(scores, a5, 80); v128.store(scores, a6, 96); v128.store(scores, a7, 112);
  v128.store(scores, b0, 128); v128.store(scores, b1, 144); v128.store(scores, b2, 160); v128.store(scores, b3, 176);
  v128.store(scores, b4, 192); v128.store(scores, b5, 208); v128.store(scores, b6, 224); v128.store(scores, b7, 240);
}

/** The same for 16 positions. */
function scoreFew(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  for (let d = 0; d < D; d++) {
    const s = v128.load32_splat(q);
    a0 = fma(s, v128.load(keys), a0); a1 = fma(s, v128.load(keys, 16), a1);
    a2 = fma(s, v128.load(keys, 32), a2); a3 = fma(s, v128.load(keys, 48), a3);
    q += 4;
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
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
  const scaled = scratch + 64, scores = scaled + (<usize>((D + 15) & ~15) << 2);
  const rowKeys = <usize>T << 2, rowValues = <usize>V << 2;
  for (let d: usize = 0; d < <usize>D << 2; d += 4) store<f32>(scaled + d, scale * load<f32>(q + d));
  // The last scores may be those of positions behind the text, which are masked.
  let from = 0;
  for (; from + MANY <= count; from += MANY) {
    scoreMany(scaled, keys + (<usize>from << 2), rowKeys, D, scores + (<usize>from << 2));
  }
  for (; from < count; from += FEW) scoreFew(scaled, keys + (<usize>from << 2), rowKeys, D, scores + (<usize>from << 2));
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
