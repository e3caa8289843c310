// The projection onto the doubly stochastic matrices by Sinkhorn and Knopp (1967), as in Eq. 9 of mHC
// (arXiv 2512.24880): M(0) = exp(L), M(t) = rows(columns(M(t−1))), columns normalised first, rows last.
// So the rows of the result sum to one exactly; what T iterations leave undone is in the columns.
//
// Backward. One normalisation P = M / Σ_line M turns a gradient G of log P into one of log M by
//   G ← G − P · Σ_line G,
// so start with G = P ∘ dP at the result, walk the 2T normalisations backwards, and arrive at dL
// without a division. Derivation: docs/derivations/connections.md. Shapes: L, M [..., n, n].
//
// Others order and guard it differently; their forms are data (SinkhornForm). With d = Σ_line M + ε the
// rule above holds as it stands, P being M / d; with d = max(Σ_line M, ε) a line that ε decides keeps its
// G; and P + ε in place of P turns G into G P / (P + ε) first.

import { applyOne, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

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

/** The lines of an n × n matrix: entry k of a line is at line · next + k · step. */
interface Lines {
  readonly step: number;
  readonly next: number;
}

/** One normalisation: lines divided by their guarded sums, then `offset` added to every entry. */
interface Normalisation extends Lines {
  readonly epsilon: number;
  readonly guard: SinkhornForm["guard"];
  readonly offset: number;
}

/** The 2T normalisations in order. */
function normalisations(n: number, iterations: number, form: SinkhornForm): Normalisation[] {
  const columns = { step: n, next: 1 },
    rows = { step: 1, next: n };
  const [first, last] = form.last === "rows" ? [columns, rows] : [rows, columns];
  const { epsilon, guard } = form;
  return Array.from({ length: 2 * iterations }, (_, k) => {
    const lines = k % 2 === 0 ? first : last;
    if (k === 0) return { ...lines, epsilon: 0, guard, offset: form.start === "softmax" ? epsilon : 0 };
    return { ...lines, epsilon, guard, offset: 0 };
  });
}

function sumOf(matrix: Float64Array, n: number, line: number, { step, next }: Lines): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += matrix[line * next + k * step]!;
  return sum;
}

/** Where the kernels' exponential ends: e^-87.3 is about the smallest normal float32. */
const EXP_LOWEST = -87.3;

/**
 * A factor of a line that is normalised first is undone by that: dividing by its maximum only prevents overflow.
 * Nothing becomes zero, as in the kernels: lines of zeros could not be normalised.
 */
function minusMaxima(logits: Float64Array, n: number, { step, next }: Lines): Float64Array {
  const start = logits.slice();
  for (let line = 0; line < n; line++) {
    const at = (k: number): number => line * next + k * step;
    let highest = -Infinity;
    for (let k = 0; k < n; k++) highest = Math.max(highest, logits[at(k)]!);
    for (let k = 0; k < n; k++) start[at(k)] = Math.max(logits[at(k)]! - highest, EXP_LOWEST);
  }
  return start;
}

/** The 2T + 1 iterates of one n × n matrix of logits: exp, then the result of each normalisation. Not transposed. */
export function sinkhornIterates(
  logits: Float64Array,
  n: number,
  iterations: number,
  form: SinkhornForm = paperSinkhorn,
): Float64Array[] {
  const steps = normalisations(n, iterations, form);
  let matrix = (steps.length === 0 ? logits : minusMaxima(logits, n, steps[0]!)).map((value) => Math.exp(value));
  const iterates = [matrix];
  for (const step of steps) {
    matrix = matrix.slice();
    for (let line = 0; line < n; line++) {
      const sum = sumOf(matrix, n, line, step);
      const divisor = step.guard === "added" ? sum + step.epsilon : Math.max(sum, step.epsilon);
      for (let k = 0; k < n; k++) {
        const index = line * step.next + k * step.step;
        matrix[index] = matrix[index]! / divisor + step.offset;
      }
    }
    iterates.push(matrix);
  }
  return iterates;
}

/** H of one n × n matrix of logits. */
export function sinkhornResult(
  logits: Float64Array,
  n: number,
  iterations: number,
  form: SinkhornForm = paperSinkhorn,
): Float64Array {
  const result = sinkhornIterates(logits, n, iterations, form).at(-1)!;
  return form.transposed ? transposed(result, n) : result;
}

