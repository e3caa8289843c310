// Question: what is a feed-forward sublayer of many experts, of which each token uses a few?
//
// The mixture of DeepSeek-V3 (arXiv 2412.19437, §2.1.2), where each F_e is a SwiGLU with its own weights:
//
//   s = σ(x W_router),  chosen = the k experts with the largest s_e + b_e,  w_e = scale · s_e / Σ chosen s
//   w_e = scale · s_e without `normalise`, which is the default for k = 1: s / s would teach the router nothing
//   y = F_shared(x) + Σ over the chosen of w_e F_e(x)
//
// The bias b balances the load without a loss term: after a step it falls by `balanceRate` for an expert with
// more tokens than the mean and rises for one with fewer. It affects which experts are chosen, not their weights.
// No token is dropped. How many tokens an expert gets is data, so shapes do not depend on it. The shared
// experts see every token, so they are one SwiGLU of their combined width. The first `denseLayers` layers have
// the model's plain feed-forward.
//
// Ranks may share the experts of a layer: each holds E/R of them, and sends the rows of its tokens to those that hold
// theirs (ops/expert-exchange.ts). The shared experts and the router are on every rank.
//
// Legend: N tokens, C channels, E experts, k active, P = N·k pairs, H inner width of an expert, R ranks.

import { z } from "zod";
import { isObject } from "../basics/objects.ts";
import { MOST_TOKENS, MOST_WIDTH } from "../basics/bounds.ts";
import { count, countFromZero, finiteFloat32, positiveFloat32 } from "../basics/schemas.ts";
import { add } from "../ops/elementwise.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { dispatch } from "../ops/dispatch.ts";
import { returnFromExperts, sendToExperts } from "../ops/expert-exchange.ts";
import { expertRows } from "../ops/expert-rows.ts";
import { expertSum } from "../ops/expert-sum.ts";
import { sigmoid } from "../ops/elementwise.ts";
import { sequenceBalance } from "../ops/sequence-balance.ts";
import { chooseExperts } from "../ops/expert-choice.ts";
import { expertMatmul } from "../ops/expert-matmul.ts";
import { matmul } from "../ops/matmul.ts";
import { swiglu } from "../ops/swiglu.ts";
import { DEVIATION, outputDeviation } from "./initial.ts";

/** A mixture of experts in place of the plain feed-forward. */
export interface MixtureConfig {
  readonly kind: "moe";
  /** Routed experts E. */
  readonly experts: number;
  /** Routed experts a token uses, k. */
  readonly active: number;
  /** Additional experts that every token uses. */
  readonly shared: number;
  /** Inner width of one expert. */
  readonly hidden: number;
  /** Leading layers with a plain feed-forward of the model's `hidden`. */
  readonly denseLayers: number;
  /** How far the bias of an expert moves after a step. Default 0.001, as in DeepSeek-V3. */
  readonly balanceRate: number;
  /** Weight of the sequence-wise balance loss in the training loss; absent means none. DeepSeek-V3: 0.0001. */
  readonly balanceLoss?: number;
  /** The sum of the weights of a token's routed experts; absent means 1. */
  readonly scale?: number;
  /**
   * Whether the weights of a token's experts are divided by their sum. Absent means yes for several active experts and
   * no for one, whose weight would always be the scale, so that the router would get no gradient.
   */
  readonly normalise?: boolean;
}

export const mixtureSchema: z.ZodType<MixtureConfig> = z
  .strictObject({
    kind: z.literal("moe"),
    experts: count(MOST_WIDTH),
    active: count(MOST_WIDTH),
    shared: countFromZero(MOST_WIDTH).default(1),
    hidden: count(MOST_TOKENS),
    denseLayers: countFromZero().default(1),
    balanceRate: finiteFloat32.min(0).default(1e-3),
    balanceLoss: finiteFloat32.min(0).exactOptional(),
    scale: positiveFloat32.exactOptional(),
    normalise: z.boolean().exactOptional(),
  })
  .superRefine(({ active, experts }, context) => {
    if (active > experts)
      context.addIssue({
        code: "custom",
        path: ["active"],
        message: `${active} is given; it must be at most the number of experts, ${experts}`,
      });
  })
  // Written down, because runs of before this field divided (`withOlderMeaning`).
  .transform((mixture) => (mixture.active === 1 ? { normalise: false, ...mixture } : mixture));

/**
 * A stored mixture with what it meant when it was stored: before the field `normalise`, weights were always divided.
 *
 * @param feedForward plain data of any shape; what is no mixture is left as it is
 */
export function withOlderMeaning(feedForward: unknown): unknown {
  if (!isObject(feedForward) || feedForward["active"] !== 1 || "normalise" in feedForward) return feedForward;
  return { ...feedForward, normalise: true };
}

