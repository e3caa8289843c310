// Question: which implementation's formula, exactly?
//
// The mHC paper leaves three things open: where the parameters start, how the streams end, and what keeps a
// division away from zero. Implementations also changed things that the paper does define: where
// Sinkhorn-Knopp starts, whether it ends on rows or columns, whether the result is applied as it is or
// transposed, and which coefficients a sublayer reads with. Each of these is a field here. A convention is a
// value: plain data that the operations, the converters (convert.ts), the lint and docs/conventions.md all read.

import type { CoefficientForm } from "../../ops/manifold-coefficients.ts";

/**
 * How the streams leave the network. mean, sum: of the streams. learned: a read with `ending` parameters,
 * σ(α φ x⃗' + b) + ε. carried: the last sublayer's read coefficients, which no sublayer has used.
 */
export type StreamsEnd = "mean" | "sum" | "learned" | "carried";

/** What every convention states, of mHC or HC. */
export interface ConventionFacts {
  /** The convention in one line. */
  readonly meaning: string;
  /** Who uses it, and where it is written down. */
  readonly source: string;
  /** The ends that it allows. The first is its default, or this library's default where the source names none. */
  readonly ends: readonly [StreamsEnd, ...StreamsEnd[]];
  /** The names of φ, the scales α and the bias b in stored weights, and the layout of φ. */
  readonly names: { readonly phi: string; readonly alpha: string; readonly bias: string };
  /** Where its parameters start, if the source says so. This library's starts are in docs/initialisation.md. */
  readonly start: { readonly alpha: string; readonly phi: string; readonly bias: string };
}

/** One form of mHC: coefficients from all streams of a token together, H_res by Sinkhorn-Knopp. */
export interface MhcConvention extends ConventionFacts {
  readonly family: "mhc";
  /**
   * s in p = s (x⃗ φᵀ). "mean square": 1 / sqrt(mean(x²) + ε). "root": 1 / (sqrt(mean(x²)) + ε).
   */
  readonly norm: { readonly epsilon: number; readonly added: "mean square" | "root" };
  /** Epsilons and scales of the gates, and the form of Sinkhorn-Knopp. */
  readonly form: CoefficientForm;
  /** The order of the slices among the rows of φ and in the bias. */
  readonly slices: readonly ["pre", "post", "res"];
  /** Which pre coefficients a sublayer reads with: its own, or those that the previous sublayer computed. */
  readonly reads: "own" | "previous";
}

/** HC: every stream projects its own coefficients, and nothing bounds them. */
export interface HcConvention extends ConventionFacts {
  readonly family: "hc";
  /** Whether the coefficients depend on the token; if not, they are the bias. */
  readonly dynamic: boolean;
  /** Whether tanh bends the projections. */
  readonly tanh: boolean;
}

/** The exact formulas of one implementation, as plain data; `family` says which of the two it is. */
export type Convention = MhcConvention | HcConvention;
