// Question: how does a GPU attend to the keys and values that earlier tokens left behind?
//
// A group of threads for each row and head. 64 positions at a time: a thread finds the score of one of them, by columns
// of the key, so neighbours in a block read neighbours; then each thread adds up its columns of the values. The softmax is kept up
// to date as the positions pass. The key of a position is that of the last row before which wrote it, or the cache's.
//
// The cache is written after that, so that it may lie where it lay: a cell whose value stays is read and not stored.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { cachedAttentionOperation } from "../../../ops/cached-attention.ts";
import { checkIndices } from "../check.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";
import { float } from "../work.ts";

export const cachedAttention: readonly Implementation[] = [
  calls(
    cachedAttentionOperation,
    ({ qkv, keys, values, blocks, positions, slots, out, newKeys, newValues }, attributes, context, _addend, scope) => {
      const { heads, kvHeads, headSize: D, valueSize: V, scale } = attributes;
      const [R, E, B] = [rowCount(qkv.shape), lastAxis(qkv.shape), lastAxis(keys.shape)];
      const [P = 1] = keys.shape;
      const [S = 1, N = 1] = blocks.shape;
      const T = N * B;
      checkIndices(context, slots, { operation: "cachedAttention", scope, rows: S }, slots);
      checkIndices(context, positions, { operation: "cachedAttention", scope, rows: T }, slots);
      checkIndices(context, blocks, { operation: "cachedAttention", scope, rows: P });
      const each = Math.ceil(V / WIDTH);
      const columns = Array.from({ length: each }, (_, at) => at);
      const rows = {
        positions: operand(context, positions),
        slots: operand(context, slots),
        blocks: operand(context, blocks),
      };
      const [packed, result] = [operand(context, qkv), operand(context, out)];
      context.emit(
        kernelCall({
          name: "cachedAttention",
          reads: { qkv: packed, keys: operand(context, keys), values: operand(context, values), ...rows },
          writes: { out: result },
          functions: [
            "var<workgroup> sharedLast: u32;",
            `var<workgroup> query: array<f32, ${D}>;`,
            `var<workgroup> weights: array<f32, ${WIDTH}>;`,
            `var<workgroup> sources: array<u32, ${WIDTH}>;`,
            `var<workgroup> places: array<u32, ${WIDTH}>;`,
            ...groupReduction("fold", (a, b) => `${a} + ${b}`),
            ...groupReduction("foldLargest", (a, b) => `larger(${a}, ${b})`),
          ],
          width: WIDTH,
          groups: R * heads,
          body: `
  let row: u32 = group / ${u(heads)};
  let head: u32 = group % ${u(heads)};
  let kvHead: u32 = head / ${u(heads / kvHeads)};
  let slot: i32 = slots[row];
  let table: u32 = (u32(max(slot, 0)) % ${u(S)}) * ${u(N)};
  if (lane == 0u) { sharedLast = min(u32(max(positions[row], 0)), ${u(T - 1)}); }
  let last: u32 = workgroupUniformLoad(&sharedLast);
  for (var d: u32 = lane; d < ${u(D)}; d += ${u(WIDTH)}) { query[d] = qkv[row * ${u(E)} + head * ${u(D)} + d]; }
${columns.map((at) => `  var o${at}: f32 = 0.0f;`).join("\n")}
  var highest: f32 = fromBits(4286578688u);
  var total: f32 = 0.0f;
  for (var first: u32 = 0u; first <= last; first += ${u(WIDTH)}) {
    let at: u32 = first + lane;
    // The row that wrote the key of this position, or ${u(R)}: it is in the cache.
    var source: u32 = ${u(R)};
    if (at <= last) {
      for (var other: u32 = 0u; other <= row; other += 1u) {
        if (slots[other] == slot && positions[other] == i32(at)) { source = other; }
      }
    }
    sources[lane] = source;
    // The head of the block that holds this position.
    let part: u32 = (u32(max(blocks[table + min(at, last) / ${u(B)}], 0)) % ${u(P)}) * ${u(kvHeads)} + kvHead;
    places[lane] = part * ${u(B)} + at % ${u(B)};
    workgroupBarrier();
    var score: f32 = fromBits(4286578688u);
    if (at <= last) {
      score = 0.0f;
      if (source < ${u(R)}) {
        for (var d: u32 = 0u; d < ${u(D)}; d += 1u) {
          score += query[d] * qkv[source * ${u(E)} + ${u(heads * D)} + kvHead * ${u(D)} + d];
        }
      } else {
        for (var d: u32 = 0u; d < ${u(D)}; d += 1u) { score += query[d] * keys[(part * ${u(D)} + d) * ${u(B)} + at % ${u(B)}]; }
      }
      score = score * ${float(scale)};
    }
    let next: f32 = larger(highest, foldLargest(score, lane));
    let keep: f32 = select(exponential(highest - next), 0.0f, total == 0.0f);
    // Positions beyond the last, and scores of -Infinity, have no share whatever the highest is.
    let p: f32 = select(exponential(score - next), 0.0f, bitcast<u32>(score) == 4286578688u);
    weights[lane] = p;
    total = total * keep + fold(p, lane);
    highest = next;
    let seen: u32 = min(${u(WIDTH)}, last + 1u - first);
${columns
  .map(
    (at) => `    {
      let v: u32 = lane + ${u(at * WIDTH)};
      if (v < ${u(V)}) {
        var sum: f32 = 0.0f;
        for (var j: u32 = 0u; j < seen; j += 1u) {
          if (sources[j] < ${u(R)}) {
            sum += weights[j] * qkv[sources[j] * ${u(E)} + ${u((heads + kvHeads) * D)} + kvHead * ${u(V)} + v];
          } else { sum += weights[j] * values[places[j] * ${u(V)} + v]; }
        }
        o${at} = o${at} * keep + sum;
      }
    }`,
  )
  .join("\n")}
    workgroupBarrier();
  }
${columns
  .map(
    (at) =>
      `  if (lane + ${u(at * WIDTH)} < ${u(V)}) { out[(row * ${u(heads)} + head) * ${u(V)} + lane + ${u(at * WIDTH)}] = select(o${at} / total, 0.0f, slot < 0); }`,
  )
  .join("\n")}`,
        }),
      );
      /** A cell of the cache, and where a row has what it writes there. */
      const write = (name: string, from: typeof keys, to: typeof keys, place: string, source: string): void =>
        context.emit({
          ...kernelCall({
            name,
            reads: { qkv: packed, from: operand(context, from), ...rows },
            writes: { to: operand(context, to) },
            inPlace: { to: "from" },
            width: WIDTH,
            groups: Math.ceil(sizeOf(to.shape) / WIDTH),
            flops: 0,
            body: `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(sizeOf(to.shape))}) {
${place}
    var value: f32 = from[i];
    for (var row: u32 = 0u; row < ${u(R)}; row += 1u) {
      // The place that the row writes.
      let slot: u32 = u32(max(slots[row], 0)) % ${u(S)};
      let position: u32 = min(u32(max(positions[row], 0)), ${u(T - 1)});
      if (slots[row] >= 0 && position % ${u(B)} == at && u32(blocks[slot * ${u(N)} + position / ${u(B)}]) == block) {
        value = qkv[row * ${u(E)} + ${source}];
      }
    }
    if (bitcast<u32>(to[i]) != bitcast<u32>(value)) { to[i] = value; }
  }`,
          }),
          after: result.buffer,
        });
      write(
        "cacheKeys",
        keys,
        newKeys,
        `    let at: u32 = i % ${u(B)};
    let d: u32 = (i / ${u(B)}) % ${u(D)};
    let kvHead: u32 = (i / ${u(D * B)}) % ${u(kvHeads)};
    let block: u32 = i / ${u(kvHeads * D * B)};`,
        `${u(heads * D)} + kvHead * ${u(D)} + d`,
      );
      write(
        "cacheValues",
        values,
        newValues,
        `    let d: u32 = i % ${u(V)};
    let at: u32 = (i / ${u(V)}) % ${u(B)};
    let kvHead: u32 = (i / ${u(V * B)}) % ${u(kvHeads)};
    let block: u32 = i / ${u(kvHeads * V * B)};`,
        `${u((heads + kvHeads) * D)} + kvHead * ${u(V)} + d`,
      );
    },
  ),
];