/** The gradient of the logits, given the gradient of the result. */
export function sinkhornGradient(
  logits: Float64Array,
  gradient: Float64Array,
  n: number,
  iterations: number,
  form: SinkhornForm = paperSinkhorn,
): Float64Array {
  const iterates = sinkhornIterates(logits, n, iterations, form);
  const result = iterates.at(-1)!;
  const g = (form.transposed ? transposed(gradient, n) : gradient).map((value, index) => value * result[index]!);
  for (const [k, step] of [...normalisations(n, iterations, form).entries()].reverse()) {
    const before = iterates[k]!;
    const p = iterates[k + 1]!.map((value) => value - step.offset);
    if (step.offset > 0) for (let i = 0; i < g.length; i++) g[i]! *= p[i]! / (p[i]! + step.offset);
    for (let line = 0; line < n; line++) {
      if (step.guard === "floor" && sumOf(before, n, line, step) < step.epsilon) continue;
      const sum = sumOf(g, n, line, step);
      for (let k = 0; k < n; k++) {
        const index = line * step.next + k * step.step;
        g[index]! -= p[index]! * sum;
      }
    }
  }
  return g;
}

function transposed(matrix: Float64Array, n: number): Float64Array {
  return matrix.map((_, index) => matrix[(index % n) * n + Math.floor(index / n)]!);
}

export const sinkhornOperation: Operation<["logits"], ["h"], SinkhornAttributes> = positional<
  ["logits"],
  ["h"],
  SinkhornAttributes
>({
  name: "sinkhorn",
  inputs: ["logits"],
  outputs: ["h"],
  infer([logits], { iterations, form }) {
    expectShapes(
      logits!.shape.length >= 2 && lastAxis(logits!.shape) === logits!.shape.at(-2),
      "sinkhorn",
      { logits: logits! },
      "the last two axes must be a square matrix [n, n].",
    );
    expectIterations("sinkhorn", iterations);
    expectForm("sinkhorn", form);
    return [{ shape: logits!.shape, dtype: "f32" }];
  },
  gradient: ({ inputs: [logits], attributes }, [g]) => [applyOne(sinkhornBackwardOperation, [logits!, g!], attributes)],
  flops: ({ inputs: [logits], attributes: { iterations } }) => sinkhornFlops(iterations) * sizeOf(logits!.shape),
  reference([logits], [out], { iterations, form }) {
    const n = lastAxis(logits!.shape);
    for (let at = 0; at < out!.data.length; at += n * n) {
      out!.data.set(sinkhornResult(logits!.data.subarray(at, at + n * n), n, iterations, form), at);
    }
  },
});

/** (logits, g) → dlogits; the iterates are computed again. */
export const sinkhornBackwardOperation: Operation<["logits", "g"], ["dlogits"], SinkhornAttributes> = positional<
  ["logits", "g"],
  ["dlogits"],
  SinkhornAttributes
>({
  name: "sinkhornBackward",
  inputs: ["logits", "g"],
  outputs: ["dlogits"],
  infer: ([logits]) => [{ shape: logits!.shape, dtype: "f32" }],
  flops: ({ inputs: [logits], attributes: { iterations } }) =>
    (sinkhornFlops(iterations) + 6 * iterations) * sizeOf(logits!.shape),
  reference([logits, g], [out], { iterations, form }) {
    const n = lastAxis(logits!.shape);
    for (let at = 0; at < out!.data.length; at += n * n) {
      const end = at + n * n;
      out!.data.set(
        sinkhornGradient(logits!.data.subarray(at, end), g!.data.subarray(at, end), n, iterations, form),
        at,
      );
    }
  },
});

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

/** Floating-point operations for one entry: exp, then a sum and a product for each of 2T normalisations. */
export function sinkhornFlops(iterations: number): number {
  return 10 + 4 * iterations;
}

/**
 * Sinkhorn-Knopp normalisation: exp, then columns and rows in turn, columns first.
 *
 * @param logits [..., n, n]
 * @param options iterations: T; 0 gives exp(logits), 20 is the paper's. How far the columns then are from
 *   one depends on the spread of the logits: 2e-6 in 99 of 100 matrices for a standard deviation of 1, percents for 4.
 *   form: another order, start or epsilon than the paper's
 * @returns [..., n, n], rows summing to one
 * @throws ShapeError when the last two axes differ; RangeError for a bad number of iterations or form
 */
export function sinkhorn(logits: Tensor, { iterations = 20, form }: Partial<SinkhornAttributes> = {}): Tensor {
  return applyOne(sinkhornOperation, [logits], form === undefined ? { iterations } : { iterations, form });
}
