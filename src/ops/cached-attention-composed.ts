// Question: how is attention over a cache composed of simpler operations?
//
// This is the composed form of cached-attention.ts. The order of the rows becomes masks over pairs of rows r and r':
//
//   same[r, r']   r' writes the place that r writes
//   seen[r, r']   r' ≤ r has r's slot, and no row from r' + 1 to r writes the place of r' again
//   last[r']      no row after r' writes its place again, so what r' writes stays in the cache
//
// The score of row r with position j uses the new key if some seen r' is at j, and otherwise the old key in the cache.

import { lastAxis, rowCount, type Tensor } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { add, multiply, negate, scale as times, shift, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { gather, scatterAdd } from "./gather.ts";
import { equal, lowerTriangle, oneHot, positions as numbers, positive, scaleRows } from "./masks.ts";
import { matmul } from "./matmul.ts";
import { permute, transpose } from "./permute.ts";
import { broadcast, broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { toFloats } from "./to-floats.ts";
import { toIndices } from "./to-indices.ts";

interface Sizes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly valueSize: number;
  readonly scale: number;
}

/** Below every score, however large. */
const MASKED = -Infinity;

export function composedCachedAttention(
  {
    qkv,
    keys,
    values,
    blocks,
    positions,
    slots,
  }: Readonly<Record<"qkv" | "keys" | "values" | "blocks" | "positions" | "slots", Tensor>>,
  { heads, kvHeads, headSize: D, valueSize: V, scale }: Sizes,
): { out: Tensor; newKeys: Tensor; newValues: Tensor } {
  const R = rowCount(qkv.shape);
  const [P = 1, , , B = 1] = keys.shape;
  const [S = 1, N = 1] = blocks.shape;
  const T = N * B;
  const group = heads / kvHeads;

  const slot = toFloats(slots);
  const used = positive(shift(slot, 0.5));
  const safeSlot = multiply(slot, used);
  // The block of a row: number ⌊t / B⌋ of its slot.
  const position = toFloats(positions);
  const number = toFloats(toIndices(times(shift(position, (1 - B) / 2), 1 / B)));
  const table = toFloats(blocks);
  const block = gather(reshape(table, [S * N, 1]), toIndices(add(times(safeSlot, N), number)));
  const place = add(times(subtract(reshape(block, [R]), number), B), position);

  // Pairs of rows [R, R].
  const pairs = (of: Tensor): [mine: Tensor, other: Tensor] => [broadcastLast(of, R), broadcast(of, [R, R])];
  const bothUsed = multiply(...pairs(used));
  const sameSlot = multiply(equal(...pairs(slot)), bothUsed);
  const same = multiply(equal(...pairs(place)), bothUsed);
  const upTo = lowerTriangle(R);
  const later = shift(negate(upTo), 1);
  const rewrites = multiply(same, later); // [r', r'']: r'' > r' writes the place again
  const rewritten = matmul(upTo, rewrites, { transposeB: true }); // [r, r']: how often up to r
  const not = (count: Tensor): Tensor => shift(negate(positive(shift(count, -0.5))), 1);
  const seen = multiply(multiply(sameSlot, upTo), not(rewritten));
  const last = multiply(used, not(sumLast(rewrites)));

  // Queries [kvHeads, R · group, D]; keys and values of the rows [kvHeads, R, ...].
  const part = (start: number, size: number): Tensor =>
    permute(reshape(slice(qkv, 1, start, kvHeads * size), [R, kvHeads, size]), [1, 0, 2]);
  const queries = permute(reshape(slice(qkv, 1, 0, heads * D), [R, kvHeads, group, D]), [1, 0, 2, 3]);
  const q = reshape(queries, [kvHeads, R * group, D]);
  const [k, v] = [part(heads * D, D), part((heads + kvHeads) * D, V)];

  // The caches of every row's slot, [kvHeads, R, D, T] and [kvHeads, R, T, V].
  const blocksOfRows = toIndices(gather(table, toIndices(safeSlot)));
  const ofRows = (cache: Tensor, rows: number, columns: number, axes: readonly number[]): Tensor => {
    const found = gather(reshape(cache, [P, kvHeads * rows * columns]), blocksOfRows);
    return permute(reshape(found, [R, N, kvHeads, rows, columns]), axes);
  };
  const oldKeys = reshape(ofRows(keys, D, B, [2, 0, 3, 1, 4]), [kvHeads, R, D, T]);
  const oldValues = reshape(ofRows(values, B, V, [2, 0, 1, 3, 4]), [kvHeads, R, T, V]);

  const perRow = (x: Tensor): Tensor => reshape(x, [kvHeads, R, group, lastAxis(x.shape)]);
  const at = oneHot(positions, T); // [R, T]
  const fresh = positive(matmul(seen, at)); // [r, j]: a seen row is at j
  const everywhere = (mask: Tensor): Tensor =>
    transpose(broadcastLast(broadcast(mask, [kvHeads, R, lastAxis(mask.shape)]), group));

  // Scores [kvHeads, R, group, T]: with old keys, or with the key of the seen row that is at j.
  const withOld = batchedMatmul(perRow(q), oldKeys);
  const withRows = multiply(perRow(batchedMatmul(q, k, { transposeB: true })), everywhere(seen));
  const withNew = perRow(matmul(reshape(withRows, [kvHeads * R * group, R]), at));
  const scores = times(select(everywhere(fresh), withNew, withOld), scale);
  const reached = positive(shift(subtract(broadcastLast(toFloats(positions), T), broadcast(numbers(T), [R, T])), 0.5));
  const p = softmax(select(everywhere(reached), scores, fill(scores.shape, MASKED)));

  const pNew = multiply(p, everywhere(fresh));
  const fromOld = batchedMatmul(subtract(p, pNew), oldValues);
  const pRows = matmul(reshape(pNew, [kvHeads * R * group, T]), at, { transposeB: true });
  const pSeen = multiply(perRow(reshape(pRows, [kvHeads, R * group, R])), everywhere(seen));
  const fromNew = batchedMatmul(reshape(pSeen, [kvHeads, R * group, R]), v);
  const o = add(fromOld, reshape(fromNew, fromOld.shape));
  const out = reshape(permute(o, [1, 0, 2, 3]), [R, heads * V]);

  // [P · B, ...]: what the last writers leave at their places, and whether any row writes there.
  const written = reshape(scatterAdd(toIndices(place), reshape(last, [R, 1]), P * B), [P, B]);
  const left = (x: Tensor, size: number): Tensor => {
    const rows = scaleRows(reshape(permute(x, [1, 0, 2]), [R, kvHeads * size]), last);
    return reshape(scatterAdd(toIndices(place), rows, P * B), [P, B, kvHeads, size]);
  };
  const kept = (shape: readonly number[], axes: readonly number[]): Tensor =>
    permute(broadcastLast(broadcastLast(shift(negate(written), 1), shape[0] ?? 1), shape[1] ?? 1), axes);
  return {
    out: scaleRows(out, used),
    newKeys: add(multiply(keys, kept([kvHeads, D], [0, 2, 3, 1])), permute(left(k, D), [0, 2, 3, 1])),
    newValues: add(multiply(values, kept([kvHeads, V], [0, 2, 1, 3])), permute(left(v, V), [0, 2, 1, 3])),
  };
}
