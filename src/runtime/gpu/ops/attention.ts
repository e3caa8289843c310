// Question: how does a GPU attend, storing nothing of size T × T?
//
// One thread a query, 64 queries a group (Dao et al. 2022, arXiv 2205.14135). Keys and values go through memory that
// the group shares, KEYS at a time; the softmax is kept up to date as they pass. Backward: the same for the queries'
// gradients, and one thread a key for those of keys and values, which goes through the queries of all heads that read
// it. p is computed again from the log-sum-exp.

import type { Tensor } from "../../../graph/tensor.ts";
import { type AttentionAttributes, attentionBackwardOperation, attentionOperation } from "../../../ops/attention.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { float } from "../work.ts";

/** Keys (or queries) that a group shares at a time: their rows fit 16 KiB, the least that WebGPU promises. */
const sharedRows = (numbers: number): number => Math.max(1, Math.min(WIDTH / 2, Math.floor(3584 / numbers)));

/** Columns of qkv, and of the results, that belong to a head. */
interface Layout extends AttentionAttributes {
  readonly B: number;
  readonly T: number;
  readonly E: number;
  /** How many heads read one key. */
  readonly share: number;
}

function layoutOf(qkv: Tensor, attributes: AttentionAttributes): Layout {
  const [B = 1, T = 1, E = 1] = qkv.shape;
  return { ...attributes, B, T, E, share: attributes.heads / attributes.kvHeads };
}

const loop = (name: string, end: number, body: string): string =>
  `for (var ${name}: u32 = 0u; ${name} < ${u(end)}; ${name} += 1u) { ${body} }`;

/** The texts of where a head's query, key, value and result begin in a row. */
function columns({ heads, kvHeads, headSize, valueSize }: Layout): Record<"query" | "key" | "value", string> {
  return {
    query: `head * ${u(headSize)}`,
    key: `${u(heads * headSize)} + kvHead * ${u(headSize)}`,
    value: `${u((heads + kvHeads) * headSize)} + kvHead * ${u(valueSize)}`,
  };
}

/** A group of queries of one head: which, and the loop over the keys that any of them sees, `rows` at a time. */
function queryBody(layout: Layout, rows: number, start: string, each: string, end: string): string {
  const { heads, T, E, headSize: D, valueSize: V, share } = layout;
  const blocks = Math.ceil(T / WIDTH);
  const { query, key, value } = columns(layout);
  return `
  let b: u32 = group / ${u(heads * blocks)};
  let head: u32 = (group / ${u(blocks)}) % ${u(heads)};
  let kvHead: u32 = head / ${u(share)};
  let firstQuery: u32 = (group % ${u(blocks)}) * ${u(WIDTH)};
  let at: u32 = min(firstQuery + lane, ${u(T - 1)});
  let own: u32 = (b * ${u(T)} + at) * ${u(E)} + ${query};
  let result: u32 = ((b * ${u(T)} + at) * ${u(heads)} + head) * ${u(V)};
  let place: u32 = (b * ${u(heads)} + head) * ${u(T)} + at;
  var q: array<f32, ${D}>;
  ${loop("d", D, "q[d] = qkv[own + d];")}
${start}
  let seen: u32 = min(firstQuery + ${u(WIDTH)}, ${u(T)});
  for (var first: u32 = 0u; first < seen; first += ${u(rows)}) {
    for (var cell: u32 = lane; cell < ${u(rows * D)}; cell += ${u(WIDTH)}) {
      let row: u32 = min(first + cell / ${u(D)}, ${u(T - 1)});
      keys[cell] = qkv[(b * ${u(T)} + row) * ${u(E)} + ${key} + cell % ${u(D)}];
    }
    for (var cell: u32 = lane; cell < ${u(rows * V)}; cell += ${u(WIDTH)}) {
      let row: u32 = min(first + cell / ${u(V)}, ${u(T - 1)});
      values[cell] = qkv[(b * ${u(T)} + row) * ${u(E)} + ${value} + cell % ${u(V)}];
    }
    workgroupBarrier();
    for (var j: u32 = 0u; j < ${u(rows)}; j += 1u) {
      if (first + j <= at) {
        var score: f32 = 0.0f;
        ${loop("d", D, `score += q[d] * keys[j * ${u(D)} + d];`)}
        score = score * ${float(layout.scale)};
${each}
      }
    }
    workgroupBarrier();
  }
  if (firstQuery + lane < ${u(T)}) {
${end}
  }`;
}

