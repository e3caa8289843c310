// Question: how is Sinkhorn-Knopp composed of simpler operations?
//
// These are the composed forms of sinkhorn.ts, forward and backward: the same normalisations, each made of sums,
// reciprocals and products. Shapes: logits and all iterates [..., n, n].

import { lastAxis, type Tensor } from "../graph/tensor.ts";
import { divide, exp, multiply, reciprocal, shift, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { positive, scaleRows } from "./masks.ts";
import { maxLast } from "./max-last.ts";
import { transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { select } from "./select.ts";
import { EXP_LOWEST, type Normalisation, normalisations, paperSinkhorn, type SinkhornForm } from "./sinkhorn-form.ts";

/** H for matrices of logits. */
export function composedSinkhorn(logits: Tensor, iterations: number, form: SinkhornForm = paperSinkhorn): Tensor {
  const H = iterates(logits, iterations, form).last;
  return form.transposed ? transpose(H) : H;
}

/** The gradient of the logits, given the gradient of H. */
export function composedSinkhornGradient(
  logits: Tensor,
  gradient: Tensor,
  iterations: number,
  form: SinkhornForm = paperSinkhorn,
): Tensor {
  const { steps, last } = iterates(logits, iterations, form);
  let G = multiply(form.transposed ? transpose(gradient) : gradient, last);
  for (const { step, before, after } of steps.toReversed()) {
    const P = shift(after, -step.offset);
    if (step.offset > 0) G = divide(multiply(G, P), after);
    G = byRows(step, [G, P, before], (G, P, M) => {
      const sum = sumLast(G);
      if (step.guard === "added") return subtract(G, scaleRows(P, sum));
      // A line that ε decides keeps its G.
      const decided = positive(shift(sumLast(M), -step.epsilon));
      return subtract(G, scaleRows(P, multiply(sum, decided)));
    });
  }
  return G;
}

interface Iterate {
  readonly step: Normalisation;
  readonly before: Tensor;
  readonly after: Tensor;
}

/** Every normalisation with its input and result, and the last result. Not transposed. */
function iterates(
  logits: Tensor,
  iterations: number,
  form: SinkhornForm,
): { readonly steps: readonly Iterate[]; readonly last: Tensor } {
  const all = normalisations(iterations, form);
  let M = exp(all[0] === undefined ? logits : byRows(all[0], [logits], minusMaxima));
  const steps = all.map((step) => {
    const before = M;
    M = byRows(step, [before], (rows) => {
      const sum = sumLast(rows);
      const divisor = step.guard === "added" ? shift(sum, step.epsilon) : atLeast(sum, step.epsilon);
      return shift(scaleRows(rows, reciprocal(divisor)), step.offset);
    });
    return { step, before, after: M };
  });
  return { steps, last: M };
}

/** Apply a function of rows if a step works on rows. If it works on columns, apply it to the transposes. */
function byRows<T extends readonly Tensor[]>(
  { lines }: Normalisation,
  matrices: readonly [...T],
  of: (...matrices: T) => Tensor,
): Tensor {
  return lines === "rows" ? of(...matrices) : transpose(of(...(matrices.map(transpose) as unknown as T)));
}

/** Logits minus the largest of their row, raised to the smallest value that the kernels' exponential takes. */
function minusMaxima(rows: Tensor): Tensor {
  return atLeast(subtract(rows, broadcastLast(maxLast(rows), lastAxis(rows.shape))), EXP_LOWEST);
}

/** max(x, least). */
function atLeast(x: Tensor, least: number): Tensor {
  return select(shift(x, -least), x, fill(x.shape, least));
}
