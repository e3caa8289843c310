// Question: what are a token's coefficients in a convention, as a graph?
//
//   p = s (x⃗ φᵀ),  l = α_group p + b,  pre = σ(l) + ε,  post = 2σ(l),  res = a form of Sinkhorn-Knopp
//
// The projection normalises by 1 / sqrt(mean(x²) + ε), as all conventions but one do. That one adds ε to the
// root: p is then computed without ε and scaled by r / (r + ε), r = sqrt(mean(x²)).
// Shapes: x [..., n, C], φ [rows, nC], alpha [3], bias [M], coefficients [..., M]. M = n² + 2n.

import { add } from "../../ops/elementwise.ts";
import { constant } from "../../graph/state.ts";
import { lastAxis, type Tensor } from "../../graph/tensor.ts";
import { concat } from "../../ops/concat.ts";
import { divide, multiply, shift, sigmoid, sqrt, square } from "../../ops/elementwise.ts";
import { type CoefficientForm, coefficientsOfProjections } from "../../ops/manifold-coefficients.ts";
import { broadcast, broadcastLast, meanLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { streamProjection } from "../../ops/stream-projection.ts";
import { streamSizes } from "../../ops/streams.ts";
import { perGroup } from "../per-group.ts";
import { residualLogits } from "../residual-logits.ts";
import type { Decided } from "../streams.ts";
import type { MhcConvention } from "./convention.ts";

/** Keeps a token of zeros finite where ε is not under the root. */
const TINY = 1e-20;

export type ConnectionParameters = Readonly<Record<"phi" | "alpha" | "bias", Tensor>>;

/** What decides a convention's coefficients. Without a form it is the paper's, which has special kernels. */
export interface ConventionRules {
  readonly norm: MhcConvention["norm"];
  readonly form?: CoefficientForm;
}

/** RMS-normalised tokens times φ: [..., rows]. */
function projection(x: Tensor, phi: Tensor, { epsilon, added }: MhcConvention["norm"]): Tensor {
  if (added === "mean square") return streamProjection(x, phi, { over: "token", epsilon });
  const p = streamProjection(x, phi, { over: "token", epsilon: TINY });
  const { streams, channels } = streamSizes(x);
  const tokens = reshape(x, [...x.shape.slice(0, -2), streams * channels]);
  const root = sqrt(shift(meanLast(square(tokens)), TINY));
  return multiply(p, broadcastLast(divide(root, shift(root, epsilon)), lastAxis(p.shape)));
}

/**
 * The coefficients of a sublayer.
 *
 * @param x [..., n, C]
 * @param parameters phi [n² + 2n, nC], alpha [3], bias [n² + 2n], in the convention's own layout
 * @returns coefficients [..., n² + 2n], pre | post | res, with res as it mixes the streams (row = output stream),
 *   and the logits [T, n²] of res
 */
export function conventionCoefficients(
  x: Tensor,
  { phi, alpha, bias }: ConnectionParameters,
  { norm, form }: ConventionRules,
  iterations: number,
): Pick<Decided, "coefficients"> & { readonly logits: Tensor } {
  const p = projection(x, phi, norm);
  const coefficients = coefficientsOfProjections(p, alpha, bias, { iterations, form });
  return { coefficients, logits: residualLogits(p, alpha, bias) };
}

/**
 * The weights with which a learned end reads the streams: σ(α p + b) + ε.
 *
 * @param parameters phi [n, nC], alpha [1], bias [n]
 * @returns [..., n² + 2n]; a read uses the first n, the others are zero
 */
export function endingCoefficients(
  x: Tensor,
  { phi, alpha, bias }: ConnectionParameters,
  { norm, form }: Pick<MhcConvention, "norm" | "form">,
): Tensor {
  const { streams: n, coefficients: M } = streamSizes(x);
  const p = projection(x, phi, norm);
  const scales = perGroup(alpha, [n]);
  const logits = add(multiply(p, broadcast(scales, p.shape)), broadcast(bias, p.shape));
  const weights = shift(sigmoid(logits), form.readEpsilon);
  const leading = p.shape.slice(0, -1);
  const zeros = broadcast(constant(Array<number>(M - n).fill(0), [M - n]), [...leading, M - n]);
  return concat([weights, zeros], leading.length);
}

/** Coefficients that read only the first stream, for every token of x [..., C]. */
export function firstStream(x: Tensor, n: number): Tensor {
  const M = n * n + 2 * n;
  const oneHot = Array.from({ length: M }, (_, m) => (m === 0 ? 1 : 0));
  return broadcast(constant(oneHot, [M]), [...x.shape.slice(0, -1), M]);
}
