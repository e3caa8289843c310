// Question: what do connections that read, mix and write n streams have in common?
//
//   x_{l+1} = H_res x_l + H_postᵀ F(H_pre x_l)                      (Eq. 3 of mHC, arXiv 2512.24880)
//
// Each connection decides the coefficients (H_pre | H_post | H_res) of a token from its streams, and how the
// streams become one at the end. The rest is here. State: the streams [T, n, C] as they are stored.

import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { StreamPrecision } from "../ops/bfloat16.ts";
import { streamRead } from "../ops/stream-read.ts";
import { streamWrite } from "../ops/stream-write.ts";
import { expand } from "../ops/expand.ts";
import {
  type Connection,
  expectChannels,
  expectSublayer,
  type Sequences,
  storages,
  streamsForm,
  type SublayerOptions,
  type SublayerResult,
  unadjusted,
} from "./connection.ts";

/** What a connection decides for each token: coefficients [..., M], and the logits [T, S] of H_res, if any. */
export interface Decided extends Pick<SublayerResult, "logits" | "penalty" | "falling"> {
  readonly coefficients: Tensor;
}

/** Decides from streams [T, n, C] in float32. */
export type Deciding = (x_TNC: Tensor, sequences?: Sequences) => Decided;

/** What distinguishes one such connection from another. */
export interface StreamsConnection {
  readonly name: string;
  /** The number n of streams. */
  readonly streams: number;
  readonly streamPrecision: StreamPrecision;
  /** Makes the parameters of a sublayer, and returns the function that decides from streams [T, n, C] in float32. */
  deciding(parameters: ParameterSet, options: SublayerOptions): Deciding;
  /** [T, n, C] → [T, C] */
  collapse(x_TNC: Tensor): Tensor;
  /** Where the end of the network is learned: makes its parameters, and returns the function that collapses. */
  ending?(parameters: ParameterSet, options: Pick<SublayerOptions, "channels">): (x_TNC: Tensor) => Tensor;
}

/** A connection of n streams around its decisions. */
export function streamsConnection({
  name,
  streams,
  streamPrecision,
  deciding,
  collapse,
  ending,
}: StreamsConnection): Connection<Tensor> {
  const { keep, use } = storages[streamPrecision];
  return {
    name,
    form: streamsForm(streams, streamPrecision),
    expand: (x_TC) => keep(expand(x_TC, streams)),
    sublayer(parameters, options) {
      expectSublayer(name, options);
      const decide = deciding(parameters, options);
      return {
        apply(state, block, adjust = unadjusted, sequences) {
          const x_TNC = use(state);
          expectChannels(name, x_TNC, options.channels);
          const decided = decide(x_TNC, sequences);
          const coefficients = adjust(decided.coefficients);
          const y_TC = block(streamRead(x_TNC, coefficients));
          const next = keep(streamWrite(x_TNC, coefficients, y_TC));
          return { ...decided, state: next, coefficients, streams: x_TNC };
        },
      };
    },
    collapse: (state) => collapse(use(state)),
    ...(ending && {
      ending(parameters, options) {
        const joined = ending(parameters, options);
        return { collapse: (state) => joined(use(state)) };
      },
    }),
  };
}
