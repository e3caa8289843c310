// Question: what is mHC?
//
// Manifold-Constrained Hyper-Connections (DeepSeek, arXiv 2512.24880), the whole idea in one screen. Instead of
// one residual stream there are n of them. Each sublayer F reads a mixture of the streams, mixes them among
// each other, and writes its result back to all:
//
//   x_{l+1} = H_res x_l + H_postᵀ F(H_pre x_l)                                 (Eq. 3; streams.ts)
//
// What a token reads, writes and mixes with, it decides itself:
//
//   x⃗' = RMSNorm(vec x_l)                      over all n·C entries of a token together
//   H̃  = α · (x⃗' φ) + b                         one small projection for all three maps     (Eq. 7)
//   H_pre = σ(H̃_pre)    H_post = 2σ(H̃_post)    H_res = Sinkhorn-Knopp(exp H̃_res)          (Eq. 8)
//
// Sinkhorn-Knopp makes columns, then rows, sum to one, 20 times over, which projects H_res onto the
// doubly stochastic matrices (the Birkhoff polytope). Those have spectral norm 1 and are closed under
// products, so no depth of layers can blow a signal up; rows come last, so the forward gain is exactly 1.
// Other choices for H_res are in manifolds/, by the option residualMap; what others made of the formulas
// above is in conventions/, by the option convention.

import { z } from "zod";
import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { StreamPrecision } from "../ops/stream-precision.ts";
import { composedCoefficients } from "./composed-coefficients.ts";
import { type Connection, expectStreams, type SublayerOptions } from "./connection.ts";
import { carriedConnection } from "./conventions/carried.ts";
import { type ConnectionParameters, conventionCoefficients } from "./conventions/coefficients.ts";
import { endingOf, endOf } from "./conventions/ending.ts";
import type { StreamsEnd } from "./conventions/convention.ts";
import { type MhcConventionName, mhcConventionNames, mhcConventions } from "./conventions/table.ts";
import { type Configuration, type ConnectionEntry, positive, streamPrecisionOption, streamsOption } from "./entry.ts";
import {
  type Initialisation,
  type InitialisationName,
  initialisationNames,
  initialisations,
} from "./initialisations.ts";
import { expectSupport, type ResidualMap } from "./manifolds/residual-map.ts";
import { sinkhornImplicitMap } from "./manifolds/sinkhorn-implicit.ts";
import { type ResidualMapName, residualMapNames, residualMaps } from "./manifolds/table.ts";
import { streamsConnection, type StreamsConnection } from "./streams.ts";

/**
 * mHC: read, mix and write n streams, the mixing projected onto the doubly stochastic matrices (DeepSeek,
 * arXiv 2512.24880). State [T, n, C], in the convention "deepseek-v4.1" with the coefficients [T, n² + 2n]
 * that read it next; with Sinkhorn-Knopp (n² + 2n)(nC + 1) + 3 parameters a sublayer, and n(nC + 1) + 1
 * for an end that is learned.
 *
 * @throws RangeError unless streams is a whole number from 1 to 32 that the residual map supports, and for an
 *   end or a residual map that the convention does not have
 */
export function mhc(
  options?: MhcOptions & { readonly convention?: Exclude<MhcConventionName, "deepseek-v4.1"> },
): Connection<Tensor>;
export function mhc(options: MhcOptions): Connection;
export function mhc({
  streams = 4,
  iterations = 20,
  residualMap = "sinkhorn",
  initialisation = "default",
  convention = "paper",
  collapse,
  streamPrecision = "float32",
}: MhcOptions = {}): Connection<Tensor> | Connection {
  expectStreams("mhc", streams);
  const end = endOf(convention, collapse);
  const map = residualMap === "sinkhorn-implicit" ? sinkhornImplicitMap(iterations) : residualMaps[residualMap];
  const start = typeof initialisation === "string" ? initialisations[initialisation] : initialisation;
  expectSupport(residualMap, map, streams);
  expectSinkhorn(residualMap, convention, end);

  const { norm, form } = mhcConventions[convention];
  // The paper's form has kernels of its own. Networks with a learned end have always used the general ones,
  // whose last bits differ; they keep them, so that old runs resume to the bit.
  const rules = { norm, form: convention === "paper" && end !== "learned" ? undefined : form };
  const kept: Omit<StreamsConnection, "collapse"> = {
    name: "mhc",
    streams,
    streamPrecision,
    deciding(parameters, sublayer) {
      const own = sublayerParameters(parameters, start, map, streams, sublayer); // φ, α, b
      return (x_TNC) =>
        residualMap === "sinkhorn"
          ? conventionCoefficients(x_TNC, own, rules, iterations)
          : composedCoefficients(x_TNC, own, map);
    },
  };
  return end === "carried"
    ? carriedConnection(kept)
    : streamsConnection({ ...kept, ...endingOf(end, convention, streams) });
}

