// Question: how does an NVIDIA GPU normalise rows by their root mean square, and what does the gradient cost?
//
//   y = w · x · s,  s = 1 / √(mean x² + ε)         dx = s (w g − x s · mean(w g x s)),  dw = Σ over rows of g x s
//
// A row stays in the registers of 1, 2, 4 or 8 warps, 16 bytes of each thread at a time, so every value is read and written
// once: bytes a row are 2 C values forward and 3 C backward (4 C where it adds to a gradient). Backward, a group goes
// through several rows and keeps its share of dw, which is summed over the groups afterwards. Sums go halves to halves, and
// warps in their order. Rows that are no multiple of 16 bytes, or too long, take the kernels of every GPU.

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { rmsNormBackwardOperation, rmsNormOperation } from "../../../ops/rms-norm.ts";
import { emitColumnSums } from "../../gpu/ops/reductions.ts";
import { LEAST_EPSILON, LESS, rmsNorm as everyGpu } from "../../gpu/ops/rms-norm.ts";
import { float } from "../../gpu/work.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { cudaCall, type CudaPlace, cudaOperand, cudaTemporary, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { chunkOf, vectors } from "./vectors.ts";

const WIDTH = 256;
const WARPS = WIDTH / 32;
/** Values of a row that a thread holds. */
const MOST_VALUES = 32;
/** Groups that busy a large GPU; each goes through as many rows as gives about so many. */
const GROUPS = 1024;
/** Fewer rows would make the shares as large as dx. */
const LEAST_ROWS = 16;
const MOST_ROUNDS = 16;

/** How the rows are dealt to warps; undefined where a thread would hold too much. */
function dealtRows(C: number, N: number): { readonly warps: number; readonly chunks: number } | undefined {
  for (const warps of [1, 2, 4, 8]) {
    const chunks = Math.ceil(C / (N * 32 * warps));
    if (chunks * N <= MOST_VALUES) return { warps, chunks };
  }
  return undefined;
}

const chunkOfAll = (...places: readonly (CudaPlace | undefined)[]): 4 | 8 =>
  chunkOf(...places.flatMap((place) => (place ? [place.type] : [])));

const fits = (context: LoweringContext, ...tensors: readonly Tensor[]): boolean => {
  const C = lastAxis(tensors[0]!.shape);
  return (
    C % 8 === 0 && dealtRows(C, chunkOfAll(...tensors.map((tensor) => cudaOperand(context, tensor)))) !== undefined
  );
};

/** `v[q]`, the chunks of the row; a thread's chunk q begins at `column(q)`. */
const declarations = (rows: number, C: number, N: number, epsilon: number): string => {
  const { warps, chunks } = dealtRows(C, N)!;
  const slots = WARPS / warps;
  return `${vectors}
constexpr int R = ${rows}, C = ${C}, N = ${N}, W = ${warps}, Q = ${chunks}, SLOTS = ${slots};
constexpr float LESS = ${float(LESS)};
DEVICE int column(int q, u32 lane) { return ((int)(lane % (32 * W)) + q * 32 * W) * N; }
${
  warps === 1
    ? "DEVICE float rowSum(float v, u32) { return warpSum(v); }"
    : `__shared__ float sums[2][${WARPS}];
/* Of the warps of the row; all threads must come, and take turns with two places. */
DEVICE float rowSum(float v, u32 lane, int turn) {
  v = warpSum(v);
  if (lane % 32 == 0) sums[turn][lane / 32] = v;
  __syncthreads();
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < W; w++) sum += sums[turn][lane / (32 * W) * W + w];
  return sum;
}`
}
DEVICE float inverseRms(const float (&v)[Q][N], u32 lane) {
  float squares = 0.0f, less = 0.0f;
#pragma unroll
  for (int q = 0; q < Q; q++)
#pragma unroll
    for (int k = 0; k < N; k++) {
      squares += v[q][k] * v[q][k];
      const float small = v[q][k] * LESS;
      less += small * small;
    }
  ${warps === 1 ? "const float total = rowSum(squares, lane), lessTotal = rowSum(less, lane);" : "const float total = rowSum(squares, lane, 0), lessTotal = rowSum(less, lane, 1);"}
  return (__float_as_uint(total) & 0x7f800000u) == 0x7f800000u
    ? LESS / sqrtf(lessTotal / ${float(C)})
    : 1.0f / sqrtf(total / ${float(C)} + ${float(epsilon === 0 ? 0 : Math.max(epsilon, LEAST_EPSILON))});
}
template <class T> DEVICE void loadRow(const T* p, float (&v)[Q][N], bool there, u32 lane) {
#pragma unroll
  for (int q = 0; q < Q; q++) {
    if (there && column(q, lane) < C) loadOwn<N>(p + column(q, lane), v[q]);
    else {
#pragma unroll
      for (int k = 0; k < N; k++) v[q][k] = 0.0f;
    }
  }
}`;
};

