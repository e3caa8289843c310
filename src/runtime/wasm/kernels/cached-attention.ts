// Question: what does a new token see of those before it?
//
//   key_t = k,  value_t = v;  s_j = scale q.key_j,  out = sum_j softmax(s)_j value_j,  j <= t,  all of one slot
//
// cachedAttention  domain: slots * kvHeads, grain 1
//
// The positions of a slot lie in blocks of B. A task is one key head of one slot: it takes the rows of its slot in their
// order, and writes only into blocks of its slot. Where the new caches are not the old ones, the tasks of slot 0 copy them
// and take the rows of all slots. Padding (slot -1) gives zeros, written by the tasks of slot 0.
//
// Rows that follow each other in one text are a run: their keys are written first, and their queries go together by four
// (cached-four.ts), as do the query heads of a key head. Together or alone, the bits are the same.

import { CachedAttentionArguments } from "./arguments";
import { canAttendFour, attendFour } from "./cached-four";
import { attendOne } from "./cached-one";
import { checkedIndex } from "./indices";

/** Copies one head of every block. */
function copyHead(to: usize, from: usize, bytes: usize, kv: i32, kvHeads: i32, count: i32): void {
  for (let block = 0; block < count; block++) {
    const at = bytes * <usize>(block * kvHeads + kv);
    memory.copy(to + at, from + at, bytes);
  }
}

/** Zeros for the rows of no slot. */
function clearPadding(args: CachedAttentionArguments, kv: i32): void {
  const group = args.heads / args.kvHeads, bytes = <usize>(args.valueSize * group) << 2;
  const outRow = bytes * <usize>args.kvHeads, out = args.out + bytes * <usize>kv;
  for (let r = 0; r < args.rows; r++) {
    const slot = load<i32>(args.slots + (<usize>r << 2));
    if (slot < 0 || checkedIndex(slot, args.slotCount, r) != slot) memory.fill(out + outRow * <usize>r, 0, bytes);
  }
}

/** How many rows from r on are of one slot at successive positions before `limit`. */
function runLength(args: CachedAttentionArguments, r: i32, position: i32, limit: i32): i32 {
  const slots = args.slots + (<usize>r << 2), positions = args.positions + (<usize>r << 2), slot = load<i32>(slots);
  const most = min(args.rows - r, limit - position);
  let run = 1;
  while (run < most && load<i32>(slots + (<usize>run << 2)) == slot && load<i32>(positions + (<usize>run << 2)) == position + run) run++;
  return run;
}

/** Writes a key along a column of its block, and a value along a row. */
function writeCache(k: usize, v: usize, key: usize, value: usize, B: i32, D: i32, V: i32): void {
  for (let d: usize = 0; d < <usize>D << 2; d += 4) {
    store<f32>(key, load<f32>(k + d));
    key += <usize>B << 2;
  }
  for (let d: usize = 0; d < <usize>V << 2; d += 4) store<f32>(value + d, load<f32>(v + d));
}

/** Rows r, r + 1, ... of a run, from `position` of a slot on. */
function attendRun(args: CachedAttentionArguments, slot: i32, kv: i32, r: i32, position: i32, run: i32, scratch: usize): void {
  const B = args.blockSize, N = args.blocksOfText, P = args.blockCount, D = args.headSize, V = args.valueSize;
  const kvHeads = args.kvHeads, heads = args.heads, scale = args.scale, keys = args.newKeys, values = args.newValues;
  const group = heads / kvHeads, head = <usize>D << 2, valueHead = <usize>V << 2;
  const row = head * <usize>(heads + kvHeads) + valueHead * <usize>kvHeads, outRow = valueHead * <usize>heads;
  const bytesKeys = head * <usize>B, bytesValues = valueHead * <usize>B;
  const parts = scratch, rest = scratch + ((<usize>(N + 15) & ~15) << 2);

  const table = args.blocks + (<usize>(slot * N) << 2), last = (position + run - 1) / B;
  for (let p: usize = 0; p <= <usize>last << 2; p += 4)
    store<i32>(parts + p, checkedIndex(load<i32>(table + p), P, r) * kvHeads + kv);
  const own = args.qkv + row * <usize>r;
  for (let i = 0; i < run; i++) {
    const block = (position + i) / B, within = position + i - block * B;
    const part = <usize>load<i32>(parts + (<usize>block << 2));
    const k = own + row * <usize>i + head * <usize>(heads + kv), v = own + row * <usize>i + head * <usize>(heads + kvHeads) + valueHead * <usize>kv;
    writeCache(k, v, keys + bytesKeys * part + (<usize>within << 2), values + bytesValues * part + valueHead * <usize>within, B, D, V);
  }

  // Query i is that of row i / group and of head i % group.
  const q = own + head * <usize>(kv * group), out = args.out + outRow * <usize>r + valueHead * <usize>(kv * group);
  const queries = run * group;
  let i = 0;
  if (canAttendFour(position + run, N, B, D, V)) {
    for (; i + 4 <= queries; i += 4) attendFour(q, row, out, outRow, i, group, keys, values, parts, position + 1, D, V, scale, rest);
  }
  for (; i < queries; i++) {
    const at = <usize>(i / group), h = <usize>(i % group);
    attendOne(q + row * at + head * h, keys, values, parts, out + outRow * at + valueHead * h, position + 1 + i / group, B, D, V, scale, rest);
  }
}

export function cachedAttention(args: CachedAttentionArguments, begin: i32, end: i32, scratch: usize): void {
  const slots = args.slots, R = args.rows, kvHeads = args.kvHeads, length = args.blocksOfText * args.blockSize;
  const bytesKeys = <usize>(args.headSize * args.blockSize) << 2, bytesValues = <usize>(args.valueSize * args.blockSize) << 2;
  const inPlace = args.newKeys == args.keys && args.newValues == args.values;
  for (let item = begin; item < end; item++) {
    const slot = item / kvHeads, kv = item % kvHeads;
    if (slot == 0) clearPadding(args, kv);
    if (!inPlace) {
      if (slot != 0) continue;
      if (args.newKeys != args.keys) copyHead(args.newKeys, args.keys, bytesKeys, kv, kvHeads, args.blockCount);
      if (args.newValues != args.values) copyHead(args.newValues, args.values, bytesValues, kv, kvHeads, args.blockCount);
    }
    for (let r = 0; r < R; ) {
      const wanted = load<i32>(slots + (<usize>r << 2));
      if (inPlace ? wanted != slot : <u32>wanted >= <u32>args.slotCount) {
        r++;
        continue;
      }
      const position = checkedIndex(load<i32>(args.positions + (<usize>r << 2)), length, r);
      const run = runLength(args, r, position, length);
      attendRun(args, wanted, kv, r, position, run, scratch);
      r += run;
    }
  }
}
