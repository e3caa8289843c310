// Question: at least how many parameters has a model, counted by a formula before any graph of it is built?
//
// V vocabulary, C width, H heads, K key-value heads, F inner width of a SwiGLU:
//
//   ends           2 V C + C                          the embedding, the head and the last norm
//   a layer        2 C                                two norms
//     attention    C (H + 2 K) C/H + C²               plain; latent-attention.ts has the shapes of the other
//     feed-forward 3 C F                              plain; of a mixture: the router C E with its bias E, and
//                                                     3 C F for each of E experts and the shared ones
//
// Connections are left out, so it is a lower bound: what does not fit by it does not fit at all.

import type { ModelConfig } from "./config.ts";
import { mixtureOf } from "./mixture.ts";

/** What this file needs to know about a model. */
export type ModelSizes = Pick<
  ModelConfig,
  "vocabulary" | "width" | "layers" | "heads" | "kvHeads" | "hidden" | "attention" | "feedForward"
>;

/** The parameters of a model without those of its connections. */
export function leastParameters(model: ModelSizes): number {
  const { vocabulary, width, layers, hidden, feedForward } = model;
  const mixtures = feedForward ? Math.max(0, layers - feedForward.denseLayers) : 0;
  const mixture = mixtureOf(model, Number.POSITIVE_INFINITY);
  const sparse = mixture
    ? width * mixture.experts + mixture.experts + 3 * width * mixture.hidden * (mixture.experts + mixture.shared)
    : 0;
  const ends = 2 * vocabulary * width + width;
  return (
    ends + layers * (2 * width + attentionSize(model)) + (layers - mixtures) * 3 * width * hidden + mixtures * sparse
  );
}

function attentionSize({ width, heads, kvHeads, attention }: ModelSizes): number {
  if (!attention) return width * (heads + 2 * kvHeads) * (width / heads) + width * width;
  const { rank, queryRank, rotarySize, contentSize, valueSize } = attention;
  const headSize = rotarySize + contentSize;
  const queries =
    queryRank === undefined ? width * heads * headSize : width * queryRank + queryRank + queryRank * heads * headSize;
  const latent = width * (rank + rotarySize) + rank + rank * heads * (contentSize + valueSize);
  return queries + latent + heads * valueSize * width;
}
