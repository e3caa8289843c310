// Question: what is the transformer?
//
// It is decoder-only and pre-norm: an embedding, then blocks of two sublayers (causal attention with rotary
// positions, SwiGLU), a last RMSNorm, and an output matrix that is not tied to the embedding. The connection that
// the configuration names joins the sublayers; the blocks do not know which one it is.
//
// Legend: B sequences, T tokens a sequence, N = B·T tokens, C channels, V vocabulary, M coefficients.

import { expectModelConfig } from "./config.ts";
import type { Adjust, Sequences, State, Sublayer, SublayerResult } from "../connections/connection.ts";
import { given } from "../basics/given.ts";
import { add } from "../ops/elementwise.ts";
import { createParameters, type ParameterSet, expectParameters } from "../graph/parameters.ts";
import { checkpoint, keep, scope, sizeOf, type Tensor } from "../graph/tensor.ts";
import { concat } from "../ops/concat.ts";
import { fill } from "../ops/fill.ts";
import { headCrossEntropy } from "../ops/head-cross-entropy.ts";
import { multiply } from "../ops/elementwise.ts";
import { embedding } from "../ops/gather.ts";
import { matmul } from "../ops/matmul.ts";
import { broadcast, mean } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { rotary } from "../ops/rotary.ts";
import { slice } from "../ops/slice.ts";
import { swiglu } from "../ops/swiglu.ts";
import { type Attending, wholeSequences } from "./attending.ts";
import type { ModelConfig } from "./config.ts";
import { type HeadMatrices, headMixing } from "./head-mixing.ts";
import { DEVIATION, outputDeviation } from "./initial.ts";
import { type CarriedKeyValues, carryKeyValues } from "./key-values.ts";
import { latentAttentionBlock, rotarySize } from "./latent-attention.ts";
import { type ExpertSharing, mixtureBlock, mixtureOf, type Routing } from "./mixture.ts";
import { modelConnection, sublayerRole } from "./overrides.ts";

/**
 * What can be observed of a sublayer. Where streams are mixed, that includes the coefficients [N, M], the streams
 * [N, n, C] that enter, and the logits [N, S] of H_res if it has any; what its connection adds to the training loss,
 * and what falls while it trains.
 */
export interface ObservedSublayer extends Omit<SublayerResult, "state"> {
  /** What the block reads, before its norm, [N, C]. */
  readonly read_NC: Tensor;
  /** What the block returns, [N, C]. */
  readonly result_NC: Tensor;
  /** How its heads mix, where they do. */
  readonly heads?: HeadMatrices;
}

/** What a model computes from tokens before it scores the vocabulary. */
export interface Hidden {
  /** Normalised hidden states, [N, C]. */
  readonly hidden_NC: Tensor;
  /** The observations of every sublayer, in order of depth. */
  readonly sublayers: readonly ObservedSublayer[];
  /** Where each mixture of experts sent the tokens, in order of depth. */
  readonly routing: readonly Routing[];
}

/** What passes from one sublayer to the next, and from one holder of sublayers to another. */
export interface Passing {
  readonly state: State;
  /** The values of the first attention layer, where later ones read them. */
  readonly firstValues?: Tensor;
  /** The keys and values of earlier attention layers, where a connection carries them. */
  readonly keyValues?: State;
}

/** Which sublayers work, on which tokens. */
export interface Piece {
  /** B and T. */
  readonly batch: number;
  readonly length: number;
  /** The first sublayer, and the one after the last, from 0. */
  readonly from: number;
  readonly to: number;
  /** See `LanguageModel.hidden`; counted from the first of these sublayers. */
  readonly storeEvery?: number | undefined;
}

/** What some sublayers made. */
export interface Through extends Omit<Hidden, "hidden_NC"> {
  readonly leaving: Passing;
}

