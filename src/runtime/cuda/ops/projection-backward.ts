// Question: how does an NVIDIA GPU take the gradient of the projection of streams, and that of a read on the way?
//
//   draw = s · dp,  dx = draw · w − (s² / K) (Σ_m dp_m p_m) · x                       (stream-projection.ts)
//   with a read   dx = (before + pre_j du) + that                                     (ops/stream-seam.ts)
//
// Shapes: x, dx and before [rows, K], w [P, K], p and dp [rows, P], s [rows]; du [rows, C], h [rows, n² + 2n], K = n C.
// A thread has four columns of w in its registers and goes down the rows. Bytes: x, dx, what dx is added to, and du.

import { rowCount, type Tensor } from "../../../graph/tensor.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { cudaCall, cudaOperand, floatOperand } from "../implement.ts";
import { vectors } from "./vectors.ts";

/** The most columns of fragments: p of a row in registers. */
export const MOST_COLUMNS = 32;
/** Columns of a thread. */
export const FOUR = 4;
/** Rows and threads of a group. */
const ROWS_BACKWARD = 32;
const WIDTH_BACKWARD = 256;

/** Loads and stores of four values, which the kernel may write over what it has read. */
export const fours = `
DEVICE void loadFour(const float* p, float* v) { loadOwn<4>(p, v); }
DEVICE void loadFour(const bf16* p, float* v) {
  const uint2 w = *(const uint2*)p;
  v[0] = lowBf16(w.x); v[1] = highBf16(w.x); v[2] = lowBf16(w.y); v[3] = highBf16(w.y);
}
DEVICE void storeFour(float* p, const float* v) { store<4>(p, v); }
DEVICE void storeFour(bf16* p, const float* v) { *(uint2*)p = make_uint2(packBf16(v[0], v[1]), packBf16(v[2], v[3])); }`;

/** What the read adds to `b`, rounded as that sum is kept. */
const readText = (rounds: boolean): string => `
  float d[4];
  loadFour(du + (size_t)(first + row) * C + channel, d);
  const float pre = pres[row * n + stream];
#pragma unroll
  for (int k = 0; k < 4; k++) b[k] += pre * d[k];
  ${
    rounds
      ? `const u32 low = packBf16(b[0], b[1]), high = packBf16(b[2], b[3]);
  b[0] = lowBf16(low); b[1] = highBf16(low); b[2] = lowBf16(high); b[3] = highBf16(high);`
      : ""
  }`;

/** Operands by their names in the operation. */
type Projected = Readonly<Record<"x" | "w" | "p" | "s" | "dp" | "dx" | "draw", Tensor>>;

/**
 * @param size rows and their length
 * @param addend what dx is added to
 * @param read the read whose gradient is added to the addend, of so many streams
 */
export function emitProjectionBackward(
  context: LoweringContext,
  size: { readonly rows: number; readonly length: number },
  tensors: Projected,
  addend?: Tensor,
  read?: { readonly h: Tensor; readonly du: Tensor; readonly streams: number; readonly rounds: boolean },
): void {
  const streams = read?.streams ?? 1;
  const { x, w, p, s, dp, dx, draw } = tensors;
  const { rows, length: K } = size;
  const P = rowCount(w.shape);
  const before = addend && cudaOperand(context, addend);
  const slices = Math.ceil(K / (FOUR * WIDTH_BACKWARD));
  const operands = { w: floatOperand(context, w), p: floatOperand(context, p), norms: floatOperand(context, s) };
  context.emit(
    cudaCall({
      name: read ? "streamReadProjectionBackward" : "streamProjectionBackward",
      reads: {
        x: cudaOperand(context, x),
        ...operands,
        dp: floatOperand(context, dp),
        ...(before && { before }),
        ...(read && { h: floatOperand(context, read.h), du: cudaOperand(context, read.du) }),
      },
      writes: { dx: cudaOperand(context, dx), draw: floatOperand(context, draw) },
      inPlace: { dx: before ? "before" : "x" },
      declarations: [
        vectors,
        fours,
        `constexpr int R = ${rows}, K = ${K}, P = ${P};
__shared__ float draws[${ROWS_BACKWARD * MOST_COLUMNS}], factors[${ROWS_BACKWARD}];${
          read
            ? `
constexpr int n = ${streams}, C = K / n, M = n * n + 2 * n;
__shared__ float pres[${ROWS_BACKWARD} * n];`
            : ""
        }`,
      ],
      width: WIDTH_BACKWARD,
      groups: slices * Math.ceil(rows / ROWS_BACKWARD),
      body: `
const int first = (int)group / ${slices} * ${ROWS_BACKWARD}, slice = (int)group % ${slices};
const int w_ = lane / 32, l = lane % 32, there = min(${ROWS_BACKWARD}, R - first);
for (int row = w_; row < there; row += ${WIDTH_BACKWARD / 32}) {
  const float scale = norms[first + row];
  const size_t at = (size_t)(first + row) * P + l;
  const float d = l < P ? dp[at] : 0.0f;
  const float along = warpSum(l < P ? d * p[at] : 0.0f);
  draws[row * ${MOST_COLUMNS} + l] = scale * d;
  if (l == 0) factors[row] = -(scale * scale / K) * along;
  if (slice == 0 && l < P) draw[at] = scale * d;
}
${read ? `for (int id = lane; id < there * n; id += ${WIDTH_BACKWARD}) pres[id] = h[(size_t)(first + id / n) * M + id % n];` : ""}
__syncthreads();
const int c = (slice * ${WIDTH_BACKWARD} + (int)lane) * ${FOUR};
if (c >= K) return;
float own[P][4];
#pragma unroll
for (int m = 0; m < P; m++) load<4>(w + (size_t)m * K + c, own[m]);
${read ? "const int stream = c / C, channel = c % C;" : ""}
#pragma unroll 2
for (int row = 0; row < there; row++) {
  const size_t at = (size_t)(first + row) * K + c;
  float v[4]${before ? ", b[4]" : ""};
  loadFour(x + at, v);
  ${before ? "loadFour(before + at, b);" : ""}
  ${read ? readText(read.rounds) : ""}
  const float factor = factors[row];
#pragma unroll
  for (int k = 0; k < 4; k++) v[k] = ${before ? "b[k] + " : ""}factor * v[k];
#pragma unroll
  for (int m = 0; m < P; m++) {
    const float d = draws[row * ${MOST_COLUMNS} + m];
#pragma unroll
    for (int k = 0; k < 4; k++) v[k] += d * own[m][k];
  }
  storeFour(dx + at, v);
}`,
    }),
  );
}
