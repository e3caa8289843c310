// Question: which forms of Sinkhorn-Knopp are there?
//
// A form says where the iteration starts, in which order it normalises, and what keeps it from dividing by zero.
// sinkhorn.ts computes it.

import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";

/** A form of Sinkhorn-Knopp: where it starts, in which order it normalises, what keeps it from dividing by zero. */
export interface SinkhornForm {
  /**
   * "exp": M(0) = exp(L). "softmax": M(0) = softmax of each row of L, plus ε; it counts as the first
   * normalisation of rows, so rows must come first.
   */
  readonly start: "exp" | "softmax";
  /** The lines normalised last in each iteration: they sum to one, the others come close. */
  readonly last: "rows" | "columns";
  /** ε of every normalisation but the first, whose lines hold a one and cannot sum to zero. */
  readonly epsilon: number;
  /** A line is divided by its sum plus ε ("added"), or by the larger of its sum and ε ("floor"). */
  readonly guard: "added" | "floor";
  /** The transpose mixes the streams: entry [i, j] of the logits goes to [j, i] of the result. */
  readonly transposed: boolean;
}

/** Eq. 9 of the mHC paper. */
export const paperSinkhorn: SinkhornForm = {
  start: "exp",
  last: "rows",
  epsilon: 0,
  guard: "added",
  transposed: false,
};

/** How many iterations Sinkhorn-Knopp runs, and in which form. */
export interface SinkhornAttributes {
  /** T. */
  readonly iterations: number;
  /** Default: Eq. 9. */
  readonly form?: SinkhornForm;
}

/** One normalisation: lines divided by their guarded sums, then `offset` added to every entry. */
export interface Normalisation {
  readonly lines: "rows" | "columns";
  readonly epsilon: number;
  readonly guard: SinkhornForm["guard"];
  readonly offset: number;
}

/** The 2T normalisations in order. */
export function normalisations(iterations: number, form: SinkhornForm): Normalisation[] {
  const first = form.last === "rows" ? "columns" : "rows";
  const { epsilon, guard } = form;
  return Array.from({ length: 2 * iterations }, (_, k) => {
    const lines = k % 2 === 0 ? first : form.last;
    if (k === 0) return { lines, epsilon: 0, guard, offset: form.start === "softmax" ? epsilon : 0 };
    return { lines, epsilon, guard, offset: 0 };
  });
}

/**
 * The lower end of the kernels' exponential: e^-87.3 is about the smallest normal float32. Logits further below the
 * largest of their line are raised to it, so that nothing becomes zero: a line of zeros could not be normalised.
 */
export const EXP_LOWEST = -87.3;

/** Throw unless T is a number of iterations. */
export function expectIterations(operation: string, iterations: number): void {
  expectWhole(operation, "iterations", iterations, 0, MOST_ITERATIONS);
}

const formRules: FieldRules<SinkhornForm> = {
  start: ["exp", "softmax"],
  last: ["rows", "columns"],
  epsilon: "number",
  guard: ["added", "floor"],
  transposed: "flag",
};

/** Throw unless a form can be computed. */
export function expectForm(operation: string, form: SinkhornForm | undefined): void {
  if (form === undefined) return;
  expectFields(operation, form, formRules, "field of a form");
  if (form.start === "softmax" && form.last === "rows") {
    throw new RangeError(
      `${operation}: a softmax start normalises rows, so columns must be last; got last: "rows". Use start: "exp".`,
    );
  }
  if (!(form.epsilon >= 0 && form.epsilon < 1)) {
    throw new RangeError(
      `${operation}: epsilon must be from 0 to below 1, got ${form.epsilon}. The released code uses 1e-6.`,
    );
  }
}