/** A decoder-only transformer over parameters that exist once; each method builds a graph. */
export interface LanguageModel {
  readonly config: ModelConfig;
  /** Sublayers: two for each layer. */
  readonly sublayers: number;
  /** What enters the first sublayer, of tokens [B, T]. */
  enter(tokens_BT: Tensor): Passing;
  /** What some sublayers make of what enters them. */
  through(entering: Passing, piece: Piece): Through;
  /** What leaves the last sublayer, normalised: [N, C]. */
  leave(leaving: Passing): Tensor;
  /**
   * @param tokens_BT i32
   * @param storeEvery store the state every `storeEvery` sublayers and each block's result, and compute what
   *   lies between (reads, coefficients, norms, writes) again in the backward pass. Default: store everything
   * @param attending where keys and values come from. Default: the tokens' own sequences
   * @param adjustments functions that change the coefficients of a sublayer before they are used, by its position
   *   from 0, where streams are mixed. Default: none
   */
  hidden(tokens_BT: Tensor, storeEvery?: number, attending?: Attending, adjustments?: readonly Adjust[]): Hidden;
  /** Scores of the next token, [N, V]. */
  logits(hidden_NC: Tensor): Tensor;
  /**
   * Mean cross-entropy over all tokens, in nats.
   *
   * @param weights_BT what each token's is multiplied by before the mean. Default: nothing
   */
  loss(hidden_NC: Tensor, targets_BT: Tensor, weights_BT?: Tensor): Tensor;
}

/**
 * Make the parameters of a language model, once; its methods build graphs over them, any number of times.
 * Pre-norm blocks of causal attention with rotary positions and SwiGLU, joined by the configured connection.
 *
 * @param config sizes and connection
 * @param parameters where the parameters go, in a fixed order and with fixed names
 * @param sharing the ranks that share the experts of its mixtures; its programs then need `overRanks`. Default: none
 */
