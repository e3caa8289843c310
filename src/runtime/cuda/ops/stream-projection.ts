// Question: how does an NVIDIA GPU project the streams to coefficients by tensor cores, while it reads them once?
//
//   p = s · (x wᵀ),  s = 1 / sqrt(mean(x²) + epsilon)
//   draw = s · dp,  dx = draw · w − (s² / K) (Σ_m dp_m p_m) · x,  dw = drawᵀ · x
//
// Shapes: x [rows, K], w [P, K], p [rows, P], s [rows]; P is n² + 2n for mHC, at most 32 here.
// Forward: a group of 8 warps has 64 rows; each warp takes 32 rows over a quarter of the units of K, 16 bytes of a row
// a lane, which is a fragment of x as it lies. w is packed beforehand to fragments of two halves: of bfloat16 (17 bits
// together; x is exact), or of tf32, with three products, for float32 streams. Squares are summed beside. The quarters
// are added in order. Bytes: x once; w, 4 P K bytes, for each group of 64 rows from the cache.
// Backward: projection-backward.ts. dw of bfloat16 streams: a thread has the sums of four columns in its registers and
// goes down a part of the rows; the parts are added up in order.
// Other shapes take the kernels of every GPU.

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import {
  projectionRows,
  streamProjectionBackwardOperation,
  streamProjectionOperation,
} from "../../../ops/stream-projection.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { emitColumnSums } from "../../gpu/ops/reductions.ts";
import { LESS } from "../../gpu/ops/rms-norm.ts";
import { streamProjection as everyGpu } from "../../gpu/ops/stream-projection.ts";
import { float } from "../../gpu/work.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { cudaCall, type CudaPlace, cudaOperand, cudaTemporary, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { emitProjectionBackward, FOUR, fours, MOST_COLUMNS } from "./projection-backward.ts";
import { vectors } from "./vectors.ts";

/** Rows of a group, forward. */
export const ROWS = 64;
/** Warps that share the inner index of the same rows. */
export const SLICES = 4;
const WIDTH = 32 * SLICES * 2;
/** dw: threads of a group, and the most parts of the rows. */
const WIDTH_WEIGHT = 128;
const MOST_PARTS = 32;
/** The least epsilon that is no denormal number. */
const LEAST_EPSILON = 2 ** -126;

/** Values of a row that four lanes take together: 16 bytes each. */
export const unitOf = ({ type }: CudaPlace): number => (type === "bf16" ? 32 : 16);

export const split: Readonly<Record<"f32" | "bf16", string>> = {
  bf16: `
/* Eight values as bfloat16, and their rests. */
DEVICE void split(const float* v, uint4& large, uint4& small) {
  u32 a[4], b[4];
#pragma unroll
  for (int q = 0; q < 4; q++) {
    a[q] = packBf16(v[2 * q], v[2 * q + 1]);
    b[q] = packBf16(v[2 * q] - lowBf16(a[q]), v[2 * q + 1] - highBf16(a[q]));
  }
  large = make_uint4(a[0], a[1], a[2], a[3]);
  small = make_uint4(b[0], b[1], b[2], b[3]);
}
DEVICE void multiply(float* c, uint4 a, uint4 b, uint4 large, uint4 small) {
  mmaBf16(c, a.x, b.x, a.y, b.y, small.x, small.y);
  mmaBf16(c, a.z, b.z, a.w, b.w, small.z, small.w);
  mmaBf16(c, a.x, b.x, a.y, b.y, large.x, large.y);
  mmaBf16(c, a.z, b.z, a.w, b.w, large.z, large.w);
}`,
  f32: `
DEVICE u32 largePart(u32 x) { return x & 0xffffe000u; }
DEVICE u32 smallPart(u32 x) { return __float_as_uint(__uint_as_float(x) - __uint_as_float(x & 0xffffe000u)); }
/* Four values as tf32, and their rests. */
DEVICE void split(const float* v, uint4& large, uint4& small) {
  u32 w[4];
#pragma unroll
  for (int q = 0; q < 4; q++) w[q] = __float_as_uint(v[q]);
  large = make_uint4(largePart(w[0]), largePart(w[1]), largePart(w[2]), largePart(w[3]));
  small = make_uint4(smallPart(w[0]), smallPart(w[1]), smallPart(w[2]), smallPart(w[3]));
}
DEVICE void multiply(float* c, uint4 a, uint4 b, uint4 large, uint4 small) {
  mmaTf32(c, largePart(a.x), largePart(b.x), largePart(a.y), largePart(b.y), small.x, small.y);
  mmaTf32(c, largePart(a.z), largePart(b.z), largePart(a.w), largePart(b.w), small.z, small.w);
  mmaTf32(c, smallPart(a.x), smallPart(b.x), smallPart(a.y), smallPart(b.y), large.x, large.y);
  mmaTf32(c, smallPart(a.z), smallPart(b.z), smallPart(a.w), smallPart(b.w), large.z, large.w);
  mmaTf32(c, largePart(a.x), largePart(b.x), largePart(a.y), largePart(b.y), large.x, large.y);
  mmaTf32(c, largePart(a.z), largePart(b.z), largePart(a.w), largePart(b.w), large.z, large.w);
}`,
};

