// Question: what are the coefficients of mHC, token by token (Eq. 7 to 9 and 14 to 19, arXiv 2512.24880)?
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
// Released implementations add an epsilon to pre, scale post by a number other than 2, and run another form of
// Sinkhorn-Knopp: see CoefficientForm. With a transposed form, l_res is indexed [source, output].

import { expectFields } from "../basics/fields.ts";
import {
  apply,
  lastAxis,
  type Operation,
  rowCount,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  expectTensor,
} from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { add, multiply, negate, scale, shift, sigmoid as sigmoidOf } from "./elementwise.ts";
import { logistic } from "./logistic.ts";
import { broadcast, sum, sumLeading } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { composedSinkhorn, composedSinkhornGradient } from "./sinkhorn-composed.ts";
import { expectForm, expectIterations, paperSinkhorn, type SinkhornForm } from "./sinkhorn-form.ts";
import { sinkhornFlops, sinkhornGradient, sinkhornResult } from "./sinkhorn.ts";
import { slice } from "./slice.ts";
import { streamProjection } from "./stream-projection.ts";
import { expectStreams, streamSizes } from "./streams.ts";

/** The exact form of the coefficients: pre = σ(l) + readEpsilon, post = writeScale σ(l), res = a form of Sinkhorn-Knopp. */
export interface CoefficientForm {
  readonly readEpsilon: number;
  readonly writeScale: number;
  readonly res: SinkhornForm;
}

/** Eq. 8 of the mHC paper. */
export const paperCoefficients: CoefficientForm = { readEpsilon: 0, writeScale: 2, res: paperSinkhorn };

export interface ManifoldCoefficientsAttributes {
  /** Sinkhorn-Knopp iterations. */
  readonly iterations: number;
  /** Default: the paper's form. */
  readonly form?: CoefficientForm;
}

/** The coefficients of one token from its logits l [M], as float64 loops. */
export function tokenCoefficients(
  logits: Float64Array,
  n: number,
  iterations: number,
  { readEpsilon, writeScale, res }: CoefficientForm = paperCoefficients,
): Float64Array {
  return Float64Array.of(
    ...logits.subarray(0, n).map((l) => logistic(l) + readEpsilon),
    ...logits.subarray(n, 2 * n).map((l) => writeScale * logistic(l)),
    ...sinkhornResult(logits.subarray(2 * n), n, iterations, res),
  );
}

export const manifoldCoefficientsOperation: Operation<["p", "alpha", "bias"], ["h"], ManifoldCoefficientsAttributes> = {
  name: "manifoldCoefficients",
  inputs: ["p", "alpha", "bias"],
  outputs: ["h"],
  infer({ p, alpha, bias }, { iterations, form }) {
    expectGroups("manifoldCoefficients", lastAxis(p.shape), alpha, bias);
    expectIterations("manifoldCoefficients", iterations);
    expectForm("manifoldCoefficients", form?.res);
    return { h: { shape: p.shape, dtype: "f32" } };
  },
  gradient({ p, alpha, bias }, { h: dh }, attributes) {
    const { dp, dalpha, dbias } = apply(manifoldCoefficientsBackwardOperation, { p, alpha, bias, dh }, attributes);
    return { p: dp, alpha: dalpha, bias: dbias };
  },
  flops: ({ p }, { iterations }) => sizeOf(p.shape) * (2 + sinkhornFlops(iterations)),
  reference({ p, alpha, bias }, { h }, { iterations, form }) {
    const M = lastAxis(p.shape);
    const n = streamsOf(M);
    for (let t = 0; t < rowCount(p.shape); t++) {
      const logits = new Float64Array(M).map((_, m) => alpha.at(groupOf(m, n)) * p.at(t, m) + bias.at(m));
      h.data.set(tokenCoefficients(logits, n, iterations, form), t * M);
    }
  },
  compose({ p, alpha, bias }, { iterations, form = paperCoefficients }) {
    const { pre, post, res } = groupsOf(composedLogits(p, alpha, bias));
    const square = composedSinkhorn(asMatrices(res), iterations, form.res);
    return {
      h: concat(
        [shift(sigmoidOf(pre), form.readEpsilon), scale(sigmoidOf(post), form.writeScale), reshape(square, res.shape)],
        p.shape.length - 1,
      ),
    };
  },
};

export const manifoldCoefficientsBackwardOperation: Operation<
  ["p", "alpha", "bias", "dh"],
  ["dp", "dalpha", "dbias"],
  ManifoldCoefficientsAttributes
