// Question: what are attention residuals?
//
// Attention residuals (AttnRes, Kimi Team 2026, arXiv 2603.15031): a sublayer reads a softmax-weighted
// sum of the outputs of all sublayers before it, the embedding included, instead of their plain sum.
//
//   h_{l+1} = Σ_i p_i s_i,  p = softmax_i(qᵀ RMSNorm(s_i)),  s_0 = embedding, s_{i+1} = F_i(h_i),  h_0 = s_0
//
// q [C] is one learned query a sublayer, the same for all tokens. (The norm has no weight, because q would
// absorb it.) To save memory, the outputs of `blockSize` consecutive sublayers can be summed into one source,
// which grows while its block lasts. The embedding always remains a separate source.
//
// The query comes after its sublayer, so the last query forms what leaves the network. The first sublayer
// needs no query, because it can read only the embedding.
// State: h and the sources, (l + 2) · C numbers a token before sublayer l, (⌈l / blockSize⌉ + 2) · C in
// blocks. Parameters a sublayer: C. Costs two passes over every source a sublayer.
// Start: q = 0, all weights equal: h is the mean of what pre-norm sums. A block that normalises what it
// reads cannot tell the two apart, so a pre-norm network computes exactly what it does with the residual.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { add } from "../ops/elementwise.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { concat } from "../ops/concat.ts";
import { sumLast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { softmax } from "../ops/softmax.ts";
import { weightedSum } from "../ops/weighted-sum.ts";
import { type Connection, expectChannels, expectSublayer } from "./connection.ts";
import { type Configuration, type ConnectionEntry } from "./entry.ts";
import { count } from "../basics/schemas.ts";

/** The options of attention residuals. */
export interface AttentionResidualsOptions {
  /** How many consecutive sublayers share one source. Default 1: every output is a separate source. */
  readonly blockSize?: number;
}

/** What attention residuals pass on: h, then the sources s_0 … s_k, each [T, C]. */
export type AttentionResidualsState = readonly [h_TC: Tensor, ...sources: Tensor[]];

const optionRules: FieldRules<AttentionResidualsOptions> = { blockSize: "number" };

/**
 * Attention residuals: every sublayer attends over the outputs of those before it (AttnRes, Kimi Team 2026,
 * arXiv 2603.15031). State: what it reads and the sources, each [T, C]; C parameters a sublayer.
 *
 * @throws RangeError unless blockSize is a whole number, 1 or more
 */
export function attentionResiduals(options: AttentionResidualsOptions = {}): Connection<AttentionResidualsState> {
  expectFields("attentionResiduals", options, optionRules);
  const { blockSize = 1 } = options;
  if (!Number.isInteger(blockSize) || blockSize < 1) {
    throw new RangeError(
      `attention-residuals: blockSize must be a whole number of sublayers, 1 or more, got ${blockSize}.`,
    );
  }
  return {
    name: "attention-residuals",
    form: blockSize === 1 ? "all outputs so far" : `outputs so far in blocks of ${blockSize}`,
    expand: (x_TC) => [x_TC, x_TC],
    sublayer(parameters, sublayer) {
      expectSublayer("attention-residuals", sublayer);
      const { channels, index } = sublayer;
      const query_C = parameters.create("query", [channels], { constant: 0 }, "connection");
      const opensBlock = index % blockSize === 0;
      return {
        apply([h_TC, ...before], block) {
          expectChannels("attention-residuals", h_TC, channels);
          const y_TC = block(h_TC);
          const last = before.at(-1);
          const sources = opensBlock || !last ? [...before, y_TC] : [...before.slice(0, -1), add(last, y_TC)];
          return { state: [attend(query_C, sources), ...sources] };
        },
      };
    },
    collapse: ([h_TC]) => h_TC,
  };
}

/** Σ_i softmax_i(qᵀ RMSNorm(s_i)) s_i, for every token. */
function attend(query_C: Tensor, sources: readonly Tensor[]): Tensor {
  const scores = sources.map((source) => {
    const score = sumLast(rmsNorm(source, query_C, 1e-20));
    return reshape(score, [rowCount(source.shape), 1]);
  });
  return weightedSum(softmax(concat(scores, 1)), sources);
}

/** Attention residuals as plain data. */
export type AttentionResidualsConfig = Configuration<"attention-residuals", AttentionResidualsOptions, "blockSize">;

export const attentionResidualsEntry: ConnectionEntry<AttentionResidualsConfig> = {
  kind: "attention-residuals",
  options: { blockSize: count().default(1) },
  make: attentionResiduals,
};
