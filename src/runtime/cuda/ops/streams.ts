// Question: how does an NVIDIA GPU read and write the streams, and their gradients, near the speed of a copy?
//
//   read       u = Σ_j pre_j x_j                       write       x'_i = Σ_j res_ij x_j + post_i y
//   backward   dx_j = pre_j du, dpre_j = <du, x_j>     backward    dx_j = Σ_i res_ij g_i, dy = Σ_i post_i g_i,
//                                                                  dres_ij = <g_i, x_j>, dpost_i = <g_i, y>
//
// Shapes: x, x', g [T, n, C], h [T, n² + 2n] (pre | post | res), u, y [T, C].
// Forward: a thread for each 16 bytes of a token's channels goes through all streams. Backward: a warp a token, whose dot
// products are summed over its lanes at the end, halves to halves. Every value is read and written once: bytes a token, in
// values of the streams' type, are n C + C (read), 2 n C + C (write), 2 n C + C and n C more where it adds to a gradient
// (backward of read), 3 n C + 2 C (backward of write); the coefficients are 4 (n² + 2n) bytes beside them.
// Channels that are no multiple of 16 bytes, and more streams than registers hold, take the kernels of every GPU.

import type { Tensor } from "../../../graph/tensor.ts";
import { streamReadBackwardOperation, streamReadOperation } from "../../../ops/stream-read.ts";
import { streamWriteBackwardOperation, streamWriteOperation } from "../../../ops/stream-write.ts";
import { type StreamSizes, streamSizes } from "../../../ops/streams.ts";
import { streams as everyGpu } from "../../gpu/ops/streams.ts";
import { cudaCall, type CudaPlace, cudaOperand, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { chunkOf, vectors } from "./vectors.ts";

const WIDTH = 256;
/** Tokens of a group where each has a warp. */
const WARPS = WIDTH / 32;
/** Streams whose values a thread holds; backward it holds n² + n sums as well. */
const MOST_STREAMS = 8;
const MOST_STREAMS_BACKWARD = 4;

const fits = (x: Tensor, most: number): boolean => {
  const { streams, channels } = streamSizes(x);
  return streams <= most && channels % 8 === 0;
};

/** The constants of a kernel. */
const sizes = ({ tokens, streams, channels, coefficients }: StreamSizes, ...places: readonly CudaPlace[]): string => `
constexpr u32 T = ${tokens}, C = ${channels};
constexpr int n = ${streams}, M = ${coefficients}, N = ${chunkOf(...places.map(({ type }) => type))};
constexpr u32 chunks = C / N;`;

/** A thread for each chunk of each token. */
const eachChunk = `
const u32 id = group * ${WIDTH}u + lane;
const u32 token = id / chunks, c = id % chunks * N;
if (token >= T) return;
const size_t row = (size_t)token * C + c, at = (size_t)token * n * C + c;`;

/** A warp for each token. */
const eachToken = `
const u32 token = group * ${WARPS}u + lane / 32, l = lane % 32;
if (token >= T) return;`;

const groupsOfChunks = ({ tokens, channels }: StreamSizes, ...places: readonly CudaPlace[]): number =>
  Math.ceil((tokens * channels) / chunkOf(...places.map(({ type }) => type)) / WIDTH);

export const streams: readonly Own[] = [
  own(streamReadOperation, everyGpu, {
    fits: ({ x }) => fits(x, MOST_STREAMS),
    lower({ x, h, u }, _attributes, context) {
      const shape = streamSizes(x);
      const [from, to] = [cudaOperand(context, x), cudaOperand(context, u)];
      context.emit(
        cudaCall({
          name: "streamRead",
          reads: { x: from, h: floatOperand(context, h) },
          writes: { u: to },
          declarations: [vectors, sizes(shape, from, to)],
          width: WIDTH,
          groups: groupsOfChunks(shape, from, to),
          body: `${eachChunk}
float pre[n], v[n][N], sum[N];
#pragma unroll
for (int j = 0; j < n; j++) load<N>(x + at + j * C, v[j]);
loadFew<n>(h + (size_t)token * M, pre);
#pragma unroll
for (int k = 0; k < N; k++) {
  sum[k] = pre[0] * v[0][k];
#pragma unroll
  for (int j = 1; j < n; j++) sum[k] += pre[j] * v[j][k];
}
store<N>(u + row, sum);`,
        }),
      );
    },
  }),
  own(streamWriteOperation, everyGpu, {
    fits: ({ x }) => fits(x, MOST_STREAMS),
    lower({ x, h, y, next }, _attributes, context) {
      const shape = streamSizes(x);
      const [from, result, to] = [cudaOperand(context, x), cudaOperand(context, y), cudaOperand(context, next)];
      context.emit(
        cudaCall({
          name: "streamWrite",
          reads: { x: from, h: floatOperand(context, h), y: result },
          writes: { next: to },
          inPlace: { next: "x" },
          declarations: [vectors, sizes(shape, from, result, to)],
          width: WIDTH,
          groups: groupsOfChunks(shape, from, result, to),
          body: `${eachChunk}
float post[n], v[n][N], f[N];
#pragma unroll
for (int j = 0; j < n; j++) loadOwn<N>(x + at + j * C, v[j]);
load<N>(y + row, f);
loadFew<n>(h + (size_t)token * M + n, post);
#pragma unroll
for (int i = 0; i < n; i++) {
  float res[n], sum[N];
  loadFew<n>(h + (size_t)token * M + (2 + i) * n, res);
#pragma unroll
  for (int k = 0; k < N; k++) {
    sum[k] = post[i] * f[k];
#pragma unroll
    for (int j = 0; j < n; j++) sum[k] += res[j] * v[j][k];
  }
  store<N>(next + at + i * C, sum);
}`,
        }),
      );
    },
  }),
  own(streamReadBackwardOperation, everyGpu, {
    accumulates: true,
    fits: ({ x }) => fits(x, MOST_STREAMS),
    lower({ x, h, du, dx, dh }, _attributes, context, addend) {
      const shape = streamSizes(x);
      const before = addend && cudaOperand(context, addend);
      const [from, gradient, to] = [cudaOperand(context, x), cudaOperand(context, du), cudaOperand(context, dx)];
      context.emit(
        cudaCall({
          name: "streamReadBackward",
          reads: { x: from, h: floatOperand(context, h), du: gradient, ...(before && { before }) },
          writes: { dx: to, dh: floatOperand(context, dh) },
          inPlace: { dx: before ? "before" : "x" },
          declarations: [vectors, sizes(shape, from, gradient, to, ...(before ? [before] : []))],
          width: WIDTH,
          groups: Math.ceil(shape.tokens / WARPS),
          body: `${eachToken}
float pre[n], dot[n];
loadFew<n>(h + (size_t)token * M, pre);
#pragma unroll
for (int j = 0; j < n; j++) dot[j] = 0.0f;
for (u32 c = l * N; c < C; c += 32 * N) {
  const size_t at = (size_t)token * n * C + c;
  float g[N];
  load<N>(du + (size_t)token * C + c, g);
#pragma unroll
  for (int j = 0; j < n; j++) {
    float v[N], d[N];
    loadOwn<N>(x + at + j * C, v);
    ${before ? "loadOwn<N>(before + at + j * C, d);" : ""}
#pragma unroll
    for (int k = 0; k < N; k++) {
      dot[j] += g[k] * v[k];
      d[k] = ${before ? "d[k] + " : ""}pre[j] * g[k];
    }
    store<N>(dx + at + j * C, d);
  }
}
#pragma unroll
for (int j = 0; j < n; j++) dot[j] = warpSum(dot[j]);
float* const to = dh + (size_t)token * M;
#pragma unroll
for (int j = 0; j < n; j++) if (l == (u32)j) to[j] = dot[j];
for (u32 m = n + l; m < M; m += 32) to[m] = 0.0f;`,
        }),
      );
    },
  }),
  own(streamWriteBackwardOperation, everyGpu, {
    fits: ({ x }) => fits(x, MOST_STREAMS_BACKWARD),
    lower({ x, h, y, g, dx, dy, dh }, _attributes, context) {
      const shape = streamSizes(x);
      const [from, result, gradient] = [cudaOperand(context, x), cudaOperand(context, y), cudaOperand(context, g)];
      const [to, toResult] = [cudaOperand(context, dx), cudaOperand(context, dy)];
      context.emit(
        cudaCall({
          name: "streamWriteBackward",
          reads: { x: from, h: floatOperand(context, h), y: result, g: gradient },
          writes: { dx: to, dy: toResult, dh: floatOperand(context, dh) },
          inPlace: { dx: "g" },
          declarations: [vectors, sizes(shape, from, result, gradient, to, toResult)],
          width: WIDTH,
          groups: Math.ceil(shape.tokens / WARPS),
          body: `${eachToken}
float post[n], res[n * n], dPost[n], dRes[n * n];
loadFew<n>(h + (size_t)token * M + n, post);
loadFew<n * n>(h + (size_t)token * M + 2 * n, res);
#pragma unroll
for (int i = 0; i < n; i++) dPost[i] = 0.0f;
#pragma unroll
for (int e = 0; e < n * n; e++) dRes[e] = 0.0f;
#pragma unroll 1
for (u32 c = l * N; c < C; c += 32 * N) {
  const size_t at = (size_t)token * n * C + c;
  float d[n][N], f[N], sum[N];
#pragma unroll
  for (int i = 0; i < n; i++) loadOwn<N>(g + at + i * C, d[i]);
  load<N>(y + (size_t)token * C + c, f);
#pragma unroll
  for (int k = 0; k < N; k++) {
    sum[k] = 0.0f;
#pragma unroll
    for (int i = 0; i < n; i++) {
      dPost[i] += d[i][k] * f[k];
      sum[k] += post[i] * d[i][k];
    }
  }
  store<N>(dy + (size_t)token * C + c, sum);
#pragma unroll
  for (int j = 0; j < n; j++) {
    float v[N];
    load<N>(x + at + j * C, v);
#pragma unroll
    for (int k = 0; k < N; k++) {
      sum[k] = 0.0f;
#pragma unroll
      for (int i = 0; i < n; i++) {
        dRes[i * n + j] += d[i][k] * v[k];
        sum[k] += res[i * n + j] * d[i][k];
      }
    }
    store<N>(dx + at + j * C, sum);
  }
}
#pragma unroll
for (int i = 0; i < n; i++) dPost[i] = warpSum(dPost[i]);
#pragma unroll
for (int e = 0; e < n * n; e++) dRes[e] = warpSum(dRes[e]);
float* const into = dh + (size_t)token * M;
#pragma unroll
for (int i = 0; i < n; i++) if (l == (u32)i) { into[i] = 0.0f; into[n + i] = dPost[i]; }
#pragma unroll
for (int e = 0; e < n * n; e++) if (l == (u32)e) into[2 * n + e] = dRes[e];`,
        }),
      );
    },
  }),
];