/** Values of a unit, as floats. */
export const asValues = `
DEVICE float asFloat(float v) { return v; }
DEVICE float asFloat(bf16 v) { return fromBf16(v); }
DEVICE void values(uint4 w, float (&v)[8]) { widen(w, v); }
DEVICE void values(uint4 w, float (&v)[4]) { spread(w, v); }`;

/** The fragments of w, [units, tiles, large and small, lanes] of 16 bytes. */
export function emitFragments(context: LoweringContext, w: Tensor, x: CudaPlace): CudaPlace {
  const [P, K] = [rowCount(w.shape), lastAxis(w.shape)];
  const unit = unitOf(x);
  const [units, tiles] = [K / unit, Math.ceil(P / 8)];
  const fragments = cudaTemporary(context, "fragments", units * tiles * 2 * 32 * 16, "u32");
  const count = units * tiles * 32;
  context.emit(
    cudaCall({
      name: "projectionFragments",
      reads: { w: floatOperand(context, w) },
      writes: { fragments },
      declarations: [vectors, split[x.type === "bf16" ? "bf16" : "f32"]],
      width: 256,
      groups: Math.ceil(count / 256),
      flops: 0,
      body: `
constexpr int N = ${unit / 4};
const u32 id = group * 256u + lane, l = id % 32, tile = id / 32 % ${tiles}u, unit = id / ${32 * tiles}u;
if (id >= ${count}u) return;
const u32 row = 8 * tile + l / 4;
float v[N];
#pragma unroll
for (int k = 0; k < N; k++) v[k] = 0.0f;
if (row < ${P}u) load<N>(w + (size_t)row * ${K}u + unit * ${unit}u + l % 4 * N, v);
uint4 large, small;
split(v, large, small);
uint4* const to = (uint4*)fragments + (size_t)(unit * ${tiles}u + tile) * 64 + l;
to[0] = large;
to[32] = small;`,
    }),
  );
  return fragments;
}

/** Bytes in which the slices' parts of so many columns are added. */
export const partsBytes = (columns: number): number => 4 * (SLICES * ROWS * partsStride(columns) + ROWS);
export const partsStride = (columns: number): number => 8 * Math.ceil(columns / 8) + 1;

/**
 * The end of a projection of ROWS rows from `first` on: the slices' parts of products and squares, which lie in shared
 * memory, are added in order, and scaled. `from` is what was projected.
 */