> = {
  name: "manifoldCoefficientsBackward",
  inputs: ["p", "alpha", "bias", "dh"],
  outputs: ["dp", "dalpha", "dbias"],
  infer: ({ p, alpha, bias }) => ({
    dp: { shape: p.shape, dtype: "f32" },
    dalpha: { shape: alpha.shape, dtype: "f32" },
    dbias: { shape: bias.shape, dtype: "f32" },
  }),
  flops: ({ p }, { iterations }) => sizeOf(p.shape) * (8 + sinkhornFlops(iterations) + 6 * iterations),
  reference({ p, alpha, bias, dh }, { dp, dalpha, dbias }, { iterations, form = paperCoefficients }) {
    const M = lastAxis(p.shape);
    const n = streamsOf(M);
    for (let t = 0; t < rowCount(p.shape); t++) {
      const logits = new Float64Array(M).map((_, m) => alpha.at(groupOf(m, n)) * p.at(t, m) + bias.at(m));
      const dRes = dh.data.subarray(t * M + 2 * n, (t + 1) * M);
      const eRes = sinkhornGradient(logits.subarray(2 * n), dRes, n, iterations, form.res);
      logits.forEach((l, m) => {
        const group = groupOf(m, n);
        const s = logistic(l);
        // The slopes of σ and of writeScale σ, computed from their values.
        const e =
          group === 2 ? (eRes[m - 2 * n] ?? 0) : dh.at(t, m) * (group === 0 ? 1 : form.writeScale) * s * (1 - s);
        dp.set(t, m, alpha.at(group) * e);
        dalpha.add(group, e * p.at(t, m));
        dbias.add(m, e);
      });
    }
  },
  compose({ p, alpha, bias, dh }, { iterations, form = paperCoefficients }) {
    const l = groupsOf(composedLogits(p, alpha, bias));
    const d = groupsOf(dh);
    const throughSigmoid = (g: Tensor, logits: Tensor, factor: number): Tensor => {
      const s = sigmoidOf(logits);
      return multiply(g, scale(multiply(s, shift(negate(s), 1)), factor));
    };
    const eRes = composedSinkhornGradient(asMatrices(l.res), asMatrices(d.res), iterations, form.res);
    const e = {
      pre: throughSigmoid(d.pre, l.pre, 1),
      post: throughSigmoid(d.post, l.post, form.writeScale),
      res: reshape(eRes, l.res.shape),
    };
    const all = concat([e.pre, e.post, e.res], p.shape.length - 1);
    return {
      dp: multiply(all, broadcast(perCoefficient(alpha, lastAxis(p.shape)), p.shape)),
      dalpha: sumsOfGroups(multiply(all, p)),
      dbias: sumLeading(all, 1),
    };
  },
};

/** l = α_group · p + b by operations. */
function composedLogits(p: Tensor, alpha: Tensor, bias: Tensor): Tensor {
  const scaled = multiply(p, broadcast(perCoefficient(alpha, lastAxis(p.shape)), p.shape));
  return add(scaled, broadcast(bias, p.shape));
}

/** For composed forms: the parts pre, post and res of the last axis, of n, n and n² columns. */
function groupsOf(x: Tensor): { pre: Tensor; post: Tensor; res: Tensor } {
  const n = streamsOf(lastAxis(x.shape));
  const part = (start: number, size: number): Tensor => slice(x, x.shape.length - 1, start, size);
  return { pre: part(0, n), post: part(n, n), res: part(2 * n, n * n) };
}

/** For composed forms: the α of each coefficient, [3] → [M]. */
export function perCoefficient(alpha: Tensor, M: number): Tensor {
  const n = streamsOf(M);
  const parts = [n, n, n * n].map((size, group) => broadcast(reshape(slice(alpha, 0, group, 1), []), [size]));
  return concat(parts, 0);
}

/** For composed forms: the sum of each group over all tokens, [..., M] → [3]. */
export function sumsOfGroups(x: Tensor): Tensor {
  const { pre, post, res } = groupsOf(x);
  return concat(
    [pre, post, res].map((part) => reshape(sum(part), [1])),
    0,
  );
}

function asMatrices(res: Tensor): Tensor {
  const n = Math.sqrt(lastAxis(res.shape));
  return reshape(res, [...res.shape.slice(0, -1), n, n]);
}

/** Which α scales coefficient m: 0 pre, 1 post, 2 res. */
export function groupOf(m: number, n: number): number {
  return Math.min(2, Math.floor(m / n));
}

/** n, given M = n² + 2n. */
export function streamsOf(M: number): number {
  return Math.sqrt(M + 1) - 1;
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
  /** Iterations of Sinkhorn-Knopp. Default 20, as in the paper. */
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
 *   a token's entries, 1e-20 as in the paper, just enough to keep a token of zeros finite; form: a form
 *   other than the paper's
 * @returns [..., n² + 2n], pre | post | res (row-major, row = output stream)
 * @throws ShapeError when phi, alpha or bias do not fit x
 */
export function manifoldCoefficients(
  x: Tensor,
  phi: Tensor,
  alpha: Tensor,
  bias: Tensor,
  options: ManifoldCoefficientsOptions = {},
): Tensor {
  expectFields("manifoldCoefficients", options, { iterations: "number", epsilon: "number", form: "group" });
  const { iterations = 20, epsilon = 1e-20, form } = options;
  expectTensor("manifoldCoefficients", "x", x);
  expectTensor("manifoldCoefficients", "phi", phi);
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
  const attributes = form === undefined ? { iterations } : { iterations, form };
  return apply(manifoldCoefficientsOperation, { p, alpha, bias }, attributes).h;
}
