// Question: what are the coefficients of dynamic Hyper-Connections, token by token (arXiv 2409.19606, as restated in
// Eq. 5 of mHC, arXiv 2512.24880)?
//
// Every stream j projects itself onto its own column of the coefficients.
//
//   p_jk = RMSNorm(x_j) · θ_k                         streamProjection over the stream, k = 0..n+1
//   h_kj = α_group tanh(p_jk) + b_kj                  rows k of h: pre, post, res_0 .. res_{n−1}
//
// Without tanh (the paper's "-tanh" variant) h_kj = α_group p_jk + b_kj. Backward, with t = tanh(p):
//   dp_jk = α_group dh_kj (1 − t_jk²),  dα_group = Σ dh · t over the group and all tokens,  db = Σ_tokens dh
//
// Shapes: x [..., n, C], theta [n + 2, C], alpha [3], bias [M], p [..., n, n + 2], h [..., M] seen as [n + 2, n].

import { expectFields } from "../basics/fields.ts";
import { apply, lastAxis, type Operation, type Shape, sizeOf, type Tensor, expectTensor } from "../graph/tensor.ts";
import { add, multiply, negate, shift, square, tanh as tanhOf } from "./elementwise.ts";
import { expectGroups, groupOf, perCoefficient, sumsOfGroups } from "./manifold-coefficients.ts";
import { transpose } from "./permute.ts";
import { broadcast, sumLeading } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { streamProjection } from "./stream-projection.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export interface HyperCoefficientsAttributes {
  readonly tanh: boolean;
}

export const hyperCoefficientsOperation: Operation<["p", "alpha", "bias"], ["h"], HyperCoefficientsAttributes> = {
  name: "hyperCoefficients",
  inputs: ["p", "alpha", "bias"],
  outputs: ["h"],
  infer({ p, alpha, bias }) {
    const { coefficients: M } = tokenSizes(p.shape);
    expectGroups("hyperCoefficients", M, alpha, bias);
    return { h: { shape: [...p.shape.slice(0, -2), M], dtype: "f32" } };
  },
  gradient({ p, alpha, bias }, { h: dh }, attributes) {
    const { dp, dalpha, dbias } = apply(hyperCoefficientsBackwardOperation, { p, alpha, bias, dh }, attributes);
    return { p: dp, alpha: dalpha, bias: dbias };
  },
  flops: ({ p }, { tanh }) => sizeOf(p.shape) * (tanh ? 16 : 2),
  reference({ p, alpha, bias }, { h }, { tanh }) {
    const bend = tanh ? Math.tanh : (value: number): number => value;
    forEachCoefficient(p.shape, ({ t, k, j, m, group }) => {
      h.set(t, m, alpha.at(group) * bend(p.at(t, j, k)) + bias.at(m));
    });
  },
  compose({ p, alpha, bias }, { tanh }) {
    const h = byCoefficient(tanh ? tanhOf(p) : p);
    const scaled = multiply(h, broadcast(perCoefficient(alpha, lastAxis(h.shape)), h.shape));
    return { h: add(scaled, broadcast(bias, h.shape)) };
  },
};

export const hyperCoefficientsBackwardOperation: Operation<
  ["p", "alpha", "bias", "dh"],
  ["dp", "dalpha", "dbias"],
  HyperCoefficientsAttributes