export const rmsNorm: readonly Own[] = [
  own(rmsNormOperation, everyGpu, {
    fits: ({ x, y }, _attributes, context) => fits(context, x, y),
    lower({ x, w, y }, { epsilon }, context) {
      const [rows, C] = [rowCount(x.shape), lastAxis(x.shape)];
      const [from, to] = [cudaOperand(context, x), cudaOperand(context, y)];
      const N = chunkOfAll(from, to);
      context.emit(
        cudaCall({
          name: "rmsNorm",
          reads: { x: from, w: floatOperand(context, w) },
          writes: { y: to },
          ...(from.type === to.type && { inPlace: { y: "x" } }),
          declarations: [declarations(rows, C, N, epsilon)],
          width: WIDTH,
          groups: Math.ceil(rows / (WARPS / dealtRows(C, N)!.warps)),
          body: `
const int row = group * SLOTS + lane / (32 * W);
const bool there = row < R;
float v[Q][N];
loadRow(x + (size_t)row * C, v, there, lane);
const float s = inverseRms(v, lane);
#pragma unroll
for (int q = 0; q < Q; q++) {
  if (!there || column(q, lane) >= C) continue;
  float scale[N];
  loadFew<N>(w + column(q, lane), scale);
#pragma unroll
  for (int k = 0; k < N; k++) v[q][k] *= s * scale[k];
  store<N>(y + (size_t)row * C + column(q, lane), v[q]);
}`,
        }),
      );
    },
  }),
  own(rmsNormBackwardOperation, everyGpu, {
    accumulates: true,
    fits: ({ x, g, dx }, _attributes, context) => fits(context, x, g, dx),
    lower({ x, w, g, dx, dw }, { epsilon }, context, addend) {
      const [rows, C] = [rowCount(x.shape), lastAxis(x.shape)];
      const before = addend && cudaOperand(context, addend);
      const [from, gradient, to] = [cudaOperand(context, x), cudaOperand(context, g), cudaOperand(context, dx)];
      const N = chunkOfAll(from, gradient, to, before);
      const slots = WARPS / dealtRows(C, N)!.warps;
      const rounds = Math.max(Math.ceil(LEAST_ROWS / slots), Math.min(MOST_ROUNDS, Math.ceil(rows / (GROUPS * slots))));
      const groups = Math.ceil(rows / (rounds * slots));
      const result = floatOperand(context, dw);
      const shares = groups === 1 ? result : cudaTemporary(context, "shares", 4 * groups * C, "f32");
      const shared = before ?? gradient;
      context.emit(
        cudaCall({
          name: "rmsNormBackward",
          reads: { x: from, w: floatOperand(context, w), g: gradient, ...(before && { before }) },
          writes: { dx: to, shares },
          ...(shared.type === to.type && { inPlace: { dx: before ? "before" : "g" } }),
          declarations: [declarations(rows, C, N, epsilon), ...(slots > 1 ? [`__shared__ float columns[${C}];`] : [])],
          width: WIDTH,
          groups,
          body: `
const int slot = lane / (32 * W);
float share[Q][N];
#pragma unroll
for (int q = 0; q < Q; q++)
#pragma unroll
  for (int k = 0; k < N; k++) share[q][k] = 0.0f;
#pragma unroll 1
for (int round = 0; round < ${rounds}; round++) {
  const int row = (group * ${rounds} + round) * SLOTS + slot;
  const bool there = row < R;
  const size_t at = (size_t)row * C;
  float v[Q][N], d[Q][N];
  loadRow(x + at, v, there, lane);
  loadRow(g + at, d, there, lane);
  const float s = inverseRms(v, lane);
  float product = 0.0f;
#pragma unroll
  for (int q = 0; q < Q; q++) {
    float scale[N];
    if (column(q, lane) >= C) continue;
    loadFew<N>(w + column(q, lane), scale);
#pragma unroll
    for (int k = 0; k < N; k++) {
      v[q][k] *= s;
      product += scale[k] * d[q][k] * v[q][k];
    }
  }
${dealtRows(C, N)!.warps === 1 ? "  const float along = rowSum(product, lane) / " : "  __syncthreads();\n  const float along = rowSum(product, lane, 0) / "}${float(C)};
#pragma unroll
  for (int q = 0; q < Q; q++) {
    if (!there || column(q, lane) >= C) continue;
    float scale[N], sum[N];
    loadFew<N>(w + column(q, lane), scale);
    ${before ? "loadOwn<N>(before + at + column(q, lane), sum);" : ""}
#pragma unroll
    for (int k = 0; k < N; k++) {
      share[q][k] += d[q][k] * v[q][k];
      sum[k] = ${before ? "sum[k] + " : ""}s * (scale[k] * d[q][k] - v[q][k] * along);
    }
    store<N>(dx + at + column(q, lane), sum);
  }
${dealtRows(C, N)!.warps === 1 ? "" : "  __syncthreads();"}
}
${
  slots === 1
    ? ""
    : `
#pragma unroll 1
for (int other = 0; other < SLOTS - 1; other++) {
  if (slot == other) {
#pragma unroll
    for (int q = 0; q < Q; q++)
#pragma unroll
      for (int k = 0; k < N; k++)
        if (column(q, lane) < C) columns[column(q, lane) + k] = share[q][k];
  }
  __syncthreads();
  if (slot == SLOTS - 1) {
#pragma unroll
    for (int q = 0; q < Q; q++)
#pragma unroll
      for (int k = 0; k < N; k++)
        if (column(q, lane) < C) share[q][k] += columns[column(q, lane) + k];
  }
  __syncthreads();
}`
}
if (slot == SLOTS - 1) {
#pragma unroll
  for (int q = 0; q < Q; q++)
    if (column(q, lane) < C) store<N>(shares + (size_t)group * C + column(q, lane), share[q]);
}`,
        }),
      );
      if (groups > 1)
        emitColumnSums(
          context,
          { buffer: shares.buffer, type: "f32" },
          { buffer: result.buffer, type: "f32" },
          groups,
          C,
        );
    },
  }),
];
