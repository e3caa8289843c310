// Question: what are dense connections?
//
// Dense connections: a sublayer reads a learned average of everything before it, the embedding included
// (DenseFormer, Pagliardini et al. 2024, arXiv 2402.02622, where the average comes after whole blocks).
//
//   X_0 = embedding,  X_{l+1} = x_l + F_l(x_l),  x_{l+1} = Σ_{i ≤ l+1} a_i X_i,  x_0 = X_0
//
// State: x [T, C] and X_0 … X_l, (l + 2) · C numbers a token before sublayer l. Parameters of sublayer l:
// l + 2 scalars, shared by all tokens. Costs l + 2 passes over [T, C] a sublayer.
// Start: a = (0, …, 0, 1), exactly the pre-norm residual.

import { expectFields } from "../basics/fields.ts";
import { add } from "../ops/elementwise.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { broadcast } from "../ops/reductions.ts";
import { weightedSum } from "../ops/weighted-sum.ts";
import { type Connection, expectSublayer } from "./connection.ts";
import type { Configuration, ConnectionEntry } from "./entry.ts";
import { oneHot } from "./initialisation.ts";

/** What dense connections pass on: x, then all sums so far, X_0 … X_l, each [T, C]. */
export type DenseState = readonly [x_TC: Tensor, ...outputs: Tensor[]];

/**
 * Dense connections: every sublayer reads a learned average of all that came before it (DenseFormer,
 * Pagliardini et al. 2024, arXiv 2402.02622). State: x and X_0 … X_l, each [T, C]; l + 2 parameters in
 * sublayer l.
 */
export function dense(options: Readonly<Record<string, never>> = {}): Connection<DenseState> {
  expectFields("dense", options, {});
  return {
    name: "dense",
    form: "all sums so far",
    expand: (x_TC) => [x_TC, x_TC],
    sublayer(parameters, sublayer) {
      expectSublayer("dense", sublayer);
      const { index } = sublayer;
      const count = index + 2;
      const weights_K = parameters.create("weights", [count], { values: oneHot(count, index + 1) }, "connection");
      return {
        apply([x_TC, ...outputs], block) {
          const all = [...outputs, add(x_TC, block(x_TC))];
          const next_TC = weightedSum(broadcast(weights_K, [rowCount(x_TC.shape), count]), all);
          return { state: [next_TC, ...all] };
        },
      };
    },
    collapse: ([x_TC]) => x_TC,
  };
}

/** Dense connections as plain data. */
export type DenseConfig = Configuration<"dense", object>;

export const denseEntry: ConnectionEntry<DenseConfig> = { kind: "dense", options: {}, make: () => dense() };