/** What this file needs to know about a model. */
interface Sizes {
  readonly width: number;
  readonly layers: number;
  readonly feedForward?: MixtureConfig | undefined;
}

/** What a mixture decided in one pass, and the state that balances it. */
export interface Routing {
  readonly layer: number;
  /** The parameter b, [E]; see `balanceBias`. */
  readonly bias_E: Tensor;
  /** Tokens of each expert, [E]. */
  readonly load_E: Tensor;
  /** How unevenly each sequence used the experts, [B]; 1 is even. Absent unless it is part of the loss. */
  readonly unevenness_B?: Tensor;
}

/** The mixture in a layer, unless its feed-forward is plain. */
export function mixtureOf({ feedForward }: Pick<Sizes, "feedForward">, layer: number): MixtureConfig | undefined {
  return feedForward && layer >= feedForward.denseLayers ? feedForward : undefined;
}

/**
 * The parameters of a model that do not count as active: the experts that a token does not use, and the embedding,
 * since a token reads only one row of it (this is how Table 5 of the mHC paper counts).
 */
export function inactiveParameters(config: Sizes & { readonly vocabulary: number }): number {
  const { feedForward, layers, width, vocabulary } = config;
  const { experts, active, hidden, denseLayers } = feedForward ?? { experts: 0, active: 0, hidden: 0, denseLayers: 0 };
  return Math.max(0, layers - denseLayers) * (experts - active) * 3 * width * hidden + vocabulary * width;
}

/** The ranks that share the experts of each layer, as one of them sees it. */
export interface ExpertSharing {
  /** R. */
  readonly ranks: number;
  /** Which of them this is, from 0. */
  readonly part: number;
}

/**
 * One mixture; it adds what it decided to the context's `routing`.
 *
 * @param sharing default: this process has all experts
 * @throws RangeError when the ranks cannot share them equally
 */
export function mixtureBlock(
  parameters: ParameterSet,
  config: Omit<Sizes, "feedForward">,
  mixture: MixtureConfig,
  layer: number,
  { ranks, part }: ExpertSharing = { ranks: 1, part: 0 },
): (x_NC: Tensor, context: { readonly length: number; readonly routing: Routing[] }) => Tensor {
  const { width } = config;
  const { experts, active, shared, hidden, balanceLoss, scale = 1, normalise = active > 1 } = mixture;
  const deviation = { normal: DEVIATION };
  const smaller = { normal: outputDeviation(config) };
  const router_CE = parameters.create("router", [width, experts], deviation, "weight", { exact: true });
  const bias_E = parameters.create("routerBias", [experts], { constant: 0 }, "balance");
  if (experts % ranks > 0)
    throw new RangeError(
      `${experts} experts are given, and ${ranks} ranks share them; each must have equally many. Take a number of ranks that divides ${experts}.`,
    );
  const own = experts / ranks;
  const share = ranks > 1 ? { share: { part, of: ranks } } : {};
  const gateUp_ECH = parameters.create("experts.gateUp", [own, width, 2 * hidden], deviation, "weight", {
    ...share,
    columns: [hidden, hidden],
  });
  const down_EHC = parameters.create("experts.down", [own, hidden, width], smaller, "weight", share);
  const feed = (rows_PC: Tensor, offsets: Tensor): Tensor =>
    expertMatmul(swiglu(expertMatmul(rows_PC, gateUp_ECH, offsets)), down_EHC, offsets);
  const across = (rows_PC: Tensor, offsets: Tensor): Tensor => {
    if (ranks === 1) return feed(rows_PC, offsets);
    const there = sendToExperts(rows_PC, offsets, ranks);
    return returnFromExperts(feed(there.rows, there.offsets), there);
  };
  const all = shared > 0 && {
    gateUp_CH: parameters.create("shared.gateUp", [width, 2 * shared * hidden], deviation, "weight", {
      columns: [shared * hidden, shared * hidden],
    }),
    down_HC: parameters.create("shared.down", [shared * hidden, width], smaller, "weight"),
  };
  return (x_NC, { length, routing }) => {
    const scores_NE = sigmoid(matmul(x_NC, router_CE));
    const chosen = chooseExperts(scores_NE, bias_E, { active, scale, normalise });
    const sent = dispatch(chosen.experts, experts);
    const results_PC = across(expertRows(x_NC, sent), sent.offsets);
    const routed_NC = expertSum(results_PC, sent, chosen.weights);
    const uneven = balanceLoss ? { unevenness_B: sequenceBalance(scores_NE, chosen.experts, length) } : {};
    routing.push({ layer, bias_E, load_E: sent.load, ...uneven });
    return all ? add(routed_NC, matmul(swiglu(matmul(x_NC, all.gateUp_CH)), all.down_HC)) : routed_NC;
  };
}
