// Question: what are Hyper-Connections (HC)?
//
// Hyper-Connections (Zhu et al., ICLR 2025, arXiv 2409.19606), as restated in Eq. 5 of the mHC paper
// (arXiv 2512.24880):
//
//   x_{l+1} = H_res x_l + H_postᵀ F(H_pre x_l),   H = α · tanh(θ x̃ᵀ) + b,   x̃ = RMSNorm of each stream
//
// Static: H = b alone, the same for all tokens. Without tanh: H = α · θ x̃ᵀ + b.
// State: n streams. Parameters a sublayer: n² + 2n, and (n + 2) C + 3 more for the dynamic form.
// Nothing bounds H_res, so the product over many layers can grow: the reason mHC exists.
// Start: θ = 0, α = 0.01, H_pre = e_(l mod n), H_post = 1, H_res = I: exactly the pre-norm residual.

import { z } from "zod";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { hyperCoefficients } from "../ops/hyper-coefficients.ts";
import { broadcast } from "../ops/reductions.ts";
import { collapse } from "../ops/expand.ts";
import type { StreamPrecision } from "../ops/bfloat16.ts";
import {
  type Collapse,
  collapses,
  type Connection,
  expectStreams,
  precisions,
  type SublayerOptions,
} from "./connection.ts";
import { type Configuration, type ConnectionEntry, streamPrecisionOption, streamsOption } from "./entry.ts";
import { ALPHA, identityMatrix, oneHot } from "./initialisation.ts";
import { streamsConnection } from "./streams.ts";

/** The options of Hyper-Connections. */
export interface HcOptions {
  /** Number n of streams. Default 4. */
  readonly streams?: number;
  /** How streams join at the end. Default "sum", as in the paper. */
  readonly collapse?: Collapse;
  /** Whether the coefficients depend on the token. Default true. */
  readonly dynamic?: boolean;
  /** Whether tanh bounds the dynamic part. Default true. */
  readonly tanh?: boolean;
  /** How streams are kept between the sublayers. Default "float32"; every formula is computed in float32. */
  readonly streamPrecision?: StreamPrecision;
}

const optionRules: FieldRules<HcOptions> = {
  streams: "number",
  collapse: collapses,
  dynamic: "flag",
  tanh: "flag",
  streamPrecision: precisions,
};

/**
 * Hyper-Connections: read, mix and write n streams with unconstrained learned coefficients (Zhu et al.,
 * ICLR 2025, arXiv 2409.19606). State [T, n, C]; n² + 2n parameters a sublayer, and (n + 2) C + 3 more
 * where the coefficients depend on the token.
 *
 * @throws RangeError unless streams is a whole number from 1 to 32
 */
export function hc(options: HcOptions = {}): Connection<Tensor> {
  expectFields("hc", options, optionRules);
  const { streams = 4, collapse: how = "sum", dynamic = true, tanh = true, streamPrecision = "float32" } = options;
  expectStreams("hc", streams);
  return streamsConnection({
    name: "hc",
    streams,
    streamPrecision,
    deciding(parameters, sublayer) {
      const coefficientsOf = (dynamic ? dynamicCoefficients : staticCoefficients)(parameters, streams, sublayer, tanh);
      return (x_TNC) => ({ coefficients: coefficientsOf(x_TNC) });
    },
    collapse: (x_TNC) => collapse(x_TNC, how),
  });
}

type CoefficientsOf = (x_TNC: Tensor) => Tensor;

function dynamicCoefficients(
  parameters: ParameterSet,
  n: number,
  options: SublayerOptions,
  tanh: boolean,
): CoefficientsOf {
  const theta = parameters.create("theta", [n + 2, options.channels], { constant: 0 }, "connection");
  const alpha = parameters.create("alpha", [3], { constant: ALPHA }, "connection");
  const bias = staticPart(parameters, n, options);
  return (x_TNC) => hyperCoefficients(x_TNC, theta, alpha, bias, { tanh });
}

function staticCoefficients(parameters: ParameterSet, n: number, options: SublayerOptions): CoefficientsOf {
  const bias = staticPart(parameters, n, options);
  return (x_TNC) => broadcast(bias, [...x_TNC.shape.slice(0, -2), n * n + 2 * n]);
}

function staticPart(parameters: ParameterSet, n: number, { index }: SublayerOptions): Tensor {
  const values = [...oneHot(n, index % n), ...Array<number>(n).fill(1), ...identityMatrix(n, 1)];
  return parameters.create("bias", [n * n + 2 * n], { values }, "connection");
}

/** Hyper-Connections as plain data. */
export type HcConfig = Configuration<"hc", HcOptions, "streams" | "collapse">;

export const hcEntry: ConnectionEntry<HcConfig> = {
  kind: "hc",
  options: {
    streams: streamsOption,
    collapse: z.enum(collapses).default("sum"),
    dynamic: z.boolean().exactOptional(),
    tanh: z.boolean().exactOptional(),
    streamPrecision: streamPrecisionOption,
  },
  make: hc,
};
