// The coefficients of dynamic Hyper-Connections, token by token (arXiv 2409.19606, as restated in Eq. 5
// of mHC, arXiv 2512.24880): every stream j projects itself onto its own column of the coefficients.
//
//   p_jk = RMSNorm(x_j) · θ_k                         streamProjection over the stream, k = 0..n+1
//   h_kj = α_group tanh(p_jk) + b_kj                  rows k of h: pre, post, res_0 .. res_{n−1}
//
// Without tanh (the paper's "-tanh" variant) h_kj = α_group p_jk + b_kj. Backward, with t = tanh(p):
//   dp_jk = α_group dh_kj (1 − t_jk²),  dα_group = Σ dh · t over the group and all tokens,  db = Σ_tokens dh
//
// Shapes: x [..., n, C], theta [n + 2, C], alpha [3], bias [M], p [..., n, n + 2], h [..., M] seen as [n + 2, n].

import { applyAll, applyOne, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectGroups, groupOf } from "./manifold-coefficients.ts";
import { expectShapes } from "./shapes.ts";
import { streamProjection } from "./stream-projection.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export interface HyperCoefficientsAttributes {
  readonly tanh: boolean;
}

export const hyperCoefficientsOperation: Operation<["p", "alpha", "bias"], ["h"], HyperCoefficientsAttributes> =
  positional<["p", "alpha", "bias"], ["h"], HyperCoefficientsAttributes>({
    name: "hyperCoefficients",
    inputs: ["p", "alpha", "bias"],
    outputs: ["h"],
    infer([p, alpha, bias]) {
      const { coefficients: M } = tokenSizes(p!.shape);
      expectGroups("hyperCoefficients", M, alpha!, bias!);
      return [{ shape: [...p!.shape.slice(0, -2), M], dtype: "f32" }];
    },
    gradient: ({ inputs: [p, alpha, bias], attributes }, [dh]) =>
      applyAll(hyperCoefficientsBackwardOperation, [p!, alpha!, bias!, dh!], attributes) as Tensor[],
    flops: ({ inputs: [p], attributes: { tanh } }) => sizeOf(p!.shape) * (tanh ? 16 : 2),
    reference([p, alpha, bias], [h], { tanh }) {
      const bend = tanh ? Math.tanh : (value: number): number => value;
      forEachCoefficient(p!.shape, ({ projection, coefficient, m, group }) => {
        h!.data[coefficient] = alpha!.data[group]! * bend(p!.data[projection]!) + bias!.data[m]!;
      });
    },
  });

/** (p, alpha, bias, dh) → (dp, dalpha, dbias). */
export const hyperCoefficientsBackwardOperation: Operation<
  ["p", "alpha", "bias", "dh"],
  ["dp", "dalpha", "dbias"],
  HyperCoefficientsAttributes
> = positional<["p", "alpha", "bias", "dh"], ["dp", "dalpha", "dbias"], HyperCoefficientsAttributes>({
  name: "hyperCoefficientsBackward",
  inputs: ["p", "alpha", "bias", "dh"],
  outputs: ["dp", "dalpha", "dbias"],
  infer: ([p, alpha, bias]) => [p!, alpha!, bias!].map(({ shape }) => ({ shape, dtype: "f32" })),
  flops: ({ inputs: [p], attributes: { tanh } }) => sizeOf(p!.shape) * (tanh ? 20 : 4),
  reference([p, alpha, , dh], [dp, dalpha, dbias], { tanh }) {
    forEachCoefficient(p!.shape, ({ projection, coefficient, m, group }) => {
      const value = p!.data[projection]!;
      const bent = tanh ? Math.tanh(value) : value;
      const slope = tanh ? 1 - bent ** 2 : 1;
      dp!.data[projection] = alpha!.data[group]! * dh!.data[coefficient]! * slope;
      dalpha!.data[group]! += dh!.data[coefficient]! * bent;
      dbias!.data[m]! += dh!.data[coefficient]!;
    });
  },
});

/** p [..., n, n + 2] as tokens of M = n (n + 2) values. */
function tokenSizes(shape: readonly number[]): { tokens: number; streams: number; coefficients: number } {
  const coefficients = shape.at(-2)! * lastAxis(shape);
  return { tokens: sizeOf(shape) / coefficients, streams: shape.at(-2)!, coefficients };
}

interface Place {
  /** Index in p. */
  readonly projection: number;
  /** Index in h. */
  readonly coefficient: number;
  /** Which of the M coefficients, and which α scales it. */
  readonly m: number;
  readonly group: number;
}

/** Every coefficient of every token: p [n, n + 2] and h [n + 2, n] are each other's transposes. */
function forEachCoefficient(shape: readonly number[], visit: (place: Place) => void): void {
  const { tokens, streams: n, coefficients: M } = tokenSizes(shape);
  for (let t = 0; t < tokens; t++) {
    for (let m = 0; m < M; m++) {
      const k = Math.floor(m / n),
        j = m % n;
      visit({ projection: t * M + j * (n + 2) + k, coefficient: t * M + m, m, group: groupOf(m, n) });
    }
  }
}

/**
 * The coefficients of dynamic Hyper-Connections. Nothing bounds them.
 *
 * @param x [..., n, C] streams
 * @param theta [n + 2, C], rows pre, post, res_0 .. res_{n−1}
 * @param alpha [3], scales of the dynamic parts of pre, post and res
 * @param bias [n² + 2n], the static parts pre | post | res
 * @param options tanh: false leaves it out; epsilon: added to the mean square of a stream's channels
 * @returns [..., n² + 2n], pre | post | res (row-major, row = output stream)
 * @throws ShapeError when theta, alpha or bias do not fit x
 */
export function hyperCoefficients(
  x: Tensor,
  theta: Tensor,
  alpha: Tensor,
  bias: Tensor,
  { epsilon = 1e-20, tanh = true }: { readonly epsilon?: number; readonly tanh?: boolean } = {},
): Tensor {
  expectStreams("hyperCoefficients", x);
  const { streams, channels } = streamSizes(x);
  expectShapes(
    theta.shape[0] === streams + 2,
    "hyperCoefficients",
    { x, theta },
    `theta must be [n + 2, C] = [${streams + 2}, ${channels}], rows pre, post, res_0 to res_${streams - 1}.`,
  );
  const p = streamProjection(x, theta, { over: "stream", epsilon });
  return applyOne(hyperCoefficientsOperation, [p, alpha, bias], { tanh });
}
