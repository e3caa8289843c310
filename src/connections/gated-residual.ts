// Question: what is the gated residual?
//
// The gated residual (Qwen3.8-Next, arXiv 2608.30320): n streams. Each channel of each stream is read through
// a gate, each stream is written with one weight, and the streams are never mixed with each other.
//
//   x̂_j = RMSNorm(x_j) ∘ w_j                                   w [nC]
//   g = σ(W_up silu(W_down vec(x̂) / n))                        one gate for each of the nC entries
//   u = (1/n) Σ_j g_j ∘ x̂_j,   x_j' = x_j + a_j F(u),   a = 2σ(W_inject vec(x̂) / n)
//
// mHC spends its parameters on mixing (H_res); this connection spends them on the read. The network ends with
// a separate read of the same form. A block that normalises its input, as ours do, normalises u once more.
// Shapes: x [T, n, C], W_down [nC, r], W_up [r, nC], W_inject [nC, n], g [T, nC], a [T, n]. State: n
// streams. Parameters a sublayer: nC (2r + n + 1), and nC (2r + 1) at the end. Costs about
// 2nC (2r + n) operations a token.
// Start: W_up = 0, so every gate is ½. With W_inject = 0 too, all streams would stay equal and the network would
// be the pre-norm residual. W_inject is random (deviation 0.02), so a_j = 1 ± a few percent, and the streams
// become different.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { add } from "../ops/elementwise.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { constant } from "../graph/state.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { multiply, scale, sigmoid, silu } from "../ops/elementwise.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { matmul } from "../ops/matmul.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import type { StreamPrecision } from "../ops/bfloat16.ts";
import { collapse, expand } from "../ops/expand.ts";
import {
  type Connection,
  expectChannels,
  expectStreams,
  expectSublayer,
  precisions,
  storages,
  streamsForm,
} from "./connection.ts";
import { type Configuration, type ConnectionEntry, streamPrecisionOption, streamsOption } from "./entry.ts";
import { MOST_WIDTH } from "../basics/bounds.ts";
import { count } from "../basics/schemas.ts";
import { PHI_DEVIATION } from "./initialisation.ts";

/** The norm's epsilon. Two norms follow each other, so a tiny one would overflow backwards for a token of zeros. */
const EPSILON = 1e-6;

/** The options of the gated residual. */
export interface GatedResidualOptions {
  /** Number n of streams. Default 4, as in the paper. */
  readonly streams?: number;
  /** Inner width r of the gates' projection. Default 16. */
  readonly rank?: number;
  /** How streams are kept between the sublayers. Default "float32"; every formula is computed in float32. */
  readonly streamPrecision?: StreamPrecision;
}

const optionRules: FieldRules<GatedResidualOptions> = {
  streams: "number",
  rank: "number",
  streamPrecision: precisions,
};

/**
 * The gated residual: read n streams through elementwise gates, write with one weight a stream, mix nothing
 * (Qwen3.8-Next, arXiv 2608.30320). State [T, n, C]; nC (2r + n + 1) parameters a sublayer, and
 * nC (2r + 1) for the end of the network, which is learned: make it with `ending`.
 *
 * @throws RangeError unless streams is a whole number from 1 to 32 and rank one from 1
 */
export function gatedResidual(options: GatedResidualOptions = {}): Connection<Tensor> {
  expectFields("gatedResidual", options, optionRules);
  const { streams: n = 4, rank = 16, streamPrecision = "float32" } = options;
  expectStreams("gated-residual", n);
  if (!Number.isInteger(rank) || rank < 1)
    throw new RangeError(`gated-residual: the rank must be a whole number, 1 or more, got ${rank}.`);
  const { keep, use } = storages[streamPrecision];
  return {
    name: "gated-residual",
    form: streamsForm(n, streamPrecision),
    expand: (x_TC) => keep(expand(x_TC, n)),
    sublayer(parameters, sublayer) {
      expectSublayer("gated-residual", sublayer);
      const { channels } = sublayer;
      const read = gatedRead(parameters, n, rank, channels);
      const inject = parameters.create("inject", [n * channels, n], { normal: PHI_DEVIATION }, "connection");
      return {
        apply(state, block) {
          const x_TNC = use(state);
          expectChannels("gated-residual", x_TNC, channels);
          const tokens = rowCount(x_TNC.shape.slice(0, -1));
          const { u_TC, normed_TK } = read(x_TNC);
          const weights_TN = scale(sigmoid(scale(matmul(normed_TK, inject), 1 / n)), 2);
          const y_TC = block(u_TC);
          const written = batchedMatmul(reshape(weights_TN, [tokens, n, 1]), reshape(y_TC, [tokens, 1, channels]));
          return { state: keep(add(x_TNC, reshape(written, x_TNC.shape))) };
        },
      };
    },
    collapse: (state) => collapse(use(state), "mean"),
    ending(parameters, { channels }) {
      const read = gatedRead(parameters, n, rank, channels);
      return { collapse: (state) => read(use(state)).u_TC };
    },
  };
}

/** What is read, [..., C], and the normalised streams side by side, [T, nC]. */
function gatedRead(
  parameters: ParameterSet,
  n: number,
  rank: number,
  channels: number,
): (x_TNC: Tensor) => { u_TC: Tensor; normed_TK: Tensor } {
  const width = n * channels;
  const norm = parameters.create("norm", [width], { constant: 1 }, "connection");
  const down = parameters.create("down", [width, rank], { normal: PHI_DEVIATION }, "connection");
  const up = parameters.create("up", [rank, width], { constant: 0 }, "connection");
  return (x_TNC) => {
    const tokens = rowCount(x_TNC.shape.slice(0, -1));
    const ones = constant(Array<number>(channels).fill(1), [channels]);
    const units_TK = reshape(rmsNorm(x_TNC, ones, EPSILON), [tokens, width]);
    const normed_TK = multiply(units_TK, broadcast(norm, [tokens, width]));
    const gate_TK = sigmoid(matmul(silu(scale(matmul(normed_TK, down), 1 / n)), up));
    return { u_TC: collapse(reshape(multiply(gate_TK, normed_TK), x_TNC.shape), "mean"), normed_TK };
  };
}

/** The gated residual as plain data. */
export type GatedResidualConfig = Configuration<"gated-residual", GatedResidualOptions, "streams" | "rank">;

export const gatedResidualEntry: ConnectionEntry<GatedResidualConfig> = {
  kind: "gated-residual",
  options: { streams: streamsOption, rank: count(MOST_WIDTH).default(16), streamPrecision: streamPrecisionOption },
  make: gatedResidual,
};
