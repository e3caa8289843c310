// Question: whose Sinkhorn-Knopp is meant, exactly?
//
// Where it starts, in which order it normalises, what keeps it from dividing by zero: sinkhorn.ts computes it.

/** Whose Sinkhorn-Knopp exactly: where it starts, in which order it normalises, what keeps it from dividing by zero. */
export interface SinkhornForm {
  /**
   * "exp": M(0) = exp(L). "softmax": M(0) = softmax of each row of L, plus ε; it stands for the first
   * normalisation of rows, which therefore have to come first.
   */
  readonly start: "exp" | "softmax";
  /** The lines normalised last in each iteration: they sum to one, the others come close. */
  readonly last: "rows" | "columns";
  /** ε, of every normalisation but the first, whose lines hold a one and cannot sum to zero. */
  readonly epsilon: number;
  /** A line is divided by its sum plus ε ("added"), or by its sum but at least by ε ("floor"). */
  readonly guard: "added" | "floor";
  /** The transpose is what mixes the streams: [i, j] of the logits goes to [j, i] of the result. */
  readonly transposed: boolean;
}

/** Eq. 9 of the paper of mHC. */
export const paperSinkhorn: SinkhornForm = {
  start: "exp",
  last: "rows",
  epsilon: 0,
  guard: "added",
  transposed: false,
};

/** How long Sinkhorn-Knopp runs, and in whose form. */
export interface SinkhornAttributes {
  /** T. */
  readonly iterations: number;
  /** Absent: Eq. 9. */
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
 * Where the kernels' exponential ends: e^-87.3 is about the smallest normal float32. Logits that far below the largest
 * of their line are raised to it, so nothing becomes zero: lines of zeros could not be normalised.
 */
export const EXP_LOWEST = -87.3;

/** Throw unless T is a number of iterations. */
export function expectIterations(operation: string, iterations: number): void {
  if (Number.isInteger(iterations) && iterations >= 0) return;
  throw new RangeError(
    `${operation}: iterations must be a whole number, 0 or more, got ${iterations}. The paper of mHC uses 20.`,
  );
}

/** Throw unless a form can be computed. */
export function expectForm(operation: string, form: SinkhornForm | undefined): void {
  if (form === undefined) return;
  if (form.start === "softmax" && form.last === "rows") {
    throw new RangeError(
      `${operation}: a softmax start is a normalisation of rows, so columns have to be last; got last: "rows". Use start: "exp".`,
    );
  }
  if (!(form.epsilon >= 0 && form.epsilon < 1)) {
    throw new RangeError(
      `${operation}: epsilon must be from 0 to below 1, got ${form.epsilon}. The released code uses 1e-6.`,
    );
  }
}
