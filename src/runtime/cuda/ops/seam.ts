// Question: how does an NVIDIA GPU go from one sublayer to the next in two launches?
//
//   x' = streamWrite(x, h, y),  p, s = streamProjection(x', w)      streamWriteProjection
//   h' = manifoldCoefficients(p, α, b),  u = streamRead(x', h')     coefficientsRead
//
// Shapes: as in ops/stream-seam.ts; a group has 64 tokens in the first, 16 in the second.
// The first: a warp has 16 tokens and goes through a quarter of the channels, all streams of a channel at once. What it
// writes lies in its registers as the fragments that the tensor cores take, so the streams are projected as they leave.
// Fragments of w are those of stream-projection.ts. The quarters' parts are added in order.
// The second: n lanes a token make the coefficients (coefficients.ts), then the whole group reads the streams.
// Bytes a token, in multiples of C: 2n + 1 and n + 1.
// Backward, also two launches: a warp a token has the products with du, then n lanes a token go back through the
// coefficients; the gradients of the read and of the projection are added to dx' on the way (projection-backward.ts).
// Bytes: n + 1 and 3n + 1.

import { attributesOf, operandsOf, rowCount } from "../../../graph/tensor.ts";
import { type ManifoldCoefficientsAttributes, paperCoefficients } from "../../../ops/manifold-coefficients.ts";
import {
  coefficientsReadBackwardOperation,
  coefficientsReadOperation,
  streamReadProjectionBackwardOperation,
  streamWriteProjectionOperation,
} from "../../../ops/stream-seam.ts";
import type { StreamProjectionAttributes } from "../../../ops/stream-projection.ts";
import { streamSizes } from "../../../ops/streams.ts";
import type { Implementation } from "../../gpu/implement.ts";
import { cudaCall, type CudaPlace, cudaOperand, floatOperand } from "../implement.ts";
import {
  backwardShared,
  coefficientsBackwardBody,
  coefficientsBody,
  coefficientText,
  fitsLanes,
  groupSums,
  groupSumsBody,
  lanesOfToken,
  MOST_ITERATIONS_KEPT,
  TOKENS,
  warpsOf,
} from "./coefficients.ts";
import { emitProjectionBackward, FOUR, MOST_COLUMNS } from "./projection-backward.ts";
import {
  asValues,
  emitFragments,
  partsBytes,
  partsStride,
  projectionEnd,
  ROWS,
  SLICES,
  split,
  unitOf,
} from "./stream-projection.ts";
import { chunkOf, vectors } from "./vectors.ts";

/** Tokens of a warp. */
const WARP_ROWS = 16;
const WIDTH = 32 * SLICES * (ROWS / WARP_ROWS);
/** Streams of which a thread holds what it reads and what it writes. */
const MOST_STREAMS = 4;
/** Channels of the widest unit. */
const UNIT = 32;

/** Threads of a group that reads. */
const WIDTH_READ = 256;

/** Whether a row that is projected is a whole token, as in mHC. */
const isOverTokens = (attributes: object): boolean => (attributes as StreamProjectionAttributes).over === "token";

const typeName = ({ type }: CudaPlace): string => (type === "bf16" ? "bf16" : "float");

/** N values of an operand as they lie, so that many can be on their way at once. */
const held = `
template <class T, int N> struct Held;
template <> struct Held<bf16, 8> {
  uint4 w;
  DEVICE void take(const bf16* p) { w = *(const uint4*)p; }
  DEVICE void give(float (&v)[8]) const { widen(w, v); }
};
template <> struct Held<float, 4> {
  uint4 w;
  DEVICE void take(const float* p) { w = *(const uint4*)p; }
  DEVICE void give(float (&v)[4]) const { spread(w, v); }
};
template <> struct Held<float, 8> {
  uint4 a, b;
  DEVICE void take(const float* p) { a = ((const uint4*)p)[0]; b = ((const uint4*)p)[1]; }
  DEVICE void give(float (&v)[8]) const { spread(a, v); spread(b, v + 4); }
};
template <> struct Held<bf16, 4> {
  uint2 w;
  DEVICE void take(const bf16* p) { w = *(const uint2*)p; }
  DEVICE void give(float (&v)[4]) const { v[0] = lowBf16(w.x); v[1] = highBf16(w.x); v[2] = lowBf16(w.y); v[3] = highBf16(w.y); }
};
DEVICE uint4 together(const float (&v)[8]) {
  return make_uint4(packBf16(v[0], v[1]), packBf16(v[2], v[3]), packBf16(v[4], v[5]), packBf16(v[6], v[7]));
}
DEVICE uint4 together(const float (&v)[4]) {
  return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
}`;

