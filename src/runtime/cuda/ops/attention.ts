// Question: how does an NVIDIA GPU attend by tensor cores, storing nothing of size T × T, and the same bits each time?
//
//   s_ij = scale · q_i · k_j (j ≤ i),  p_ij = e^(s_ij − lse_i),  o_i = Σ_j p_ij v_j,  a_i = g_i · o_i
//   ds_ij = scale · p_ij (g_i · v_j − a_i),  dq_i = Σ_j ds_ij k_j,  dk_j = Σ_i ds_ij q_i,  dv_j = Σ_i p_ij g_i
//
// Shapes: ops/attention.ts. Four warps, 16 rows each. Forward: 64 queries of one head stay, keys and values pass KEYS at a
// time by copies that run one block ahead; the softmax is kept up to date as they pass (Dao 2023, arXiv 2307.08691), in
// float32 and powers of two. Backward: one kernel for dq by blocks of queries, and one for dk and dv by blocks of keys,
// which goes through the queries of all heads that read them. Each result has one writer, so there are no atomics;
// scores are computed once more for that. Blocks beyond the diagonal are left out.
//
// Bytes: the operands once for each block of 64 that passes by, from the second cache; of memory about each once.

import type { Tensor } from "../../../graph/tensor.ts";
import { type AttentionAttributes, attentionBackwardOperation, attentionOperation } from "../../../ops/attention.ts";
import { attention as everyGpu } from "../../gpu/ops/attention.ts";
import { float } from "../../gpu/work.ts";
import { cudaCall, type CudaPlace, cudaOperand, cudaTemporary, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { paddedColumns, tileBytes, tiles, tileStride, type TileType } from "./tiles.ts";

/** Rows that stay with a group: 16 for each of its warps. */
const ROWS = 64;
const THREADS = 128;
/** A group takes no more of shared memory than this, where a GPU has more. */
const MOST_SHARED = 160 * 1024;

interface Layout extends AttentionAttributes {
  readonly B: number;
  readonly T: number;
  readonly E: number;
  readonly type: TileType;
  /** Bytes that a group may share. */
  readonly shared: number;
}

/** Rows that pass at a time, how many times they lie in shared memory, and how many bytes that and what stays take. */
interface Passing {
  readonly rows: number;
  readonly stages: number;
  readonly bytes: number;
}

type LayoutRule = (qkv: Tensor, attributes: AttentionAttributes, place: CudaPlace) => Layout;

const layoutFor =
  (sharedBytes: number): LayoutRule =>
  (qkv, attributes, { type }) => {
    const [B = 1, T = 1, E = 1] = qkv.shape;
    const shared = Math.min(MOST_SHARED, sharedBytes);
    return { ...attributes, B, T, E, type: type === "bf16" ? "bf16" : "f32", shared };
  };

/**
 * What fits: rather more rows than two stages.
 *
 * @param staying how many tiles of headSize columns and of valueSize columns stay
 * @param choices rows that may pass at a time, the most first
 */
function passing(
  { headSize, valueSize, type, shared }: Layout,
  staying: { readonly keys: number; readonly values: number },
  choices: readonly number[],
): Passing | undefined {
  const fixed = staying.keys * tileBytes(ROWS, headSize, type) + staying.values * tileBytes(ROWS, valueSize, type);
  for (const rows of choices) {
    for (const stages of [2, 1]) {
      const bytes = fixed + stages * (tileBytes(rows, headSize, type) + tileBytes(rows, valueSize, type));
      if (bytes <= shared) return { rows, stages, bytes };
    }
  }
  return undefined;
}

const forwardPassing = (layout: Layout): Passing | undefined => passing(layout, { keys: 1, values: 0 }, [64, 32]);
/** Registers hold dq, the scores and their gradients: of wide heads fewer keys pass at a time. */
const queriesPassing = (layout: Layout): Passing | undefined =>
  passing(layout, { keys: 1, values: 1 }, paddedColumns(layout.headSize) > 128 ? [32] : [64, 32]);
/** Registers hold dk and dv, the scores and their gradients: of wide heads fewer queries pass at a time. */
function keysPassing(layout: Layout): Passing | undefined {
  const wide = paddedColumns(layout.headSize) + paddedColumns(layout.valueSize);
  if (wide > 320) return undefined;
  return passing(layout, { keys: 1, values: 1 }, wide <= 128 ? [64, 32, 16] : wide <= 256 ? [32, 16] : [16]);
}

function constants(layout: Layout, { rows, stages }: Passing): string {
  const { B, T, E, heads, kvHeads, headSize: D, valueSize: V, scale, type } = layout;
  const aligned = [D, V].every((size) => size % (type === "bf16" ? 8 : 4) === 0);
  return `${tiles(type, THREADS, aligned)}
constexpr int B = ${B}, T = ${T}, heads = ${heads}, kvHeads = ${kvHeads}, share = ${heads / kvHeads};
constexpr size_t E = ${E};
constexpr int D = ${D}, V = ${V}, DP = ${paddedColumns(D)}, VP = ${paddedColumns(V)};
constexpr int SD = ${tileStride(D, type)}, SV = ${tileStride(V, type)};
constexpr int ROWS = ${ROWS}, PASS = ${rows}, STAGES = ${stages};
constexpr int blocks = (T + ROWS - 1) / ROWS;
/* Scores are powers of two. */
constexpr float scale = ${float(scale)}, scale2 = ${float(scale * Math.LOG2E)}, LN2 = ${float(Math.LN2)}, LOG2E = ${float(Math.LOG2E)};
constexpr int DT = DP / 8, VT = VP / 8, NT = PASS / 8;
DEVICE float fourMax(float x) { x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1)); return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2)); }
DEVICE float fourSum(float x) { x += __shfl_xor_sync(0xffffffffu, x, 1); return x + __shfl_xor_sync(0xffffffffu, x, 2); }
DEVICE float asFloat(float x) { return x; }
DEVICE float asFloat(bf16 x) { return fromBf16(x); }`;
}

/** The loop over blocks that pass: \`load(block, stage)\` begins copies, \`work\` knows \`block\` and \`stage\`. */
const pass = (load: (block: string, stage: string) => string, work: string): string => `
${load("0", "0")}
copyAsyncGroup();
#pragma unroll 1
for (int block = 0; block < count; block++) {
  const int stage = block % STAGES;
  if (STAGES == 2) {
    if (block + 1 < count) { ${load("block + 1", "(block + 1) % STAGES")} }
    copyAsyncGroup();
    copyAsyncWait<1>();
  } else {
    if (block > 0) { ${load("block", "0")} copyAsyncGroup(); }
    copyAsyncWait<0>();
  }
  __syncthreads();
${work}
  __syncthreads();
}`;

/** A block of queries of a head; the longest first, so that the short ones fill the end. */
const queryBlock = `
const int w = lane / 32, l = lane % 32, g = l / 4, t = l % 4;
const int first = (blocks - 1 - (int)group / (B * heads)) * ROWS, own = first + 16 * w;
const int head = (int)group % (B * heads) % heads, b = (int)group % (B * heads) / heads;
const Element* const from = (const Element*)qkv + (size_t)b * T * E;
const Element* const keys = from + heads * D + head / share * D;
const Element* const values = from + (heads + kvHeads) * D + head / share * V;
const int count = ((first + ROWS < T ? first + ROWS : T) + PASS - 1) / PASS;
const int there = T - own;
const size_t place = (size_t)(b * heads + head) * T;
Element* const q = (Element*)shared;`;

const loadKeys = (block: string, stage: string): string => `
    loadTile<PASS, D, SD>(k + ${stage} * PASS * SD, keys + (size_t)(${block}) * PASS * E, E, T - (${block}) * PASS, lane);
    loadTile<PASS, V, SV>(v + ${stage} * PASS * SV, values + (size_t)(${block}) * PASS * E, E, T - (${block}) * PASS, lane);`;

/** @param sharedBytes what a group may have of shared memory */
export function attention(sharedBytes: number): readonly Own[] {
  const layoutOf = layoutFor(sharedBytes);
  return [
    own(attentionOperation, everyGpu, {
      fits: ({ qkv }, attributes, context) =>
        forwardPassing(layoutOf(qkv, attributes, cudaOperand(context, qkv))) !== undefined,
      lower({ qkv, out, lse }, attributes, context) {
        const packed = cudaOperand(context, qkv);
        const layout = layoutOf(qkv, attributes, packed);
        const passed = forwardPassing(layout)!;
        context.emit(
          cudaCall({
            name: "attention",
            reads: { qkv: packed },
            writes: { out: cudaOperand(context, out), lse: floatOperand(context, lse) },
            declarations: [constants(layout, passed)],
            width: THREADS,
            groups: layout.B * layout.heads * Math.ceil(layout.T / ROWS),
            sharedBytes: passed.bytes,
            body: `${queryBlock}
Element* const k = q + ROWS * SD;
Element* const v = k + STAGES * PASS * SD;
loadTile<ROWS, D, SD>(q, from + (size_t)first * E + head * D, E, T - first, lane);
float o[VT][4], highest[2] = {__uint_as_float(0xff800000u), __uint_as_float(0xff800000u)}, total[2] = {0.0f, 0.0f};
clear(o);
${pass(
  loadKeys,
  `  const int at = block * PASS;
  if (at <= own + 15) {
    float s[NT][4];
    clear(s);
    multiplyT<NT, DP, SD, SD>(s, q + 16 * w * SD, k + stage * PASS * SD, l);
    float next[2] = {highest[0], highest[1]};
#pragma unroll
    for (int nt = 0; nt < NT; nt++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int key = at + 8 * nt + 2 * t + e % 2, query = own + g + 8 * (e / 2);
        s[nt][e] = key <= query ? s[nt][e] * scale2 : __uint_as_float(0xff800000u);
        next[e / 2] = fmaxf(next[e / 2], s[nt][e]);
      }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      next[r] = fourMax(next[r]);
      const float keep = exp2f(highest[r] - next[r]);
      highest[r] = next[r];
      total[r] *= keep;
#pragma unroll
      for (int nt = 0; nt < VT; nt++) { o[nt][2 * r] *= keep; o[nt][2 * r + 1] *= keep; }
    }
#pragma unroll
    for (int nt = 0; nt < NT; nt++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[nt][e] = exp2f(s[nt][e] - highest[e / 2]);
        total[e / 2] += s[nt][e];
      }
    multiply<VT, NT, SV>(o, s, v + stage * PASS * SV, l);
  }`,
)}
#pragma unroll
for (int r = 0; r < 2; r++) {
  total[r] = fourSum(total[r]);
  const float inverse = 1.0f / total[r];
#pragma unroll
  for (int nt = 0; nt < VT; nt++) { o[nt][2 * r] *= inverse; o[nt][2 * r + 1] *= inverse; }
  if (t == 0 && g + 8 * r < there) lse[place + own + g + 8 * r] = (highest[r] + log2f(total[r])) * LN2;
}
storeTile<VT, V>(out + ((size_t)(b * T + own) * heads + head) * V, (size_t)heads * V, o, there, l);`,
          }),
        );
      },
    }),
    own(attentionBackwardOperation, everyGpu, {
      fits({ qkv, out, g }, attributes, context) {
        const layout = layoutOf(qkv, attributes, cudaOperand(context, qkv));
        const types = [qkv, out, g].map((tensor) => cudaOperand(context, tensor).type);
        return new Set(types).size === 1 && queriesPassing(layout) !== undefined && keysPassing(layout) !== undefined;
      },
      lower({ qkv, out, lse, g, dqkv }, attributes, context) {
        const packed = cudaOperand(context, qkv);
        const layout = layoutOf(qkv, attributes, packed);
        const { B, T, heads, kvHeads } = layout;
        const blocks = Math.ceil(T / ROWS);
        const logSums = floatOperand(context, lse);
        const [gradient, result] = [cudaOperand(context, g), cudaOperand(context, dqkv)];
        // The second call reads it, and so comes after the first: both write parts of dqkv.
        const along = cudaTemporary(context, "along", 4 * B * heads * T, "f32");
        const queries = queriesPassing(layout)!;
        context.emit(
          cudaCall({
            name: "attentionQueries",
            reads: { qkv: packed, out: cudaOperand(context, out), lse: logSums, gradient },
            writes: { dqkv: result, along },
            declarations: [constants(layout, queries)],
            width: THREADS,
            groups: B * heads * blocks,
            sharedBytes: queries.bytes,
            body: `${queryBlock}
Element* const go = q + ROWS * SD;
Element* const k = go + ROWS * SV;
Element* const v = k + STAGES * PASS * SD;
const size_t results = ((size_t)b * T * heads + head) * V;
loadTile<ROWS, D, SD>(q, from + (size_t)first * E + head * D, E, T - first, lane);
loadTile<ROWS, V, SV>(go, (const Element*)gradient + results + (size_t)first * heads * V, (size_t)heads * V, T - first, lane);
float dq[DT][4], logSum[2], product[2];
clear(dq);
#pragma unroll
for (int r = 0; r < 2; r++) {
  const int query = own + g + 8 * r;
  const bool is = query < T;
  const size_t at = results + (size_t)(is ? query : first) * heads * V;
  float sum = 0.0f;
  for (int c = t; c < V; c += 4) sum += asFloat(gradient[at + c]) * asFloat(out[at + c]);
  product[r] = fourSum(sum);
  logSum[r] = is ? lse[place + query] * LOG2E : 0.0f;
  if (t == 0 && is) along[place + query] = product[r];
}
${pass(
  loadKeys,
  `  const int at = block * PASS;
  if (at <= own + 15) {
    float s[NT][4], dp[NT][4];
    clear(s);
    clear(dp);
    multiplyT<NT, DP, SD, SD>(s, q + 16 * w * SD, k + stage * PASS * SD, l);
    multiplyT<NT, VP, SV, SV>(dp, go + 16 * w * SV, v + stage * PASS * SV, l);
#pragma unroll
    for (int nt = 0; nt < NT; nt++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int key = at + 8 * nt + 2 * t + e % 2, query = own + g + 8 * (e / 2);
        const float p = key <= query && query < T ? exp2f(s[nt][e] * scale2 - logSum[e / 2]) : 0.0f;
        s[nt][e] = scale * p * (dp[nt][e] - product[e / 2]);
      }
    multiply<DT, NT, SD>(dq, s, k + stage * PASS * SD, l);
  }`,
)}
storeTile<DT, D>(dqkv + (size_t)(b * T + own) * E + head * D, E, dq, there, l);`,
          }),
        );
        const keys = keysPassing(layout)!;
        context.emit(
          cudaCall({
            name: "attentionKeys",
            reads: { qkv: packed, lse: logSums, gradient, along },
            writes: { dqkv: result },
            declarations: [constants(layout, keys)],
            width: THREADS,
            groups: B * kvHeads * blocks,
            sharedBytes: keys.bytes,
            flops: 0,
            body: `
const int w = lane / 32, l = lane % 32, g = l / 4, t = l % 4;
const int first = (int)group / (B * kvHeads) * ROWS, own = first + 16 * w;
const int kvHead = (int)group % (B * kvHeads) % kvHeads, b = (int)group % (B * kvHeads) / kvHeads;
const Element* const from = (const Element*)qkv + (size_t)b * T * E;
const int keyColumn = heads * D + kvHead * D, valueColumn = (heads + kvHeads) * D + kvHead * V;
const int firstBlock = first / PASS, each = (T + PASS - 1) / PASS - firstBlock, count = share * each;
Element* const k = (Element*)shared;
Element* const v = k + ROWS * SD;
Element* const q = v + ROWS * SV;
Element* const go = q + STAGES * PASS * SD;
loadTile<ROWS, D, SD>(k, from + (size_t)first * E + keyColumn, E, T - first, lane);
loadTile<ROWS, V, SV>(v, from + (size_t)first * E + valueColumn, E, T - first, lane);
float dk[DT][4], dv[VT][4];
clear(dk);
clear(dv);
${pass(
  (block, stage) => `{
      const int head = kvHead * share + (${block}) / each, at = (firstBlock + (${block}) % each) * PASS;
      loadTile<PASS, D, SD>(q + ${stage} * PASS * SD, from + (size_t)at * E + head * D, E, T - at, lane);
      loadTile<PASS, V, SV>(go + ${stage} * PASS * SV, (const Element*)gradient + ((size_t)(b * T + at) * heads + head) * V, (size_t)heads * V, T - at, lane);
    }`,
  `  const int head = kvHead * share + block / each, at = (firstBlock + block % each) * PASS;
  if (at + PASS > own) {
    const size_t place = (size_t)(b * heads + head) * T;
    float s[NT][4], dp[NT][4];
    clear(s);
    clear(dp);
    multiplyT<NT, DP, SD, SD>(s, k + 16 * w * SD, q + stage * PASS * SD, l);
    multiplyT<NT, VP, SV, SV>(dp, v + 16 * w * SV, go + stage * PASS * SV, l);
#pragma unroll
    for (int nt = 0; nt < NT; nt++) {
#pragma unroll
      for (int c = 0; c < 2; c++) {
        const int query = at + 8 * nt + 2 * t + c;
        const size_t there = place + (query < T ? query : 0);
        const float logSum = lse[there] * LOG2E, product = along[there];
#pragma unroll
        for (int r = 0; r < 2; r++) {
          float& score = s[nt][2 * r + c];
          score = own + g + 8 * r <= query && query < T ? exp2f(score * scale2 - logSum) : 0.0f;
          dp[nt][2 * r + c] = scale * score * (dp[nt][2 * r + c] - product);
        }
      }
    }
    multiply<VT, NT, SV>(dv, s, go + stage * PASS * SV, l);
    multiply<DT, NT, SD>(dk, dp, q + stage * PASS * SD, l);
  }`,
)}
storeTile<DT, D>(dqkv + (size_t)(b * T + own) * E + keyColumn, E, dk, T - own, l);
storeTile<VT, V>(dqkv + (size_t)(b * T + own) * E + valueColumn, E, dv, T - own, l);`,
          }),
        );
      },
    }),
  ];
}
