// Question: how does an NVIDIA GPU find the cross-entropy of rows of logits, and its gradient, reading them once?
//
//   lse = log Σ_v e^(x_v),  loss = lse − x_target              dx_v = e^(x_v − lse) s − [v = target] g
//
// Forward: a group a row. Each thread keeps the largest logit that it has seen and the sum of the exponentials under it,
// and these are joined at the end, halves to halves and warps in their order. A vocabulary need be no multiple of four: the
// values before the first whole 16 bytes of a row, and those after the last, are taken one by one. Backward: a thread for
// each 16 or 32 bytes of logits, wherever rows begin. Bytes a row, in values: V forward, 2 V backward.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { crossEntropyBackwardOperation, crossEntropyOperation } from "../../../ops/cross-entropy.ts";
import { checkIndices } from "../../gpu/check.ts";
import { softmax as everyGpu } from "../../gpu/ops/softmax.ts";
import { cudaCall, cudaOperand, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { vectors } from "./vectors.ts";

const WIDTH = 256;
const WARPS = WIDTH / 32;
/** Shorter rows would leave most of a group idle. */
const LEAST_VOCABULARY = 512;
/** Logits of a thread. */
const OWN = 8;

export const crossEntropy: readonly Own[] = [
  own(crossEntropyOperation, everyGpu, {
    fits: ({ logits }, _attributes, context) =>
      lastAxis(logits.shape) >= LEAST_VOCABULARY && cudaOperand(context, logits).type === "f32",
    lower({ logits, targets, loss, lse }, _attributes, context, _addend, scope) {
      const [rows, V] = [rowCount(logits.shape), lastAxis(logits.shape)];
      checkIndices(context, targets, { operation: "crossEntropy", scope, rows: V });
      context.emit(
        cudaCall({
          name: "crossEntropy",
          reads: { logits: floatOperand(context, logits), targets: cudaOperand(context, targets) },
          writes: { loss: floatOperand(context, loss), lse: floatOperand(context, lse) },
          declarations: [
            vectors,
            `constexpr int V = ${V};
__shared__ float highs[${WARPS}], parts[${WARPS}];
/* Where all logits so far are -infinity, their exponentials are 0. */
DEVICE float under(float x, float high) { return x == __uint_as_float(0xff800000u) ? 0.0f : expf(x - high); }
/* The sum of exponentials under the larger of two logits. */
DEVICE void join(float& high, float& sum, float otherHigh, float otherSum) {
  const float next = fmaxf(high, otherHigh);
  sum = sum * under(high, next) + otherSum * under(otherHigh, next);
  high = next;
}`,
          ],
          width: WIDTH,
          groups: rows,
          body: `
const float* const x = logits + (size_t)group * V;
const int head = min((int)(4 - (size_t)group * V % 4) % 4, V), whole = head + (V - head) / 4 * 4;
float high = __uint_as_float(0xff800000u), sum = 0.0f;
if ((int)lane < head) join(high, sum, x[lane], 1.0f);
if (whole + (int)lane < V) join(high, sum, x[whole + lane], 1.0f);
for (int c = head + 4 * (int)lane; c < whole; c += ${4 * WIDTH}) {
  float v[4];
  load<4>(x + c, v);
  const float next = fmaxf(fmaxf(high, fmaxf(v[0], v[1])), fmaxf(v[2], v[3]));
  float part = 0.0f;
#pragma unroll
  for (int k = 0; k < 4; k++) part += under(v[k], next);
  sum = sum * under(high, next) + part;
  high = next;
}
#pragma unroll
for (int s = 16; s > 0; s >>= 1)
  join(high, sum, __shfl_xor_sync(0xffffffffu, high, s), __shfl_xor_sync(0xffffffffu, sum, s));
if (lane % 32 == 0) { highs[lane / 32] = high; parts[lane / 32] = sum; }
__syncthreads();
if (lane != 0) return;
for (int w = 1; w < ${WARPS}; w++) join(high, sum, highs[w], parts[w]);
const int target = targets[group];
const float total = logf(sum);
lse[group] = high + total;
loss[group] = (high - x[(u32)target < (u32)V ? target : 0]) + total;`,
        }),
      );
    },
  }),
  own(crossEntropyBackwardOperation, everyGpu, {
    fits: ({ logits }, _attributes, context) =>
      lastAxis(logits.shape) >= LEAST_VOCABULARY && cudaOperand(context, logits).type === "f32",
    lower({ logits, targets, lse, g, s, dlogits }, _attributes, context, _addend, scope) {
      const [size, V] = [sizeOf(logits.shape), lastAxis(logits.shape)];
      checkIndices(context, targets, { operation: "crossEntropyBackward", scope, rows: V });
      const to = cudaOperand(context, dlogits);
      const count = Math.ceil(size / OWN);
      context.emit(
        cudaCall({
          name: "crossEntropyBackward",
          reads: {
            logits: floatOperand(context, logits),
            targets: cudaOperand(context, targets),
            lse: floatOperand(context, lse),
            g: floatOperand(context, g),
            s: floatOperand(context, s),
          },
          writes: { dlogits: to },
          ...(to.type === "f32" && { inPlace: { dlogits: "logits" } }),
          declarations: [vectors, `constexpr int V = ${V}, N = ${OWN};`],
          width: WIDTH,
          groups: Math.ceil(count / WIDTH),
          body: `
const size_t first = ((size_t)group * ${WIDTH} + lane) * N;
if (first >= ${size}ull) return;
const bool all = first + N <= ${size}ull;
float v[N];
if (all) loadOwn<N>(logits + first, v);
else {
#pragma unroll
  for (int k = 0; k < N; k++) v[k] = first + k < ${size}ull ? logits[first + k] : 0.0f;
}
u32 row = (u32)(first / V);
int column = (int)(first % V), target = targets[row];
if ((u32)target >= (u32)V) target = 0;
float under = lse[row], softmax = s[row], own = g[row];
#pragma unroll
for (int k = 0; k < N; k++) {
  if (column == V && first + k < ${size}ull) {
    row++;
    column = 0;
    target = (u32)targets[row] < (u32)V ? targets[row] : 0;
    under = lse[row];
    softmax = s[row];
    own = g[row];
  }
  v[k] = expf(v[k] - under) * softmax - (column == target ? own : 0.0f);
  column++;
}
if (all) store<N>(dlogits + first, v);
else {
#pragma unroll
  for (int k = 0; k < N; k++)
    if (first + k < ${size}ull) dlogits[first + k] = ${to.type === "bf16" ? "toBf16(v[k])" : "v[k]"};
}`,
        }),
      );
    },
  }),
];
