// Question: what if rows and columns may leave one by a little, if that pays?
//
//   H_ij = e^(ρ ε/2 (tanh u_i + tanh v_j)) D_ij,  D = birkhoff-newton of the token's logits
//
// u, v [n] are numbers of a sublayer, the same for all tokens: how much louder or quieter each stream is written and
// read. ε is the slack. The share ρ is 1, or falls to 0 while the model trains; then H = D at the end.
//
// Bound. D's rows and columns sum to one and its entries are not negative, so every row and column sum of H lies in
// [e^(−ρε), e^(ρε)]. For non-negative matrices, sums of a product are at most the product of the largest sums: after L
// sublayers both composite gains are at most e^(ρεL), and no sum is below e^(−ρεL). ‖H‖₂ ≤ √(‖H‖₁ ‖H‖∞) ≤ e^(ρε).
// With ε = 1/(2L) a whole network's gain stays below √e.
//
// Departure, for a penalty: the mean of tanh² over u and v; 0 exactly where u = v = 0, and then H = D. (H = D also where
// all tanh u_i are one number and all tanh v_j its negative; the penalty brings that number to 0.)
// Degrees of freedom (n − 1)² of D and 2n − 1 of u and v: as many as a matrix has. Start: u = v = 0, H = D, logits 4 on
// the diagonal.

import { rowCount } from "../../graph/tensor.ts";
import { birkhoffProjection } from "../../ops/birkhoff-projection.ts";
import { add, exp, multiply, relu, scale, shift, square, tanh } from "../../ops/elementwise.ts";
import { broadcastLast, mean } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { columnsOf, rowsOf } from "./lines.ts";
import { anyStreams, type ResidualMap } from "./residual-map.ts";

/** ε where none is chosen. */
export const SLACK: number = 1 / 32;

/** A doubly stochastic matrix whose lines may leave one by a factor of e^ε. */
export function learnedSlack(slack: number = SLACK): ResidualMap {
  return {
    size: (n) => n * n + 2 * n + 1,
    fixed: (n) => 2 * n + 1,
    annealed: true,
    project(logits, n) {
      const tokens = rowCount(logits.shape);
      const D = reshape(birkhoffProjection(reshape(slice(logits, 1, 0, n * n), [tokens, n, n])), [tokens, n * n]);
      const share = slice(logits, 1, n * n + 2 * n, 1);
      const within = shift(scale(relu(shift(scale(relu(share), -1), 1)), -1), 1); // ρ kept in [0, 1]
      const louder = multiply(
        broadcastLast(reshape(within, [tokens]), 2 * n),
        scale(tanh(slice(logits, 1, n * n, 2 * n)), slack / 2),
      );
      const exponents = add(rowsOf(n).along(slice(louder, 1, 0, n)), columnsOf(n).along(slice(louder, 1, n, n)));
      return multiply(exp(exponents), D);
    },
    departure: (fixed_K, n) => mean(square(tanh(slice(fixed_K, 0, 0, 2 * n)))),
    bias: (n) => [...identityMatrix(n, RES_DIAGONAL), ...Array<number>(2 * n).fill(0), 1],
    exponential: true,
    guarantee: {
      rows: false,
      columns: false,
      nonNegative: true,
      spectralNorm: () => Math.exp(slack),
      gain: (_, sublayers) => ({ forward: Math.exp(slack * sublayers), backward: Math.exp(slack * sublayers) }),
    },
    supports: anyStreams,
  };
}