/** Bytes of the parts of slices, and of what mixes and writes a group's tokens, [ROWS, n² + n]. */
const writeBytes = (columns: number, n: number): number => partsBytes(columns) + 4 * ROWS * (n * n + n);

/** @param sharedBytes what a group may have of shared memory */
export function seam(sharedBytes: number): readonly Implementation[] {
  return [
    {
      op: streamWriteProjectionOperation,
      lowering: {
        fits([x, , , w], attributes) {
          const { streams, channels } = streamSizes(x!);
          const columns = rowCount(w!.shape);
          const small = streams <= MOST_STREAMS && columns <= MOST_COLUMNS;
          return (
            isOverTokens(attributes) && small && channels % UNIT === 0 && writeBytes(columns, streams) <= sharedBytes
          );
        },
        lower(node, context) {
          const { x, h, y, w, next, p, s } = operandsOf(streamWriteProjectionOperation, node);
          const { epsilon } = attributesOf(streamWriteProjectionOperation, node)!;
          const { tokens, streams: n, channels: C } = streamSizes(x);
          const P = rowCount(w.shape);
          const [from, result, to] = [cudaOperand(context, x), cudaOperand(context, y), cudaOperand(context, next)];
          const fragments = emitFragments(context, w, to);
          const unit = unitOf(to);
          const stride = partsStride(P);
          context.emit(
            cudaCall({
              name: "streamWriteProjection",
              reads: { x: from, h: floatOperand(context, h), y: result, fragments },
              writes: { next: to, p: floatOperand(context, p), norms: floatOperand(context, s) },
              inPlace: { next: "x" },
              declarations: [
                vectors,
                split[to.type === "bf16" ? "bf16" : "f32"],
                asValues,
                held,
                `constexpr int R = ${tokens}, n = ${n}, C = ${C}, K = n * C, P = ${P}, PT = ${Math.ceil(P / 8)}, UNIT = ${unit}, UNITS = C / UNIT, N = UNIT / 4;
constexpr int M = n * n + 2 * n, MIX = n * n + n;`,
              ],
              width: WIDTH,
              groups: Math.ceil(tokens / ROWS),
              groupsAtOnce: 1,
              sharedBytes: writeBytes(P, n),
              body: `
constexpr int STRIDE = ${stride};
float* const parts = (float*)shared;
float* const scales = parts + ${SLICES * ROWS} * STRIDE;
float* const mix = scales + ${ROWS};
const int w = lane / 32, l = lane % 32, g = l / 4, t = l % 4;
const int first = (int)group * ${ROWS}, block = w % ${ROWS / WARP_ROWS} * ${WARP_ROWS}, slice = w / ${ROWS / WARP_ROWS};
for (int id = lane; id < ${ROWS} * MIX; id += ${WIDTH})
  mix[id] = h[(size_t)min(first + id / MIX, R - 1) * M + n + id % MIX];
__syncthreads();
float acc[PT][4], squares[2];
squares[0] = squares[1] = 0.0f;
#pragma unroll
for (int j = 0; j < PT; j++) acc[j][0] = acc[j][1] = acc[j][2] = acc[j][3] = 0.0f;
#pragma unroll 1
for (int unit = slice; unit < UNITS; unit += ${SLICES}) {
uint4 out[2][n];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = block + 8 * r + g;
    const u32 token = min(first + row, R - 1);
    const float* const own = mix + row * MIX;
    Held<${typeName(from)}, N> streams[n];
    Held<${typeName(result)}, N> results;
#pragma unroll
    for (int j = 0; j < n; j++) streams[j].take(x + (size_t)token * K + j * C + unit * UNIT + t * N);
    results.take(y + (size_t)token * C + unit * UNIT + t * N);
    float v[n][N], f[N];
#pragma unroll
    for (int j = 0; j < n; j++) streams[j].give(v[j]);
    results.give(f);
#pragma unroll
    for (int i = 0; i < n; i++) {
      float sum[N];
#pragma unroll
      for (int k = 0; k < N; k++) sum[k] = own[i] * f[k];
#pragma unroll
      for (int j = 0; j < n; j++) {
        const float res = own[n + i * n + j];
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] += res * v[j][k];
      }
      out[r][i] = together(sum);
      if (first + row < R) *(uint4*)(next + (size_t)token * K + i * C + unit * UNIT + t * N) = out[r][i];
      values(out[r][i], sum);
#pragma unroll
      for (int k = 0; k < N; k++) squares[r] += sum[k] * sum[k];
    }
  }
#pragma unroll
  for (int i = 0; i < n; i++) {
    const uint4* const from = (const uint4*)fragments + (size_t)(i * UNITS + unit) * PT * 64 + l;
#pragma unroll
    for (int j = 0; j < PT; j++)
      multiply(acc[j], out[0][i], out[1][i], loadConstant(from + j * 64), loadConstant(from + j * 64 + 32));
  }
}
#pragma unroll
for (int r = 0; r < 2; r++) {
  float sum = squares[r];
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  float* const to = parts + (slice * ${ROWS} + block + 8 * r + g) * STRIDE;
  if (t == 0) to[8 * PT] = sum;
#pragma unroll
  for (int j = 0; j < PT; j++) {
    to[8 * j + 2 * t] = acc[j][2 * r];
    to[8 * j + 2 * t + 1] = acc[j][2 * r + 1];
  }
}
__syncthreads();
${projectionEnd({ from: "next", width: WIDTH, epsilon })}`,
            }),
          );
        },
      },
    },
    {
      op: coefficientsReadOperation,
      lowering: {
        fits([, , , x]) {
          const { streams, channels } = streamSizes(x!);
          return fitsLanes(streams) && channels % 8 === 0;
        },
        lower(node, context) {
          const { p, alpha, bias, x, h, u } = operandsOf(coefficientsReadOperation, node);
          const { iterations, form = paperCoefficients } = attributesOf(coefficientsReadOperation, node)!;
          const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
          const [from, to] = [cudaOperand(context, x), cudaOperand(context, u)];
          context.emit(
            cudaCall({
              name: "coefficientsRead",
              reads: {
                p: floatOperand(context, p),
                alpha: floatOperand(context, alpha),
                bias: floatOperand(context, bias),
                x: from,
              },
              writes: { h: floatOperand(context, h), u: to },
              declarations: [
                vectors,
                `constexpr int R = ${tokens}, n = ${n}, M = ${M}, C = ${C}, N = ${chunkOf(from.type, to.type)}, CHUNKS = C / N;
__shared__ float pres[${TOKENS} * n];`,
                coefficientText(n, iterations, form, false),
              ],
              width: WIDTH_READ,
              groups: Math.ceil(tokens / TOKENS),
              body: `
const int begin = (int)group * ${TOKENS};
if (lane < ${32 * warpsOf(n)}) {${lanesOfToken(tokens)}
  const float* const from = p + (size_t)token * M;
  float* const to = h + (size_t)token * M;${coefficientsBody(form)}
  if (own < ${TOKENS}) pres[own * n + i] = pre;
}
__syncthreads();
#pragma unroll 2
for (int id = lane; id < ${TOKENS} * CHUNKS; id += ${WIDTH_READ}) {
  const int own = id / CHUNKS, c = id % CHUNKS * N;
  const size_t token = begin + own;
  if (token >= R) break;
  float v[n][N], sum[N];
#pragma unroll
  for (int j = 0; j < n; j++) load<N>(x + (token * n + j) * C + c, v[j]);
#pragma unroll
  for (int k = 0; k < N; k++) {
    sum[k] = pres[own * n] * v[0][k];
#pragma unroll
    for (int j = 1; j < n; j++) sum[k] += pres[own * n + j] * v[j][k];
  }
  store<N>(u + token * C + c, sum);
}`,
            }),
          );
        },
      },
    },
    {
      op: coefficientsReadBackwardOperation,
      lowering: {
        fits([, , , , x], attributes) {
          const { streams, channels } = streamSizes(x!);
          const { iterations } = attributes as ManifoldCoefficientsAttributes;
          return fitsLanes(streams) && channels % 8 === 0 && iterations <= MOST_ITERATIONS_KEPT;
        },
        lower(node, context) {
          const { p, alpha, bias, dh, x, du, dp, dalpha, dbias } = operandsOf(coefficientsReadBackwardOperation, node);
          const { iterations, form = paperCoefficients } = attributesOf(coefficientsReadBackwardOperation, node)!;
          const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
          const [from, gradient] = [cudaOperand(context, x), cudaOperand(context, du)];
          const groups = Math.ceil(tokens / TOKENS);
          const warps = warpsOf(n);
          const sums = groupSums(context, groups, M);
          context.emit(
            cudaCall({
              name: "coefficientsReadBackward",
              reads: {
                p: floatOperand(context, p),
                alpha: floatOperand(context, alpha),
                bias: floatOperand(context, bias),
                dh: floatOperand(context, dh),
                x: from,
                du: gradient,
              },
              writes: { dp: floatOperand(context, dp), biases: sums.bias, alphas: sums.alpha },
              declarations: [
                vectors,
                `constexpr int R = ${tokens}, n = ${n}, M = ${M}, C = ${C}, N = ${chunkOf(from.type, gradient.type)};
__shared__ float dots[${TOKENS} * n];`,
                backwardShared(warps),
                coefficientText(n, iterations, form, true),
              ],
              width: WIDTH_READ,
              groups,
              body: `
const int begin = (int)group * ${TOKENS};
for (int own = lane / 32; own < ${TOKENS}; own += ${WIDTH_READ / 32}) {
  const size_t token = min(begin + own, R - 1);
  float dot[n];
#pragma unroll
  for (int j = 0; j < n; j++) dot[j] = 0.0f;
#pragma unroll 2
  for (int c = lane % 32 * N; c < C; c += 32 * N) {
    float d[N], v[n][N];
    load<N>(du + token * C + c, d);
#pragma unroll
    for (int j = 0; j < n; j++) load<N>(x + (token * n + j) * C + c, v[j]);
#pragma unroll
    for (int j = 0; j < n; j++)
#pragma unroll
      for (int k = 0; k < N; k++) dot[j] += d[k] * v[j][k];
  }
#pragma unroll
  for (int j = 0; j < n; j++) {
    dot[j] = warpSum(dot[j]);
    if (lane % 32 == j) dots[own * n + j] = dot[j];
  }
}
__syncthreads();
if (lane < ${32 * warps}) {${lanesOfToken(tokens)}
  const float* const from = p + (size_t)token * M;
  const float* const d = dh + (size_t)token * M;
  float* const to = dp + (size_t)token * M;${coefficientsBackwardBody(form, iterations, `(d[i] + (there ? dots[own * n + i] : 0.0f))`)}
}${groupSumsBody(warps, WIDTH_READ)}`,
            }),
          );
          sums.finish(floatOperand(context, dbias), floatOperand(context, dalpha));
        },
      },
    },
    {
      op: streamReadProjectionBackwardOperation,
      lowering: {
        fits([, x, , , w], attributes) {
          return (
            isOverTokens(attributes) && rowCount(w!.shape) <= MOST_COLUMNS && streamSizes(x!).channels % FOUR === 0
          );
        },
        lower(node, context) {
          const { before, h, du, ...tensors } = operandsOf(streamReadProjectionBackwardOperation, node);
          const { rounds } = attributesOf(streamReadProjectionBackwardOperation, node)!;
          const { tokens: rows, streams, channels } = streamSizes(tensors.x);
          emitProjectionBackward(context, { rows, length: streams * channels }, tensors, before, {
            h,
            du,
            streams,
            rounds,
          });
        },
      },
    },
  ];
}
