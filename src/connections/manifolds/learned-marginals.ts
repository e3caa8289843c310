// Question: what if each sublayer learns how much of every stream goes on?
//
// Transportation polytopes with learned marginals: non-negative H whose rows sum to r and whose columns sum to c,
//
//   r = 1 − m softmax(u),  c = 1 − m softmax(v),  m = δ σ(s),  δ = 1/16
//
// u, v [n] and s are numbers of a sublayer, the same for all tokens: m is the mass that it forgets, u and v say of
// which streams. A doubly stochastic D (birkhoff-newton, from the token's logits) is brought to these marginals by
// rounding (Altschuler, Weed and Rigollet 2017, Algorithm 2), which is exact and changes D by O(m):
//
//   X = diag(r) D,  Y = X diag(min(c / Xᵀ1, 1)),  H = Y + a bᵀ / Σa,  a = r − Y1 ≥ 0,  b = c − Yᵀ1 ≥ 0,  Σa = Σb
//
// Bound. Row and column sums lie in [1 − δ, 1]. For non-negative matrices, row sums of a product are at most the
// product of the largest row sums and at least that of the smallest, and so are column sums. So after L sublayers both
// composite gains are at most 1, and no row or column sum is below (1 − δ)^L. The spectral norm is at most
// √(‖H‖₁ ‖H‖∞) ≤ 1. With δ = 0 this is birkhoff-newton.
// Degrees of freedom (n − 1)² of D and 2n − 1 of the marginals. Start: s = −2, u = v = 0, logits 4 on the diagonal.

import { rowCount, type Tensor } from "../../graph/tensor.ts";
import { add, divide, multiply, relu, scale, shift, sigmoid, subtract } from "../../ops/elementwise.ts";
import { birkhoffProjection } from "../../ops/birkhoff-projection.ts";
import { broadcastLast, sumLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { softmax } from "../../ops/softmax.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { columnsOf, rowsOf } from "./lines.ts";
import { anyStreams, atMostOne, type ResidualMap } from "./residual-map.ts";

/** δ, the most that a row or a column can lose in a sublayer. */
export const MOST_FORGOTTEN: number = 1 / 16;
/** Keeps 0 / 0 at zero where nothing is left to be rounded. */
const TINY = 1e-15;

/** H of the transportation polytope of learned marginals. */
export const learnedMarginals: ResidualMap = {
  size: (n) => n * n + 2 * n + 1,
  fixed: (n) => 2 * n + 1,
  project(logits, n) {
    const tokens = rowCount(logits.shape);
    const D = reshape(birkhoffProjection(reshape(slice(logits, 1, 0, n * n), [tokens, n, n])), [tokens, n * n]);
    const mass = scale(sigmoid(slice(logits, 1, n * n + 2 * n, 1)), -MOST_FORGOTTEN);
    const marginals = (from: number): Tensor =>
      shift(multiply(broadcastLast(reshape(mass, [tokens]), n), softmax(slice(logits, 1, from, n))), 1);
    return rounded(D, marginals(n * n), marginals(n * n + n), n);
  },
  bias: (n) => [...identityMatrix(n, RES_DIAGONAL), ...Array<number>(2 * n).fill(0), -2],
  exponential: true,
  guarantee: {
    rows: false,
    columns: false,
    nonNegative: true,
    spectralNorm: atMostOne,
    gain: () => ({ forward: 1, backward: 1 }),
  },
  supports: anyStreams,
};

/** A doubly stochastic D [T, n·n] brought to the marginals r and c [T, n], whose totals are equal. */
function rounded(D: Tensor, r: Tensor, c: Tensor, n: number): Tensor {
  const [rows, columns] = [rowsOf(n), columnsOf(n)];
  const X = multiply(D, rows.along(r));
  const atMostAll = shift(scale(relu(shift(scale(divide(c, columns.sums(X)), -1), 1)), -1), 1);
  const Y = multiply(X, columns.along(atMostAll));
  const [a, b] = [relu(subtract(r, rows.sums(Y))), relu(subtract(c, columns.sums(Y)))];
  // Equal but for rounding; their mean lets neither of the two be divided by a smaller total.
  const total = shift(scale(add(sumLast(a), sumLast(b)), 0.5), TINY);
  const missing = multiply(rows.along(a), columns.along(divide(b, broadcastLast(total, n))));
  return add(Y, missing);
}
