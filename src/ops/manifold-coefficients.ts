// The coefficients of mHC, token by token (Eq. 7 to 9 and 14 to 19, arXiv 2512.24880).
//
//   p = RMSNorm(vec x) · φᵀ                          streamProjection over the token
//   l = α_group · p + b                              groups pre (n), post (n), res (n²)
//   pre = σ(l_pre),  post = 2σ(l_post),  res = Sinkhorn(l_res)
//
// Backward, with e the gradient of l:
//   e_pre = dpre · pre (1 − pre),  e_post = dpost · post (1 − post/2),  e_res: see sinkhorn.ts
//   dp = α_group e,  dα_group = Σ e · p over the group and all tokens,  db = Σ_tokens e
//
// Shapes: x [..., n, C], phi [M, nC] (rows pre | post | res), alpha [3], bias [M], p and h [..., M].
//
// Released implementations add an epsilon to pre, scale post by another number than 2, and run another
// form of Sinkhorn-Knopp: CoefficientForm. With a transposed form, l_res is indexed [source, output].

import {
  applyAll,
  applyOne,
  lastAxis,
  type Operation,
  positional,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";
import {
  expectForm,
  expectIterations,
  paperSinkhorn,
  type SinkhornForm,
  sinkhornFlops,
  sinkhornGradient,
  sinkhornResult,
} from "./sinkhorn.ts";
import { streamProjection } from "./stream-projection.ts";
import { expectStreams, streamSizes } from "./streams.ts";

/** Whose coefficients exactly: pre = σ(l) + readEpsilon, post = writeScale σ(l), res = a form of Sinkhorn-Knopp. */
export interface CoefficientForm {
  readonly readEpsilon: number;
  readonly writeScale: number;
  readonly res: SinkhornForm;
}

/** Eq. 8 of the paper of mHC. */
export const paperCoefficients: CoefficientForm = { readEpsilon: 0, writeScale: 2, res: paperSinkhorn };

export interface ManifoldCoefficientsAttributes {
  /** Sinkhorn-Knopp iterations. */
  readonly iterations: number;
  /** Absent: the paper's. */
  readonly form?: CoefficientForm;
}

/** The coefficients of one token from its logits l [M], as float64 loops. */
export function tokenCoefficients(
  logits: Float64Array,
  n: number,
  iterations: number,
  { readEpsilon, writeScale, res }: CoefficientForm = paperCoefficients,
): Float64Array {
  const h = new Float64Array(logits.length);
  for (let j = 0; j < n; j++) {
    h[j] = sigmoid(logits[j]!) + readEpsilon;
    h[n + j] = writeScale * sigmoid(logits[n + j]!);
  }
  h.set(sinkhornResult(logits.subarray(2 * n), n, iterations, res), 2 * n);
  return h;
}

export const manifoldCoefficientsOperation: Operation<["p", "alpha", "bias"], ["h"], ManifoldCoefficientsAttributes> =
  positional<["p", "alpha", "bias"], ["h"], ManifoldCoefficientsAttributes>({
    name: "manifoldCoefficients",
    inputs: ["p", "alpha", "bias"],
    outputs: ["h"],
    infer([p, alpha, bias], { iterations, form }) {
      expectGroups("manifoldCoefficients", lastAxis(p!.shape), alpha!, bias!);
      expectIterations("manifoldCoefficients", iterations);
      expectForm("manifoldCoefficients", form?.res);
      return [{ shape: p!.shape, dtype: "f32" }];
    },
    gradient: ({ inputs: [p, alpha, bias], attributes }, [dh]) =>
      applyAll(manifoldCoefficientsBackwardOperation, [p!, alpha!, bias!, dh!], attributes) as Tensor[],
    flops: ({ inputs: [p], attributes: { iterations } }) => sizeOf(p!.shape) * (2 + sinkhornFlops(iterations)),
    reference([p, alpha, bias], [h], { iterations, form }) {
      const M = lastAxis(p!.shape),
        n = streamsOf(M);
      for (let at = 0; at < p!.data.length; at += M) {
        const logits = affine(p!.data.subarray(at, at + M), alpha!.data, bias!.data, n);
        h!.data.set(tokenCoefficients(logits, n, iterations, form), at);
      }
    },
  });

/** (p, alpha, bias, dh) → (dp, dalpha, dbias). */
export const manifoldCoefficientsBackwardOperation: Operation<
  ["p", "alpha", "bias", "dh"],
  ["dp", "dalpha", "dbias"],
  ManifoldCoefficientsAttributes
> = positional<["p", "alpha", "bias", "dh"], ["dp", "dalpha", "dbias"], ManifoldCoefficientsAttributes>({
  name: "manifoldCoefficientsBackward",
  inputs: ["p", "alpha", "bias", "dh"],
  outputs: ["dp", "dalpha", "dbias"],
  infer: ([p, alpha, bias]) => [p!, alpha!, bias!].map(({ shape }) => ({ shape, dtype: "f32" })),
  flops: ({ inputs: [p], attributes: { iterations } }) =>
    sizeOf(p!.shape) * (8 + sinkhornFlops(iterations) + 6 * iterations),
  reference([p, alpha, bias, dh], [dp, dalpha, dbias], { iterations, form = paperCoefficients }) {
    const M = lastAxis(p!.shape),
      n = streamsOf(M);
    for (let at = 0; at < p!.data.length; at += M) {
      const logits = affine(p!.data.subarray(at, at + M), alpha!.data, bias!.data, n);
      const e = dh!.data.slice(at, at + M);
      for (let j = 0; j < n; j++) {
        const read = sigmoid(logits[j]!),
          post = form.writeScale * sigmoid(logits[n + j]!);
        e[j]! *= read * (1 - read);
        e[n + j]! *= post * (1 - post / form.writeScale);
      }
      e.set(sinkhornGradient(logits.subarray(2 * n), e.subarray(2 * n), n, iterations, form.res), 2 * n);
      for (let m = 0; m < M; m++) {
        const group = groupOf(m, n);
        dp!.data[at + m] = alpha!.data[group]! * e[m]!;
        dalpha!.data[group]! += e[m]! * p!.data[at + m]!;
        dbias!.data[m]! += e[m]!;
      }
    }
  },
});

/** l = α_group · p + b of one token. */
function affine(p: Float64Array, alpha: Float64Array, bias: Float64Array, n: number): Float64Array {
  return p.map((value, m) => alpha[groupOf(m, n)]! * value + bias[m]!);
}

/** Which α scales coefficient m: 0 pre, 1 post, 2 res. */
export function groupOf(m: number, n: number): number {
  return Math.min(2, Math.floor(m / n));
}

/** n, given M = n² + 2n. */
export function streamsOf(M: number): number {
  return Math.sqrt(M + 1) - 1;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Throw unless there are M = n² + 2n values a token, three scales and M biases. */
export function expectGroups(operation: string, M: number, alpha: TensorSpec, bias: TensorSpec): void {
  expectShapes(
    Number.isInteger(streamsOf(M)) && vectorOf(alpha.shape, 3) && vectorOf(bias.shape, M),
    operation,
    { alpha, bias },
    `alpha must be [3] (pre, post, res) and bias [n² + 2n] for the ${M} projections of a token.`,
  );
}

function vectorOf(shape: Shape, size: number): boolean {
  return shape.length === 1 && shape[0] === size;
}

/** How mHC's coefficients are computed. */
export interface ManifoldCoefficientsOptions {
  /** Of Sinkhorn-Knopp. Default 20, as in the paper. */
  readonly iterations?: number;
  /** Added to the mean square of a token's entries. Default 1e-20, as in the paper. */
  readonly epsilon?: number;
  /** Default: the paper's. */
  readonly form?: CoefficientForm | undefined;
}

/**
 * The coefficients of Manifold-Constrained Hyper-Connections, by default in the paper's form: res is
 * non-negative, its rows sum to one, its columns nearly so.
 *
 * @param x [..., n, C] streams
 * @param phi [n² + 2n, n·C], rows pre | post | res
 * @param alpha [3], scales of the projections of pre, post and res
 * @param bias [n² + 2n], not divided by the norm
 * @param options iterations: of Sinkhorn-Knopp, 20 as in the paper; epsilon: added to the mean square of
 *   a token's entries, 1e-20 as in the paper, just enough to keep a token of zeros finite; form: another
 *   than the paper's
 * @returns [..., n² + 2n], pre | post | res (row-major, row = output stream)
 * @throws ShapeError when phi, alpha or bias do not fit x
 */
export function manifoldCoefficients(
  x: Tensor,
  phi: Tensor,
  alpha: Tensor,
  bias: Tensor,
  { iterations = 20, epsilon = 1e-20, form }: ManifoldCoefficientsOptions = {},
): Tensor {
  expectStreams("manifoldCoefficients", x);
  const { coefficients: M, streams, channels } = streamSizes(x);
  expectShapes(
    phi.shape[0] === M,
    "manifoldCoefficients",
    { x, phi },
    `phi must be [n² + 2n, n·C] = [${M}, ${streams * channels}], rows pre | post | res.`,
  );
  const p = streamProjection(x, phi, { over: "token", epsilon });
  return coefficientsOfProjections(p, alpha, bias, { iterations, form });
}

/** The coefficients, given the projections p [..., M] of RMS-normalised tokens. */
export function coefficientsOfProjections(
  p: Tensor,
  alpha: Tensor,
  bias: Tensor,
  { iterations = 20, form }: Omit<ManifoldCoefficientsOptions, "epsilon"> = {},
): Tensor {
  return applyOne(
    manifoldCoefficientsOperation,
    [p, alpha, bias],
    form === undefined ? { iterations } : { iterations, form },
  );
}