export const projectionEnd = ({
  from,
  width,
  epsilon,
}: {
  readonly from: string;
  readonly width: number;
  readonly epsilon: number;
}): string => `if (lane < ${ROWS}u && first + (int)lane < R) {
  float total = 0.0f;
  for (int k = 0; k < ${SLICES}; k++) total += parts[(k * ${ROWS} + lane) * STRIDE + 8 * PT];
  float scale = 1.0f / sqrtf(total / K + ${float(epsilon === 0 ? 0 : Math.max(epsilon, LEAST_EPSILON))});
  if ((__float_as_uint(total) & 0x7f800000u) == 0x7f800000u) {
    /* Squares that float32 cannot hold: of smaller values, one after the other. */
    float less = 0.0f;
    for (int k = 0; k < K; k++) {
      const float e = asFloat(${from}[(size_t)(first + lane) * K + k]) * ${float(LESS)};
      less += e * e;
    }
    scale = ${float(LESS)} / sqrtf(less / K);
  }
  scales[lane] = scale;
  norms[first + lane] = scale;
}
__syncthreads();
for (int id = lane; id < ${ROWS} * P; id += ${width}) {
  const int row = id / P, m = id % P;
  if (first + row >= R) break;
  float total = 0.0f;
#pragma unroll
  for (int k = 0; k < ${SLICES}; k++) total += parts[(k * ${ROWS} + row) * STRIDE + m];
  p[(size_t)first * P + id] = scales[row] * total;
}`;

/** @param sharedBytes what a group may have of shared memory */
export function streamProjection(sharedBytes: number): readonly Own[] {
  return [
    own(streamProjectionOperation, everyGpu, {
      fits({ x, w }, attributes, context) {
        const { length: K } = projectionRows(x, attributes);
        const columns = rowCount(w.shape);
        const divides = K % unitOf(cudaOperand(context, x)) === 0;
        return columns <= MOST_COLUMNS && partsBytes(columns) <= sharedBytes && divides;
      },
      lower({ x, w, p, s }, attributes, context) {
        const { rows, length: K } = projectionRows(x, attributes);
        const { epsilon } = attributes;
        const P = rowCount(w.shape);
        const tiles = Math.ceil(P / 8);
        const from = cudaOperand(context, x);
        // All streams of some channels, then of others: the order of streamWriteProjection, which gives the same bits.
        const { channels, streams: n } = streamSizes(x);
        const streams = K > channels && channels % unitOf(from) === 0 ? n : 1;
        const fragments = emitFragments(context, w, from);
        const stride = partsStride(P);
        context.emit(
          cudaCall({
            name: "streamProjection",
            reads: { x: from, fragments },
            writes: { p: floatOperand(context, p), norms: floatOperand(context, s) },
            declarations: [
              vectors,
              split[from.type === "bf16" ? "bf16" : "f32"],
              `constexpr int R = ${rows}, K = ${K}, P = ${P}, PT = ${tiles}, UNIT = ${unitOf(from)}, UNITS = K / UNIT, PARTS = UNITS / ${streams}, N = UNIT / 4;
${asValues}`,
            ],
            width: WIDTH,
            groups: Math.ceil(rows / ROWS),
            groupsAtOnce: 2,
            sharedBytes: partsBytes(P),
            body: `
const int w = lane / 32, l = lane % 32, g = l / 4, t = l % 4;
const int first = (int)group * ${ROWS}, half = w % 2 * 32, slice = w / 2;
float acc[2][PT][4], squares[2][2];
#pragma unroll
for (int m = 0; m < 2; m++) {
  squares[m][0] = squares[m][1] = 0.0f;
#pragma unroll
  for (int j = 0; j < PT; j++) acc[m][j][0] = acc[m][j][1] = acc[m][j][2] = acc[m][j][3] = 0.0f;
}
for (int part = slice; part < PARTS; part += ${SLICES})
#pragma unroll 2
for (int unit = part; unit < UNITS; unit += PARTS) {
  uint4 v[2][2];
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int row = min(first + half + 16 * m + 8 * r + g, R - 1);
      v[m][r] = loadOnce((const uint4*)(x + (size_t)row * K + unit * UNIT + t * N));
    }
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float e[N];
      values(v[m][r], e);
#pragma unroll
      for (int k = 0; k < N; k++) squares[m][r] += e[k] * e[k];
    }
  const uint4* const from = (const uint4*)fragments + (size_t)unit * PT * 64 + l;
#pragma unroll
  for (int j = 0; j < PT; j++) {
    const uint4 large = loadConstant(from + j * 64), small = loadConstant(from + j * 64 + 32);
#pragma unroll
    for (int m = 0; m < 2; m++) multiply(acc[m][j], v[m][0], v[m][1], large, small);
  }
}
constexpr int STRIDE = ${stride};
float* const parts = (float*)shared;
float* const scales = parts + ${SLICES * ROWS} * STRIDE;
#pragma unroll
for (int m = 0; m < 2; m++)
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float sum = squares[m][r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    float* const to = parts + (slice * ${ROWS} + half + 16 * m + 8 * r + g) * STRIDE;
    if (t == 0) to[8 * PT] = sum;
#pragma unroll
    for (int j = 0; j < PT; j++) {
      to[8 * j + 2 * t] = acc[m][j][2 * r];
      to[8 * j + 2 * t + 1] = acc[m][j][2 * r + 1];
    }
  }
__syncthreads();
${projectionEnd({ from: "x", width: WIDTH, epsilon })}`,
          }),
        );
      },
    }),
    own(streamProjectionBackwardOperation, everyGpu, {
      accumulates: true,
      fits({ x, w }, attributes) {
        const { length: K } = projectionRows(x, attributes);
        return rowCount(w.shape) <= MOST_COLUMNS && K % FOUR === 0;
      },
      lower(tensors, attributes, context, addend) {
        emitProjectionBackward(context, projectionRows(tensors.x, attributes), tensors, addend);
      },
    }),
  ];
}

