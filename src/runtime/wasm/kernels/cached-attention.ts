// Question: what does a new token see of those before it?
//
//   key_t = k,  value_t = v;  s_j = scale q.key_j,  out = sum_j softmax(s)_j value_j,  j <= t,  all of one slot
//
// cachedAttention  domain: slots * kvHeads, grain 1
//
// The positions of a slot lie in blocks of B. A task is one key head of one slot: it takes the rows of its slot in their
// order, and writes only into blocks of its slot. Where the new caches are not the old ones, the tasks of slot 0 copy them
// and take the rows of all slots. Padding (slot -1) gives zeros, written by the tasks of slot 0.
// Keys lie with the positions along a row: scores are sums of rows, without sums across lanes, and stay in registers.
// Each is one chain of multiply-adds in the order of d.

import { CachedAttentionArguments } from "./arguments";
import { MASKED } from "./attention-softmax";
import { checkedIndex } from "./indices";
import { expRow } from "./math";
import { fma } from "./simd";

/** Positions of a block for which the scores of four blocks are made together: as many as registers hold. */
const FULL: i32 = 16;

/** scores[0..64) = q . keys of four blocks of 16 positions; `q` has D numbers, scaled. */
function scoreFour(q: usize, a: usize, b: usize, c: usize, e: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, e0 = a0, e1 = a0, e2 = a0, e3 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(a), a0); a1 = fma(x, v128.load(a, 16), a1);
    a2 = fma(x, v128.load(a, 32), a2); a3 = fma(x, v128.load(a, 48), a3);
    b0 = fma(x, v128.load(b), b0); b1 = fma(x, v128.load(b, 16), b1);
    b2 = fma(x, v128.load(b, 32), b2); b3 = fma(x, v128.load(b, 48), b3);
    c0 = fma(x, v128.load(c), c0); c1 = fma(x, v128.load(c, 16), c1);
    c2 = fma(x, v128.load(c, 32), c2); c3 = fma(x, v128.load(c, 48), c3);
    e0 = fma(x, v128.load(e), e0); e1 = fma(x, v128.load(e, 16), e1);
    e2 = fma(x, v128.load(e, 32), e2); e3 = fma(x, v128.load(e, 48), e3);
    a += 64; b += 64; c += 64; e += 64;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
  v128.store(scores, b0, 64); v128.store(scores, b1, 80); v128.store(scores, b2, 96); v128.store(scores, b3, 112);
  v128.store(scores, c0, 128); v128.store(scores, c1, 144); v128.store(scores, c2, 160); v128.store(scores, c3, 176);
  v128.store(scores, e0, 192); v128.store(scores, e1, 208); v128.store(scores, e2, 224); v128.store(scores, e3, 240);
}

/** scores[0..16) = q . keys of one block; rows are `stride` bytes apart. */
function scoreWide(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(keys), a0);
    a1 = fma(x, v128.load(keys, 16), a1);
    a2 = fma(x, v128.load(keys, 32), a2);
    a3 = fma(x, v128.load(keys, 48), a3);
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16); v128.store(scores, a2, 32); v128.store(scores, a3, 48);
}