export function languageModel(config: ModelConfig, parameters: ParameterSet, sharing?: ExpertSharing): LanguageModel {
  expectModelConfig("languageModel", config);
  expectParameters("languageModel", parameters);
  const { vocabulary, width, layers, normEpsilon } = config;
  const connection = modelConnection(config);
  const table_VC = parameters.create("embedding", [vocabulary, width], { normal: DEVIATION }, "embedding");
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const layerParameters = parameters.under(`layers.${layer}`);
    const { attention } = config;
    const mixture = mixtureOf(config, layer);
    return [
      sublayer(layerParameters.under("attention"), 2 * layer, (parts) =>
        attention ? latentAttentionBlock(parts, { ...config, attention }, layer) : attentionBlock(parts, config, layer),
      ),
      sublayer(layerParameters.under("feedForward"), 2 * layer + 1, (parts) =>
        mixture ? mixtureBlock(parts, config, mixture, layer, sharing) : feedForwardBlock(parts, config),
      ),
    ];
  }).flat();
  const ending = connection.ending?.(parameters.under("ending"), { channels: width }) ?? connection;
  const norm_C = parameters.create("norm", [width], { constant: 1 }, "norm");
  const head_CV = parameters.create("head", [width, vocabulary], { normal: DEVIATION }, "embedding");

  type ModelBlock = (x_NC: Tensor, context: SequenceContext) => Tensor;
  function sublayer(sublayerParameters: ParameterSet, index: number, make: (parameters: ParameterSet) => ModelBlock) {
    const wiring: Sublayer = connection.sublayer(sublayerParameters.under("connection"), { channels: width, index });
    const weight_C = sublayerParameters.create("norm", [width], { constant: 1 }, "norm");
    const block = make(sublayerParameters);
    return (state: State, context: SequenceContext): SublayerResult & ObservedSublayer =>
      scope(`layers.${index >> 1}.${sublayerRole(index)}`, () => {
        let seen: Pick<ObservedSublayer, "read_NC" | "result_NC" | "heads"> | undefined;
        const observed = (read_NC: Tensor): Tensor => {
          const normal_NC = rmsNorm(read_NC, weight_C, normEpsilon);
          context.heads = undefined;
          const result_NC = keep(() => block(normal_NC, context));
          seen = { read_NC, result_NC, ...given({ heads: context.heads }) };
          return result_NC;
        };
        const result = wiring.apply(state, observed, context.adjustments[index], sequencesOf(context, layers + index));
        if (!seen) throw new Error(`${connection.name}: its sublayer did not call the block it was given.`);
        return { ...result, ...seen };
      });
  }

  const contextOf = (
    { batch, length }: Pick<Piece, "batch" | "length">,
    attending = wholeSequences,
    adjustments: readonly Adjust[] = [],
  ): SequenceContext => ({
    batch,
    length,
    attending,
    adjustments,
    routing: [],
    angles: attending.angles({ length, dimension: rotarySize(config), theta: config.ropeTheta }),
  });
  const enter = (tokens_BT: Tensor): State =>
    connection.expand(embedding(table_VC, reshape(tokens_BT, [sizeOf(tokens_BT.shape)])));
  const run = (
    entering: State,
    context: SequenceContext,
    some: typeof blocks,
    storeEvery: number | undefined,
  ): { state: State; sublayers: ObservedSublayer[] } => {
    let state = entering;
    const sublayers: ObservedSublayer[] = [];
    const runSome = (group: typeof blocks): void => {
      for (const block of group) {
        const { state: next, ...observed } = block(state, context);
        state = next;
        sublayers.push(observed);
      }
    };
    if (storeEvery === undefined) runSome(some);
    else for (let l = 0; l < some.length; l += storeEvery) checkpoint(() => runSome(some.slice(l, l + storeEvery)));
    return { state, sublayers };
  };
  const leave = (state: State): Tensor => rmsNorm(ending.collapse(state), norm_C, normEpsilon);

  return {
    config,
    sublayers: blocks.length,
    hidden(tokens_BT, storeEvery, attending, adjustments) {
      const [batch, length] = tokens_BT.shape as [number, number];
      const context = contextOf({ batch, length }, attending, adjustments);
      const { state, sublayers } = run(enter(tokens_BT), context, blocks, storeEvery);
      return { hidden_NC: leave(state), sublayers, routing: context.routing };
    },
    enter: (tokens_BT) => ({ state: enter(tokens_BT) }),
    through({ state: entering, ...before }, piece) {
      const context = Object.assign(contextOf(piece), before);
      const { state, sublayers } = run(entering, context, blocks.slice(piece.from, piece.to), piece.storeEvery);
      const { firstValues, keyValues } = context;
      return {
        leaving: { state, ...given({ firstValues, keyValues }) },
        sublayers,
        routing: context.routing,
      };
    },
    leave: ({ state }) => leave(state),
    logits: (hidden_NC) => scope("head", () => matmul(hidden_NC, head_CV)),
    loss(hidden_NC, targets_BT, weights_BT) {
      const rows = hidden_NC.shape[0]!;
      return scope("head", () => {
        const loss_N = headCrossEntropy(hidden_NC, head_CV, reshape(targets_BT, [rows]));
        return mean(weights_BT ? multiply(loss_N, reshape(weights_BT, [rows])) : loss_N);
      });
    },
  };
}

/** The parameters of a model, for callers that need only their names, shapes and starts. */
export function modelParameters(config: ModelConfig): ParameterSet {
  const parameters = createParameters();
  languageModel(config, parameters);
  return parameters;
}

interface SequenceContext extends CarriedKeyValues {
  readonly batch: number;
  readonly length: number;
  readonly attending: Attending;
  readonly adjustments: readonly Adjust[];
  /** Cosines and sines of the rotary positions. */
  readonly angles: Tensor;
  readonly routing: Routing[];
  /** The values of the first attention layer, [B, T, kvHeads · headSize], after it was built. */
  firstValues?: Tensor;
  /** Of the attention layer that was built last. */
  heads?: HeadMatrices | undefined;
}

/** Columns of the zeros that stand for queries and keys. */
const NO_KEYS = 4;

