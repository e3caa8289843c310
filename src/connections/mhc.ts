// Question: what is mHC?
//
// Manifold-Constrained Hyper-Connections (DeepSeek, arXiv 2512.24880), the whole idea in one screen. Instead of
// one residual stream there are n of them. Each sublayer F reads a mixture of the streams, mixes them with
// each other, and writes its result back to all:
//
//   x_{l+1} = H_res x_l + H_postᵀ F(H_pre x_l)                                 (Eq. 3; streams.ts)
//
// Each token decides with which coefficients it reads, writes and mixes:
//
//   x⃗' = RMSNorm(vec x_l)                      over all n·C entries of a token together
//   H̃  = α · (x⃗' φ) + b                         one small projection for all three maps     (Eq. 7)
//   H_pre = σ(H̃_pre)    H_post = 2σ(H̃_post)    H_res = Sinkhorn-Knopp(exp H̃_res)          (Eq. 8)
//
// Sinkhorn-Knopp makes columns, then rows, sum to one, 20 times over, which projects H_res onto the
// doubly stochastic matrices (the Birkhoff polytope). Those have spectral norm 1 and are closed under
// products, so no depth of layers can blow a signal up; rows come last, so the forward gain is exactly 1.
// The option dynamic selects what the coefficients depend on (dynamic.ts); the option maps selects which of them are
// learned (learned-maps.ts); the option residualMap selects other choices for H_res (manifolds/); the option convention
// selects how other implementations changed the formulas above (conventions/).

import type { Initial, ParameterSet } from "../graph/parameters.ts";
import type { Shape, Tensor } from "../graph/tensor.ts";
import { fixedStreams } from "./active.ts";
import type { Connection, SublayerOptions } from "./connection.ts";
import { carriedConnection } from "./conventions/carried.ts";
import { mapSizes, residualCoefficients } from "./composed-coefficients.ts";
import { conventionCoefficients } from "./conventions/coefficients.ts";
import { decideDynamically, type DynamicParameters, groupedConnection } from "./dynamic.ts";
import { endingOf } from "./conventions/ending.ts";
import type { MhcConventionName } from "./conventions/table.ts";
import type { ConnectionEntry } from "./entry.ts";
import { chosen, type MhcChoices, type MhcConfig, type MhcOptions, mhcSchemas } from "./mhc-options.ts";
import { streamsConnection, type StreamsConnection } from "./streams.ts";

/**
 * mHC: read, mix and write n streams, with the mixing projected onto the doubly stochastic matrices (DeepSeek,
 * arXiv 2512.24880). State: [T, n, C]; in the convention "deepseek-v4.1" also the coefficients [T, n² + 2n]
 * with which the next sublayer reads it. With Sinkhorn-Knopp, (n² + 2n)(nC + 1) + 3 parameters a sublayer,
 * and n(nC + 1) + 1 for a learned end.
 *
 * @throws RangeError unless streams is a whole number from 1 to 32 that the residual map supports, and for an
 *   end or a residual map that the convention does not have
 */
export function mhc(
  options?: MhcOptions & { readonly convention?: Exclude<MhcConventionName, "deepseek-v4.1"> },
): Connection<Tensor>;
export function mhc(options: MhcOptions): Connection;
export function mhc(options: MhcOptions = {}): Connection<Tensor> | Connection {
  const choices = chosen(options);
  const { streams, streamPrecision, iterations, residualMap, maps, dynamic, group, active, convention, rules, end } =
    choices;
  const learnsAll = maps.pre && maps.post && maps.res;
  const isFused = residualMap === "sinkhorn" && dynamic === "token" && active === undefined && learnsAll;
  const connection: Omit<StreamsConnection, "collapse"> = {
    name: "mhc",
    streams,
    streamPrecision,
    deciding(parameters, sublayer) {
      if (!maps.pre && !maps.post && !maps.res) return residualCoefficients;
      const learned = sublayerParameters(parameters, choices, sublayer);
      const { phi, alpha, bias } = learned;
      return (x_TNC, sequences) =>
        isFused && phi && alpha
          ? conventionCoefficients(x_TNC, { phi, alpha, bias }, rules, iterations)
          : decideDynamically(x_TNC, learned, choices, sequences);
    },
  };
  if (end === "carried") return carriedConnection(connection);
  const ended = { ...connection, ...endingOf(end, convention, streams) };
  return group === 1
    ? streamsConnection(ended)
    : groupedConnection(ended, choices, (parameters, sublayer) => sublayerParameters(parameters, choices, sublayer));
}

/**
 * φ, α and b of one sublayer; rows of φ and entries of b are pre (n) | post (n) | res, or as active.ts has them, and α
 * has a scale for each of them.
 */
function sublayerParameters(
  parameters: ParameterSet,
  choices: MhcChoices,
  { channels, index }: SublayerOptions,
): DynamicParameters {
  const { streams: n, map, maps, start, slack, dynamic, group, active } = choices;
  const k = active ?? n;
  const own = map.bias(k);
  const logits = map.exponential ? [...start.res(k), ...own.slice(k * k)] : own;
  const scores = active === undefined ? [] : Array<number>(n - fixedStreams(k)).fill(0);
  const bias = [
    ...(maps.pre ? start.read(n, index) : []),
    ...(maps.post ? start.write(k, index) : []),
    ...(maps.res ? (map.annealed ? logits.slice(0, -1) : logits) : []),
    ...scores,
  ];
  const sizes = mapSizes(choices);
  const rows = active === undefined ? sizes.rows : bias.length;
  const scales = sizes.groups.length + (active === undefined ? 0 : 1);
  const create = (name: string, size: Shape, initial: Initial): Tensor =>
    parameters.create(name, size, initial, "connection");
  const isDynamic = dynamic !== "none";
  return {
    ...(isDynamic && index % group === 0
      ? { phi: create("phi", [rows, n * channels], start.phi(rows, n * channels)) }
      : {}),
    ...(isDynamic ? { alpha: create("alpha", [scales], { constant: start.alpha }) } : {}),
    bias: create("bias", [bias.length], { values: bias }),
    ...(map.annealed && slack.steps !== undefined
      ? { share: parameters.create("share", [1], { constant: 1 }, "balance") }
      : {}),
  };
}

export const mhcEntry: ConnectionEntry<MhcConfig> = {
  kind: "mhc",
  options: mhcSchemas,
  make: (config) => mhc(config),
};