/** The same for 8 positions. */
function scoreNarrow(q: usize, keys: usize, stride: usize, D: i32, scores: usize): void {
  let a0 = f32x4.splat(0), a1 = a0;
  const end = q + (<usize>D << 2);
  for (; q < end; q += 4) {
    const x = v128.load32_splat(q);
    a0 = fma(x, v128.load(keys), a0);
    a1 = fma(x, v128.load(keys, 16), a1);
    keys += stride;
  }
  v128.store(scores, a0); v128.store(scores, a1, 16);
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

/** Columns [c, c + 32) of sum_j weights[j] values[j]; rows are `stride` bytes apart, heads of blocks `bytes`. */
function mixWide(weights: usize, values: usize, stride: usize, bytes: usize, parts: usize, B: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  for (let start = 0; start < count; start += B) {
    let v = values + bytes * <usize>load<i32>(parts);
    parts += 4;
    const end = weights + (<usize>min(B, count - start) << 2);
    for (; weights < end; weights += 4) {
      const p = v128.load32_splat(weights);
      a0 = fma(p, v128.load(v), a0);
      a1 = fma(p, v128.load(v, 16), a1);
      a2 = fma(p, v128.load(v, 32), a2);
      a3 = fma(p, v128.load(v, 48), a3);
      a4 = fma(p, v128.load(v, 64), a4);
      a5 = fma(p, v128.load(v, 80), a5);
      a6 = fma(p, v128.load(v, 96), a6);
      a7 = fma(p, v128.load(v, 112), a7);
      v += stride;
    }
  }
  v128.store(out, a0); v128.store(out, a1, 16); v128.store(out, a2, 32); v128.store(out, a3, 48);
  v128.store(out, a4, 64); v128.store(out, a5, 80); v128.store(out, a6, 96); v128.store(out, a7, 112);
}

/** The same for 8 columns. */
function mixNarrow(weights: usize, values: usize, stride: usize, bytes: usize, parts: usize, B: i32, count: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0;
  for (let start = 0; start < count; start += B) {
    let v = values + bytes * <usize>load<i32>(parts);
    parts += 4;
    const end = weights + (<usize>min(B, count - start) << 2);
    for (; weights < end; weights += 4) {
      const p = v128.load32_splat(weights);
      a0 = fma(p, v128.load(v), a0);
      a1 = fma(p, v128.load(v, 16), a1);
      v += stride;
    }
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
}

/**
 * out[V] = attention of one query over `count` positions, of which part p lies in head parts[p] of the blocks.
 * scratch: 64 bytes, the query, the scores, the result.
 */
function attend(
  q: usize, keys: usize, values: usize, parts: usize, out: usize, count: i32, B: i32, D: i32, V: i32, scale: f32, scratch: usize,
): void {
  const padded = (count + 7) & ~7;
  const scaled = scratch + 64, scores = scaled + (<usize>((D + 15) & ~15) << 2);
  for (let d: usize = 0; d < <usize>D << 2; d += 4) store<f32>(scaled + d, scale * load<f32>(q + d));
  const rowKeys = <usize>B << 2, rowValues = <usize>V << 2, bytesKeys = rowKeys * <usize>D, bytesValues = rowValues * <usize>B;
  let start = 0, p = parts;
  if (B == FULL) {
    for (; start + 4 * FULL <= count; start += 4 * FULL, p += 16) {
      const a = keys + bytesKeys * <usize>load<i32>(p), b = keys + bytesKeys * <usize>load<i32>(p, 4);
      const c = keys + bytesKeys * <usize>load<i32>(p, 8), e = keys + bytesKeys * <usize>load<i32>(p, 12);
      scoreFour(scaled, a, b, c, e, D, scores + (<usize>start << 2));
    }
  }
  // What is computed beyond the end of a block is written over by the next one, or masked.
  for (; start < count; start += B, p += 4) {
    const head = keys + bytesKeys * <usize>load<i32>(p), n = min(B, count - start);
    let c = 0;
    for (; c + 8 < n && c + 16 <= B; c += 16) scoreWide(scaled, head + (<usize>c << 2), rowKeys, D, scores + (<usize>(start + c) << 2));
    for (; c < n; c += 8) scoreNarrow(scaled, head + (<usize>c << 2), rowKeys, D, scores + (<usize>(start + c) << 2));
  }
  for (let j = count; j < padded; j++) store<f32>(scores + (<usize>j << 2), MASKED);

  const highest = largest(scores, padded, scratch);
  const sum = exponentiate(scores, padded, highest, scratch);
  const result = scores + (<usize>padded << 2);
  let c = 0;
  for (; c + 32 <= V; c += 32) mixWide(scores, values + (<usize>c << 2), rowValues, bytesValues, parts, B, count, result + (<usize>c << 2));
  for (; c < V; c += 8) mixNarrow(scores, values + (<usize>c << 2), rowValues, bytesValues, parts, B, count, result + (<usize>c << 2));
  const share: f32 = 1 / sum;
  for (let i: usize = 0; i < rowValues; i += 4) store<f32>(out + i, share * load<f32>(result + i));
}

/** Copies one head of every block. */
function copyHead(to: usize, from: usize, bytes: usize, kv: i32, kvHeads: i32, count: i32): void {
  for (let block = 0; block < count; block++) {
    const at = bytes * <usize>(block * kvHeads + kv);
    memory.copy(to + at, from + at, bytes);
  }
}

export function cachedAttention(args: CachedAttentionArguments, begin: i32, end: i32, scratch: usize): void {
  const qkv = args.qkv, positions = args.positions, slots = args.slots, blocks = args.blocks;
  const out = args.out, keys = args.newKeys, values = args.newValues;
  const R = args.rows, B = args.blockSize, N = args.blocksOfText, P = args.blockCount;
  const heads = args.heads, kvHeads = args.kvHeads, D = args.headSize, V = args.valueSize, scale = args.scale;
  const head = <usize>D << 2, valueHead = <usize>V << 2;
  const row = head * <usize>(heads + kvHeads) + valueHead * <usize>kvHeads, outRow = valueHead * <usize>heads;
  const bytesKeys = head * <usize>B, bytesValues = valueHead * <usize>B;
  const group = heads / kvHeads;
  const inPlace = keys == args.keys && values == args.values;
  const parts = scratch, rest = scratch + ((<usize>(N + 15) & ~15) << 2);
  for (let item = begin; item < end; item++) {
    const slot = item / kvHeads, kv = item % kvHeads;
    if (!inPlace) {
      if (slot != 0) continue;
      if (keys != args.keys) copyHead(keys, args.keys, bytesKeys, kv, kvHeads, P);
      if (values != args.values) copyHead(values, args.values, bytesValues, kv, kvHeads, P);
    }
    for (let r = 0; r < R; r++) {
      const wanted = load<i32>(slots + (<usize>r << 2));
      const to = out + outRow * <usize>r + valueHead * <usize>(kv * group);
      if (slot == 0 && (wanted < 0 || checkedIndex(wanted, args.slotCount, r) != wanted)) memory.fill(to, 0, valueHead * <usize>group);
      if (inPlace ? wanted != slot : <u32>wanted >= <u32>args.slotCount) continue;
      const position = checkedIndex(load<i32>(positions + (<usize>r << 2)), N * B, r);
      const own = qkv + row * <usize>r;
      const table = blocks + (<usize>(wanted * N) << 2), last = position / B;
      for (let p: usize = 0; p <= <usize>last << 2; p += 4)
        store<i32>(parts + p, checkedIndex(load<i32>(table + p), P, r) * kvHeads + kv);
      const part = <usize>load<i32>(parts + (<usize>last << 2)), within = position - last * B;
      const k = own + head * <usize>(heads + kv), v = own + head * <usize>(heads + kvHeads) + valueHead * <usize>kv;
      let place = keys + bytesKeys * part + (<usize>within << 2);
      for (let d = 0; d < D; d++) {
        store<f32>(place, load<f32>(k + (<usize>d << 2)));
        place += <usize>B << 2;
      }
      memory.copy(values + bytesValues * part + valueHead * <usize>within, v, valueHead);
      for (let h = 0; h < group; h++) {
        const q = own + head * <usize>(kv * group + h);
        attend(q, keys, values, parts, to + valueHead * <usize>h, position + 1, B, D, V, scale, rest);
      }
    }
  }
}