/** φ, α and b of one sublayer; rows of φ and entries of b are pre (n) | post (n) | res. */
function sublayerParameters(
  parameters: ParameterSet,
  start: Initialisation,
  map: ResidualMap,
  n: number,
  { channels, index }: SublayerOptions,
): ConnectionParameters {
  const size = 2 * n + map.size(n);
  const res = map.exponential ? start.res(n) : map.bias(n);
  const bias = [...start.read(n, index), ...start.write(n, index), ...res];
  return {
    phi: parameters.create("phi", [size, n * channels], start.phi(size, n * channels), "connection"),
    alpha: parameters.create("alpha", [3], { constant: start.alpha }, "connection"),
    bias: parameters.create("bias", [size], { values: bias }, "connection"),
  };
}

function expectSinkhorn(residualMap: ResidualMapName, convention: MhcConventionName, end: StreamsEnd): void {
  if (residualMap === "sinkhorn" || (convention === "paper" && (end === "mean" || end === "sum"))) return;
  throw new RangeError(
    `mhc: residual map "${residualMap}" is for convention "paper" with its streams joined by mean or sum, got convention "${convention}" and collapse "${end}". Leave one of them out.`,
  );
}

/** What can be chosen of mHC. */
export interface MhcOptions {
  /** Number n of streams. Default 4, as in the paper. */
  readonly streams?: number;
  /** Sinkhorn-Knopp iterations (columns, then rows), for "sinkhorn" and "sinkhorn-implicit". Default 20, as in the paper. */
  readonly iterations?: number;
  /** Which matrices H_res is chosen from. Default "sinkhorn", as in the paper, with kernels of its own. */
  readonly residualMap?: ResidualMapName;
  /**
   * How the parameters start: by name (docs/initialisation.md compares them), or one of your own. Default
   * "default". What it says of H_res is for the maps that normalise exp(logits); the
   * others start as they say.
   */
  readonly initialisation?: InitialisationName | Initialisation;
  /** Whose formulas exactly; docs/conventions.md compares them. Default "paper". */
  readonly convention?: MhcConventionName;
  /**
   * How streams join at the end. Default: the convention's own way; in the paper's "mean", which keeps the
   * scale of a plain residual.
   */
  readonly collapse?: StreamsEnd;
  /** How streams are kept between the sublayers. Default "float32"; every formula is computed in float32. */
  readonly streamPrecision?: StreamPrecision;
}

/** mHC as plain data; its start by name. */
export type MhcConfig = Configuration<
  "mhc",
  Omit<MhcOptions, "initialisation"> & { readonly initialisation?: InitialisationName },
  "streams" | "iterations"
>;

export const mhcEntry: ConnectionEntry<MhcConfig> = {
  kind: "mhc",
  options: {
    streams: streamsOption,
    iterations: positive.default(20),
    residualMap: z.enum(residualMapNames).exactOptional(),
    initialisation: z.enum(initialisationNames).exactOptional(),
    convention: z.enum(mhcConventionNames).exactOptional(),
    collapse: z.enum(["mean", "sum", "learned", "carried"]).exactOptional(),
    streamPrecision: streamPrecisionOption,
  },
  make: (config) => mhc(config),
};
