// Question: whose formula exactly?
//
// The paper of mHC leaves open where the parameters start, how the streams end and what keeps a division
// from zero, and those who wrote code also changed what it does not leave open: where Sinkhorn-Knopp starts,
// on which lines it ends, whether the result is applied as it is or transposed, which coefficients read.
// Each of these is a field here, and a convention is a value: plain data that the operations, the
// converters (convert.ts), the lint and docs/conventions.md all read.

import type { CoefficientForm } from "../../ops/manifold-coefficients.ts";

/**
 * How the streams leave the network. mean, sum: of the streams. learned: a read of its own, σ(α φ x⃗' + b)
 * + ε, parameters `ending`. carried: the last sublayer's own read coefficients, which no sublayer has used.
 */
export type StreamsEnd = "mean" | "sum" | "learned" | "carried";

/** What a convention of either family says. */
export interface ConventionFacts {
  /** In a line. */
  readonly meaning: string;
  /** Whose it is, and where it is written. */
  readonly source: string;
  /** The ends it admits; the first is its own, or this library's where it says nothing. */
  readonly ends: readonly [StreamsEnd, ...StreamsEnd[]];
  /** What it calls φ, the scales α and the bias b in stored weights, and how φ lies. */
  readonly names: { readonly phi: string; readonly alpha: string; readonly bias: string };
  /** Where its parameters start, as far as it says. This library's starts are in docs/initialisation.md. */
  readonly start: { readonly alpha: string; readonly phi: string; readonly bias: string };
}

/** mHC in somebody's form: coefficients from all streams of a token together, H_res by Sinkhorn-Knopp. */
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
  /** Whose pre coefficients a sublayer reads with: its own, or those the sublayer before it has computed. */
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

/** Whose formulas exactly, as plain data; told apart by `family`. */
export type Convention = MhcConvention | HcConvention;
