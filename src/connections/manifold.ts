// Manifold-Constrained Hyper-Connections (DeepSeek, arXiv 2512.24880), the whole idea in one screen:
//
//   x_{l+1} = H_res x_l + H_postᵀ F(H_pre x_l)                                 (Eq. 3; streams.ts)
//   x⃗' = RMSNorm(vec x_l)                      over all n·C entries of a token together
//   H̃  = α · (x⃗' φ) + b                         one small projection for all three maps     (Eq. 7)
//   H_pre = σ(H̃_pre)    H_post = 2σ(H̃_post)    H_res = Sinkhorn-Knopp(exp H̃_res)          (Eq. 8)
//
// Sinkhorn-Knopp makes columns, then rows, sum to one, 20 times over, which projects H_res onto the
// doubly stochastic matrices (the Birkhoff polytope). Those have spectral norm 1 and are closed under
// products, so no depth of layers can blow a signal up; rows come last, so the forward gain is exactly 1.
// Other choices for H_res are in manifolds/, by the option residualMap; what others made of the formulas
// above is in conventions/, by the option convention.

import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { manifoldCoefficients } from "../ops/manifold-coefficients.ts";
import { collapse } from "../ops/expand.ts";
import type { StreamPrecision } from "../ops/stream-precision.ts";
import { type Connection, expectStreams, type SublayerOptions } from "./connection.ts";
import { composedCoefficients } from "./composed-coefficients.ts";
import type { ConnectionParameters } from "./conventions/coefficients.ts";
import { conventionConnection, endOf } from "./conventions/connection.ts";
import type { StreamsEnd } from "./conventions/convention.ts";
import type { ManifoldConventionName } from "./conventions/table.ts";
import { type Initialisation, type InitialisationName, initialisations } from "./initialisations.ts";
import { expectSupport } from "./manifolds/residual-map.ts";
import { sinkhornImplicitMap } from "./manifolds/sinkhorn-implicit.ts";
import { type ResidualMapName, residualMaps } from "./manifolds/table.ts";
import { residualLogits } from "./residual-logits.ts";
import { streamsConnection } from "./streams.ts";

/** What can be chosen of mHC. */
export interface ManifoldOptions {
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
  readonly convention?: ManifoldConventionName;
  /**
   * How streams join at the end. Default: the convention's own way; in the paper's "mean", which keeps the
   * scale of a plain residual.
   */
  readonly collapse?: StreamsEnd;
  /** How streams are kept between the sublayers. Default "float32"; every formula is computed in float32. */
  readonly streamPrecision?: StreamPrecision;
}

/**
 * mHC: read, mix and write n streams, the mixing projected onto the doubly stochastic matrices (DeepSeek,
 * arXiv 2512.24880). State [T, n, C], in the convention "deepseek-v4.1" with the coefficients [T, n² + 2n]
 * that read it next; with Sinkhorn-Knopp (n² + 2n)(nC + 1) + 3 parameters a sublayer, and n(nC + 1) + 1
 * for an end that is learned.
 *
 * @throws RangeError unless streams is a whole number from 1 to 32 that the residual map supports, and for an
 *   end or a residual map that the convention does not have
 */
export function manifold(
  options?: ManifoldOptions & { readonly convention?: Exclude<ManifoldConventionName, "deepseek-v4.1"> },
): Connection<Tensor>;
export function manifold(options: ManifoldOptions): Connection;
export function manifold({
  streams = 4,
  iterations = 20,
  residualMap = "sinkhorn",
  initialisation = "default",
  convention = "paper",
  collapse: asked,
  streamPrecision = "float32",
}: ManifoldOptions = {}): Connection<Tensor> | Connection {
  expectStreams("manifold", streams);
  const map = residualMap === "sinkhorn-implicit" ? sinkhornImplicitMap(iterations) : residualMaps[residualMap];
  const start = typeof initialisation === "string" ? initialisations[initialisation] : initialisation;
  expectSupport(residualMap, map, streams);
  const end = endOf(convention, asked);
  const parametersOf = (parameters: ParameterSet, options: SublayerOptions): ConnectionParameters =>
    manifoldParameters(parameters, start, residualMap, streams, options);
  if (convention !== "paper" || end === "learned" || end === "carried") {
    expectSinkhorn(residualMap, convention, end);
    return conventionConnection({ streams, iterations, convention, end, streamPrecision, parametersOf });
  }
  return streamsConnection({
    name: "manifold",
    streams,
    streamPrecision,
    deciding(parameters, sublayer) {
      const { phi, alpha, bias } = parametersOf(parameters, sublayer);
      if (residualMap !== "sinkhorn") return (x_TNC) => composedCoefficients(x_TNC, phi, alpha, bias, map);
      return (x_TNC) => {
        const coefficients = manifoldCoefficients(x_TNC, phi, alpha, bias, { iterations });
        return { coefficients, logits: residualLogits(coefficients) };
      };
    },
    collapse: (x_TNC) => collapse(x_TNC, end),
  });
}

function expectSinkhorn(residualMap: ResidualMapName, convention: ManifoldConventionName, end: StreamsEnd): void {
  if (residualMap === "sinkhorn") return;
  throw new RangeError(
    `manifold: residual map "${residualMap}" is for convention "paper" with its streams joined by mean or sum, got convention "${convention}" and collapse "${end}". Leave one of them out.`,
  );
}

/** Maps that normalise exp(logits): a start's own logits of H_res are meant for them. */
export const exponentialMaps: ReadonlySet<ResidualMapName> = new Set([
  "sinkhorn",
  "sinkhorn-implicit",
  "birkhoff-newton",
  "row-softmax",
]);

function manifoldParameters(
  parameters: ParameterSet,
  start: Initialisation,
  residualMap: ResidualMapName,
  n: number,
  { channels, index }: SublayerOptions,
): ConnectionParameters {
  const map = residualMaps[residualMap];
  const size = 2 * n + map.size(n);
  const res = exponentialMaps.has(residualMap) ? start.res(n) : map.bias(n);
  const bias = [...start.read(n, index), ...start.write(n, index), ...res];
  return {
    phi: parameters.create("phi", [size, n * channels], start.phi(size, n * channels), "connection"),
    alpha: parameters.create("alpha", [3], { constant: start.alpha }, "connection"),
    bias: parameters.create("bias", [size], { values: bias }, "connection"),
  };
}