/** Whether \`emitTransposedProduct\` can do aᵀ b, a [rows, P], b [rows, K]. */
export function isTransposedProduct(P: number, K: number, a: CudaPlace, b: CudaPlace): boolean {
  return a.type === "f32" && b.type === "bf16" && P <= MOST_COLUMNS && K % FOUR === 0;
}

/** c [P, K] = aᵀ b of few columns of float32 by many of bfloat16, which need not be widened in memory. */
export function emitTransposedProduct(
  context: LoweringContext,
  { rows, P, K }: { readonly rows: number; readonly P: number; readonly K: number },
  { a, b, c }: { readonly a: CudaPlace; readonly b: CudaPlace; readonly c: CudaPlace },
): void {
  const each = Math.max(ROWS, Math.ceil(rows / MOST_PARTS));
  const parts = Math.ceil(rows / each);
  const slices = Math.ceil(K / (FOUR * WIDTH_WEIGHT));
  const sums = parts === 1 ? c : cudaTemporary(context, "parts", 4 * parts * P * K, "f32");
  context.emit(
    cudaCall({
      name: "transposedProduct",
      reads: { a, b },
      writes: { sums },
      declarations: [
        vectors,
        fours,
        `constexpr int R = ${rows}, K = ${K}, P = ${P}, EACH = ${each};
__shared__ float some[32 * P];`,
      ],
      width: WIDTH_WEIGHT,
      groups: slices * parts,
      body: `
const int part = (int)group / ${slices}, c = ((int)group % ${slices} * ${WIDTH_WEIGHT} + (int)lane) * ${FOUR};
const int end = min((part + 1) * EACH, R);
float total[P][4];
#pragma unroll
for (int m = 0; m < P; m++) total[m][0] = total[m][1] = total[m][2] = total[m][3] = 0.0f;
for (int begin = part * EACH; begin < end; begin += 32) {
  const int there = min(32, end - begin);
  __syncthreads();
  for (int id = lane; id < there * P; id += ${WIDTH_WEIGHT}) some[id] = a[(size_t)begin * P + id];
  __syncthreads();
  if (c < K) {
#pragma unroll 2
    for (int row = 0; row < there; row++) {
      float v[4];
      loadFour(b + (size_t)(begin + row) * K + c, v);
#pragma unroll
      for (int m = 0; m < P; m++) {
        const float d = some[row * P + m];
#pragma unroll
        for (int k = 0; k < 4; k++) total[m][k] += d * v[k];
      }
    }
  }
}
if (c < K) {
#pragma unroll
  for (int m = 0; m < P; m++) store<4>(sums + ((size_t)part * P + m) * K + c, total[m]);
}`,
    }),
  );
  if (parts > 1)
    emitColumnSums(context, { buffer: sums.buffer, type: "f32" }, { buffer: c.buffer, type: "f32" }, parts, P * K, {
      lazy: true,
    });
}