> = {
  name: "hyperCoefficientsBackward",
  inputs: ["p", "alpha", "bias", "dh"],
  outputs: ["dp", "dalpha", "dbias"],
  infer: ({ p, alpha, bias }) => ({
    dp: { shape: p.shape, dtype: "f32" },
    dalpha: { shape: alpha.shape, dtype: "f32" },
    dbias: { shape: bias.shape, dtype: "f32" },
  }),
  flops: ({ p }, { tanh }) => sizeOf(p.shape) * (tanh ? 20 : 4),
  reference({ p, alpha, dh }, { dp, dalpha, dbias }, { tanh }) {
    forEachCoefficient(p.shape, ({ t, k, j, m, group }) => {
      const value = p.at(t, j, k);
      const bent = tanh ? Math.tanh(value) : value;
      const slope = tanh ? 1 - bent ** 2 : 1;
      dp.set(t, j, k, alpha.at(group) * dh.at(t, m) * slope);
      dalpha.add(group, dh.at(t, m) * bent);
      dbias.add(m, dh.at(t, m));
    });
  },
  compose({ p, alpha, dh }, { tanh }) {
    const bent = tanh ? tanhOf(p) : p;
    const scaled = multiply(dh, broadcast(perCoefficient(alpha, lastAxis(dh.shape)), dh.shape));
    const along = transpose(reshape(scaled, [...p.shape.slice(0, -2), lastAxis(p.shape), streamsOf(p.shape)]));
    return {
      dp: tanh ? multiply(along, shift(negate(square(bent)), 1)) : along,
      dalpha: sumsOfGroups(multiply(dh, byCoefficient(bent))),
      dbias: sumLeading(dh, 1),
    };
  },
};

/** n of p [..., n, n + 2]. */
function streamsOf(shape: Shape): number {
  return shape.at(-2) ?? 1;
}

/** p [..., n, n + 2] as tokens of M = n (n + 2) values. */
function tokenSizes(shape: Shape): { tokens: number; streams: number; coefficients: number } {
  const coefficients = streamsOf(shape) * lastAxis(shape);
  return { tokens: sizeOf(shape) / coefficients, streams: streamsOf(shape), coefficients };
}

/** For composed forms: p [..., n, n + 2], reordered like h, [..., M]. */
function byCoefficient(p: Tensor): Tensor {
  return reshape(transpose(p), [...p.shape.slice(0, -2), tokenSizes(p.shape).coefficients]);
}

/** Coefficient m = k n + j of token t belongs to stream j and row k; α_group scales it. */
interface Place {
  readonly t: number;
  readonly k: number;
  readonly j: number;
  readonly m: number;
  readonly group: number;
}

/** Visit every coefficient of every token: p [n, n + 2] and h [n + 2, n] are each other's transposes. */
function forEachCoefficient(shape: Shape, visit: (place: Place) => void): void {
  const { tokens, streams: n, coefficients: M } = tokenSizes(shape);
  for (let t = 0; t < tokens; t++) {
    for (let m = 0; m < M; m++) visit({ t, k: Math.floor(m / n), j: m % n, m, group: groupOf(m, n) });
  }
}

/**
 * The coefficients of dynamic Hyper-Connections. Nothing bounds them.
 *
 * @param x [..., n, C] streams
 * @param theta [n + 2, C], rows pre, post, res_0 .. res_{n−1}
 * @param alpha [3], scales of the dynamic parts of pre, post and res
 * @param bias [n² + 2n], the static parts pre | post | res
 * @param options tanh: false leaves it out (default true); epsilon: added to the mean square of a stream's channels
 *   (default 1e-20)
 * @returns [..., n² + 2n], pre | post | res (row-major, row = output stream)
 * @throws ShapeError when theta, alpha or bias do not fit x
 */
export function hyperCoefficients(
  x: Tensor,
  theta: Tensor,
  alpha: Tensor,
  bias: Tensor,
  options: { readonly epsilon?: number; readonly tanh?: boolean } = {},
): Tensor {
  expectFields("hyperCoefficients", options, { epsilon: "number", tanh: "flag" });
  const { epsilon = 1e-20, tanh = true } = options;
  expectTensor("hyperCoefficients", "x", x);
  expectTensor("hyperCoefficients", "theta", theta);
  expectStreams("hyperCoefficients", x);
  const { streams, channels } = streamSizes(x);
  expectShapes(
    theta.shape[0] === streams + 2,
    "hyperCoefficients",
    { x, theta },
    `theta must be [n + 2, C] = [${streams + 2}, ${channels}], rows pre, post, res_0 to res_${streams - 1}.`,
  );
  const p = streamProjection(x, theta, { over: "stream", epsilon });
  return apply(hyperCoefficientsOperation, { p, alpha, bias }, { tanh }).h;
}