const shared = (layout: Layout, rows: number): string[] => [
  `var<workgroup> keys: array<f32, ${rows * layout.headSize}>;`,
  `var<workgroup> values: array<f32, ${rows * layout.valueSize}>;`,
];

export const attention: readonly Implementation[] = [
  calls(
    attentionOperation,
    ({ qkv, out, lse }, attributes, context) => {
      const layout = layoutOf(qkv, attributes);
      const { B, T, heads, headSize: D, valueSize: V } = layout;
      const rows = sharedRows(D + V);
      const result = operand(context, out);
      context.emit(
        kernelCall({
          name: "attention",
          reads: { qkv: operand(context, qkv) },
          writes: { out: result, lse: operand(context, lse) },
          functions: shared(layout, rows),
          width: WIDTH,
          groups: B * heads * Math.ceil(T / WIDTH),
          body: queryBody(
            layout,
            rows,
            `  var o: array<f32, ${V}>;
  ${loop("d", V, "o[d] = 0.0f;")}
  var highest: f32 = fromBits(4286578688u);
  var total: f32 = 0.0f;`,
            `        let next: f32 = larger(highest, score);
        let keep: f32 = select(exponential(highest - next), 0.0f, total == 0.0f);
        // The first scores may be -Infinity, which has no share whatever the highest is.
        let p: f32 = select(exponential(score - next), 0.0f, bitcast<u32>(score) == 4286578688u);
        total = total * keep + p;
        highest = next;
        ${loop("d", V, `o[d] = o[d] * keep + p * values[j * ${u(V)} + d];`)}`,
            `    ${
              result.narrow
                ? `for (var d: u32 = 0u; d < ${u(V)}; d += 2u) { out[(result + d) / 2u] = packed(o[d] / total, o[d + 1u] / total); }`
                : loop("d", V, "out[result + d] = o[d] / total;")
            }
    lse[place] = highest + logarithm(total);`,
          ),
        }),
      );
    },
    { rounds: ({ attributes }) => (attributes as AttentionAttributes).valueSize % 2 === 0 },
  ),
  calls(attentionBackwardOperation, ({ qkv, out, lse, g, dqkv }, attributes, context) => {
    const layout = layoutOf(qkv, attributes);
    const { B, T, E, heads, kvHeads, headSize: D, valueSize: V, share, scale } = layout;
    const rows = sharedRows(D + V);
    const blocks = Math.ceil(T / WIDTH);
    const { query, key, value } = columns(layout);
    // The queries' part of dqkv, and g · o of each query: the second call reads them.
    const along = temporary(context, "along", B * heads * T);
    const dq = temporary(context, "dq", B * T * heads * D);
    const [packed, logSums, gradient] = [operand(context, qkv), operand(context, lse), operand(context, g)];
    context.emit(
      kernelCall({
        name: "attentionQueries",
        reads: { qkv: packed, out: operand(context, out), lse: logSums, g: gradient },
        writes: { dq, along },
        functions: shared(layout, rows),
        width: WIDTH,
        groups: B * heads * blocks,
        body: queryBody(
          layout,
          rows,
          `  var go: array<f32, ${V}>;
  var dOwn: array<f32, ${D}>;
  var product: f32 = 0.0f;
  ${loop("d", V, "go[d] = g[result + d]; product += go[d] * out[result + d];")}
  ${loop("d", D, "dOwn[d] = 0.0f;")}
  let logSum: f32 = lse[place];`,
          `        var dp: f32 = 0.0f;
        ${loop("d", V, `dp += go[d] * values[j * ${u(V)} + d];`)}
        let ds: f32 = ${float(scale)} * exponential(score - logSum) * (dp - product);
        ${loop("d", D, `dOwn[d] += ds * keys[j * ${u(D)} + d];`)}`,
          `    let to: u32 = ((b * ${u(T)} + at) * ${u(heads)} + head) * ${u(D)};
    ${loop("d", D, "dq[to + d] = dOwn[d];")}
    along[place] = product;`,
        ),
      }),
    );
    context.emit(
      kernelCall({
        name: "attentionKeys",
        reads: { qkv: packed, lse: logSums, g: gradient, along, dq },
        writes: { dqkv: operand(context, dqkv) },
        functions: shared(layout, rows),
        width: WIDTH,
        groups: B * kvHeads * blocks,
        flops: 0,
        body: `
  let b: u32 = group / ${u(kvHeads * blocks)};
  let kvHead: u32 = (group / ${u(blocks)}) % ${u(kvHeads)};
  let firstKey: u32 = (group % ${u(blocks)}) * ${u(WIDTH)};
  let at: u32 = min(firstKey + lane, ${u(T - 1)});
  let row: u32 = (b * ${u(T)} + at) * ${u(E)};
  var k: array<f32, ${D}>;
  var v: array<f32, ${V}>;
  var dk: array<f32, ${D}>;
  var dv: array<f32, ${V}>;
  ${loop("d", D, `k[d] = qkv[row + ${key} + d]; dk[d] = 0.0f;`)}
  ${loop("d", V, `v[d] = qkv[row + ${value} + d]; dv[d] = 0.0f;`)}
  for (var member: u32 = 0u; member < ${u(share)}; member += 1u) {
    let head: u32 = kvHead * ${u(share)} + member;
    for (var first: u32 = firstKey; first < ${u(T)}; first += ${u(rows)}) {
      for (var cell: u32 = lane; cell < ${u(rows * D)}; cell += ${u(WIDTH)}) {
        let i: u32 = min(first + cell / ${u(D)}, ${u(T - 1)});
        keys[cell] = qkv[(b * ${u(T)} + i) * ${u(E)} + ${query} + cell % ${u(D)}];
      }
      for (var cell: u32 = lane; cell < ${u(rows * V)}; cell += ${u(WIDTH)}) {
        let i: u32 = min(first + cell / ${u(V)}, ${u(T - 1)});
        values[cell] = g[((b * ${u(T)} + i) * ${u(heads)} + head) * ${u(V)} + cell % ${u(V)}];
      }
      workgroupBarrier();
      for (var j: u32 = 0u; j < ${u(rows)}; j += 1u) {
        let i: u32 = first + j;
        if (i >= at && i < ${u(T)}) {
          let place: u32 = (b * ${u(heads)} + head) * ${u(T)} + i;
          var score: f32 = 0.0f;
          ${loop("d", D, `score += k[d] * keys[j * ${u(D)} + d];`)}
          let p: f32 = exponential(score * ${float(scale)} - lse[place]);
          var dp: f32 = 0.0f;
          ${loop("d", V, `dp += v[d] * values[j * ${u(V)} + d]; dv[d] += p * values[j * ${u(V)} + d];`)}
          let ds: f32 = ${float(scale)} * p * (dp - along[place]);
          ${loop("d", D, `dk[d] += ds * keys[j * ${u(D)} + d];`)}
        }
      }
      workgroupBarrier();
    }
  }
  if (firstKey + lane < ${u(T)}) {
    ${loop("d", D, `dqkv[row + ${key} + d] = dk[d];`)}
    ${loop("d", V, `dqkv[row + ${value} + d] = dv[d];`)}
    for (var member: u32 = 0u; member < ${u(share)}; member += 1u) {
      let head: u32 = kvHead * ${u(share)} + member;
      let source: u32 = ((b * ${u(T)} + at) * ${u(heads)} + head) * ${u(D)};
      ${loop("d", D, `dqkv[row + ${query} + d] = dq[source + d];`)}
    }
  }`,
      }),
    );
  }),
];
