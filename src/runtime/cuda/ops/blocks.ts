// Question: how does an NVIDIA GPU do SwiGLU and rotary positions near the speed of a copy?
//
// A thread takes 16 bytes of a row at a time, and of what belongs to them: the gate and the value, or both halves of a
// turned head, so each value is read and written once. Bytes a row, in values: SwiGLU 3 H, its gradient 5 H, rotary 2 E;
// cosines and sines are read by all heads of a row from the cache. Rows that are no multiple of 16 bytes, and heads whose
// halves are none, take the kernels of every GPU.

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import { rotaryOperation } from "../../../ops/rotary.ts";
import { swigluBackwardOperation, swigluOperation } from "../../../ops/swiglu.ts";
import { blocks as everyGpu } from "../../gpu/ops/blocks.ts";
import { cudaCall, cudaOperand, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { chunkOf, vectors } from "./vectors.ts";

const WIDTH = 256;

/** A thread for each of `count` chunks. */
const eachChunk = (count: number): string => `
const u32 id = group * ${WIDTH}u + lane;
if (id >= ${count}u) return;`;

/** 1 / (1 + e^-a), which overflows for no a. */
const sigmoid = "DEVICE float sigmoid(float a) { return 1.0f / (1.0f + expf(-a)); }";

export const blocks: readonly Own[] = [
  own(swigluOperation, everyGpu, {
    fits: ({ y }) => lastAxis(y.shape) % 8 === 0,
    lower({ x, y }, _attributes, context) {
      const [rows, H] = [rowCount(y.shape), lastAxis(y.shape)];
      const [from, to] = [cudaOperand(context, x), cudaOperand(context, y)];
      const N = chunkOf(from.type, to.type);
      const count = (rows * H) / N;
      context.emit(
        cudaCall({
          name: "swiglu",
          reads: { x: from },
          writes: { y: to },
          declarations: [vectors, sigmoid, `constexpr u32 H = ${H}, N = ${N};`],
          width: WIDTH,
          groups: Math.ceil(count / WIDTH),
          body: `${eachChunk(count)}
const u32 row = id / (H / N), c = id % (H / N) * N;
const size_t at = (size_t)row * 2 * H + c;
float a[N], v[N];
load<N>(x + at, a);
load<N>(x + at + H, v);
#pragma unroll
for (int k = 0; k < (int)N; k++) v[k] *= a[k] * sigmoid(a[k]);
store<N>(y + (size_t)row * H + c, v);`,
        }),
      );
    },
  }),
  own(swigluBackwardOperation, everyGpu, {
    fits: ({ g }) => lastAxis(g.shape) % 8 === 0,
    lower({ x, g, dx }, _attributes, context) {
      const [rows, H] = [rowCount(g.shape), lastAxis(g.shape)];
      const [from, gradient, to] = [cudaOperand(context, x), cudaOperand(context, g), cudaOperand(context, dx)];
      const N = chunkOf(from.type, gradient.type, to.type);
      const count = (rows * H) / N;
      context.emit(
        cudaCall({
          name: "swigluBackward",
          reads: { x: from, g: gradient },
          writes: { dx: to },
          ...(from.type === to.type && { inPlace: { dx: "x" } }),
          declarations: [vectors, sigmoid, `constexpr u32 H = ${H}, N = ${N};`],
          width: WIDTH,
          groups: Math.ceil(count / WIDTH),
          body: `${eachChunk(count)}
const u32 row = id / (H / N), c = id % (H / N) * N;
const size_t at = (size_t)row * 2 * H + c;
float a[N], v[N], d[N];
loadOwn<N>(x + at, a);
loadOwn<N>(x + at + H, v);
load<N>(g + (size_t)row * H + c, d);
#pragma unroll
for (int k = 0; k < (int)N; k++) {
  const float s = sigmoid(a[k]), own = a[k] * s;
  v[k] *= d[k] * (s * (1.0f + a[k] * (1.0f - s)));
  a[k] = d[k] * own;
}
store<N>(dx + at, v);
store<N>(dx + at + H, a);`,
        }),
      );
    },
  }),
  own(rotaryOperation, everyGpu, {
    fits: ({ x, table }, { headSize }) =>
      lastAxis(x.shape) % 8 === 0 && headSize % 8 === 0 && lastAxis(table.shape) % 16 === 0,
    lower({ x, table, y }, { heads, headSize, inverse }, context) {
      const [rows, E, R] = [rowCount(x.shape), lastAxis(x.shape), lastAxis(table.shape)];
      const [from, to] = [cudaOperand(context, x), cudaOperand(context, y)];
      const N = chunkOf(from.type, to.type);
      const count = (rows * E) / N;
      context.emit(
        cudaCall({
          name: "rotary",
          reads: { x: from, table: floatOperand(context, table) },
          writes: { y: to },
          ...(from.type === to.type && { inPlace: { y: "x" } }),
          declarations: [
            vectors,
            `constexpr u32 E = ${E}, N = ${N}, R = ${R}, HALF = R / 2, D = ${headSize}, TURNING = ${heads * headSize}, T = ${rowCount(table.shape)};`,
          ],
          width: WIDTH,
          groups: Math.ceil(count / WIDTH),
          body: `${eachChunk(count)}
const u32 row = id / (E / N), c = id % (E / N) * N, place = c % D;
const size_t at = (size_t)row * E + c;
const bool turns = c < TURNING && place < R;
/* The thread of the lower half does both. */
if (turns && place >= HALF) return;
float low[N];
loadOwn<N>(x + at, low);
if (turns) {
  float high[N], cosine[N], sine[N];
  loadOwn<N>(x + at + HALF, high);
  loadFew<N>(table + row % T * R + place, cosine);
  loadFew<N>(table + row % T * R + HALF + place, sine);
#pragma unroll
  for (int k = 0; k < (int)N; k++) {
    const float own = low[k], turn = ${inverse ? "-sine[k]" : "sine[k]"};
    low[k] = own * cosine[k] - high[k] * turn;
    high[k] = high[k] * cosine[k] + own * turn;
  }
  store<N>(y + at + HALF, high);
}
store<N>(y + at, low);`,
        }),
      );
    },
  }),
];