/**
 * What a connection can ask of the context: a mean over earlier tokens is attention whose queries and keys are zero, so
 * that a decoder keeps what it needs as it keeps keys and values.
 */
function sequencesOf({ batch, length, attending }: SequenceContext, place: number): Sequences {
  return {
    meanSoFar(x_NK) {
      const size = x_NK.shape[1]!;
      const nothing = fill([batch, length, 2 * NO_KEYS], 0);
      const packed = concat([nothing, reshape(x_NK, [batch, length, size])], 2);
      const heads = { heads: 1, kvHeads: 1, headSize: NO_KEYS, valueSize: size };
      return reshape(attending.attend(packed, heads, place), x_NK.shape);
    },
  };
}

function attentionBlock(parameters: ParameterSet, config: ModelConfig, layer: number) {
  const { width, heads, kvHeads } = config;
  const headSize = width / heads;
  const packed = (heads + 2 * kvHeads) * headSize;
  const columns = [width, kvHeads * headSize, kvHeads * headSize];
  const qkv_CE = parameters.create("qkv", [width, packed], { normal: DEVIATION }, "weight", { columns });
  const output_CC = parameters.create("output", [width, width], { normal: outputDeviation(config) }, "weight");
  const withValues = config.valueResidual ? valueResidual(parameters, layer, kvHeads * headSize) : undefined;
  const carry =
    config.keyValues &&
    carryKeyValues(parameters.under("keyValues"), config.keyValues, { layer, columns: kvHeads * headSize });
  const mixed = config.headMixing && headMixing(parameters.under("heads"), config.headMixing, config);
  return (x_NC: Tensor, context: SequenceContext): Tensor => {
    const { batch, length, angles, attending } = context;
    const own_NE = matmul(x_NC, qkv_CE);
    const qkv_NE = carry?.(own_NE, context, sequencesOf(context, 3 * config.layers + layer)) ?? own_NE;
    const turned_BTE = rotary(reshape(qkv_NE, [batch, length, packed]), angles, { heads: heads + kvHeads, headSize });
    const given_BTE = withValues?.(turned_BTE, context) ?? turned_BTE;
    const mixture = mixed?.(given_BTE, x_NC, attending.attend, layer);
    context.heads = mixture?.matrices;
    const mixed_BTC = mixture?.mixed_BTC ?? attending.attend(given_BTE, { heads, kvHeads, headSize }, layer);
    return matmul(reshape(mixed_BTC, [batch * length, width]), output_CC);
  };
}

/**
 * Value residual (Zhou et al. 2024, arXiv 2410.17897): every attention layer but the first mixes its
 * values with those of the first, V_l = a V_0 + b V_l, by two learned numbers that start at ½ each.
 */
function valueResidual(parameters: ParameterSet, layer: number, size: number) {
  const shares = layer === 0 ? undefined : parameters.create("valueShares", [2], { constant: 0.5 }, "connection");
  return (qkv_BTE: Tensor, context: SequenceContext): Tensor => {
    const rest = qkv_BTE.shape[2]! - size;
    const values_BTV = slice(qkv_BTE, 2, rest, size);
    const first_BTV = (context.firstValues ??= values_BTV);
    if (!shares) return qkv_BTE;
    const times = (x: Tensor, share: number): Tensor =>
      multiply(x, broadcast(reshape(slice(shares, 0, share, 1), []), x.shape));
    return concat([slice(qkv_BTE, 2, 0, rest), add(times(first_BTV, 0), times(values_BTV, 1))], 2);
  };
}

function feedForwardBlock(parameters: ParameterSet, config: ModelConfig) {
  const { width, hidden } = config;
  const columns = [hidden, hidden];
  const gateUp_CH = parameters.create("gateUp", [width, 2 * hidden], { normal: DEVIATION }, "weight", { columns });
  const down_HC = parameters.create("down", [hidden, width], { normal: outputDeviation(config) }, "weight");
  return (x_NC: Tensor): Tensor => matmul(swiglu(matmul(x_NC, gateUp_CH)), down_HC);
}
