// Question: how does the CPU make matrices doubly stochastic?
//
// One item a matrix; eight share the lanes of the vectors. The paper's form has kernels of its own.

import { lastAxis, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import type { SinkhornAttributes, SinkhornForm } from "../../../ops/sinkhorn-form.ts";
import { sinkhornBackwardOperation, sinkhornOperation } from "../../../ops/sinkhorn.ts";
import type { Words } from "../call.ts";
import {
  FORM_COLUMNS_LAST,
  FORM_FLOOR,
  FORM_SOFTMAX,
  FORM_TRANSPOSED,
  FOUR_STEPS,
  LANES,
  ROW_TILE,
  SCRATCH_BYTES,
} from "../constants.ts";
import { type Calls, type Implementation, implement } from "../implement.ts";

export const sinkhorn: readonly Implementation[] = [
  implement(sinkhornOperation, ({ logits, h }, calls, attributes) => emitSinkhorn(calls, logits, h, attributes)),
  implement(sinkhornBackwardOperation, ({ logits, g, dlogits }, { read, write, emit }, { iterations, form }) => {
    const call = {
      domain: sizeOf(logits.shape.slice(0, -2)),
      grain: ROW_TILE,
      operands: { logits: read(logits, "share"), g: read(g, "share"), dlogits: write(dlogits, "share") },
      inPlace: { dlogits: "logits" },
    } as const;
    const words = sinkhornWords(lastAxis(logits.shape), iterations);
    if (form === undefined) emit({ kernel: "sinkhornBackward", ...call, words });
    else emit({ kernel: "sinkhornFormBackward", ...call, words: { ...words, ...formWords(form) } });
  }),
];

/** logits → h, one item a matrix. */
export function emitSinkhorn(
  { read, write, emit }: Calls,
  logits: Tensor,
  h: Tensor,
  { iterations, form }: SinkhornAttributes,
): void {
  const call = {
    domain: sizeOf(logits.shape.slice(0, -2)),
    grain: ROW_TILE,
    operands: { logits: read(logits, "share"), h: write(h, "share") },
    inPlace: { h: "logits" },
  } as const;
  const words = sinkhornWords(lastAxis(logits.shape), iterations);
  if (form === undefined) emit({ kernel: "sinkhorn", ...call, words });
  else emit({ kernel: "sinkhornForm", ...call, words: { ...words, ...formWords(form) } });
}

/** Sums that the backward pass keeps in three quarters of its scratch, eight lanes each, beside its matrices. */
const SUMS = ((3 / 4) * SCRATCH_BYTES) / (4 * LANES);
/** Values of a block of sinkhorn-four.ts: a matrix, a scaling of ones, and two scalings of each step. */
const FOUR_BLOCK = 16 + 4 + 2 * 4 * FOUR_STEPS;

/** Values that a matrix of n × n needs on the way back: its sums, or for n = 4 what two groups keep. */
function roomOf(n: number, iterations: number): number {
  return n === 4 ? 2 * (FOUR_BLOCK * Math.ceil(iterations / FOUR_STEPS) + 128) : 2 * n * iterations;
}

/** n and the number of iterations, if the kernels can hold them. */
export function sinkhornWords(n: number, iterations: number): Words<"sinkhorn"> {
  const room = SUMS - 4 * n * (n + 2);
  if (roomOf(n, iterations) > room) {
    let most = Math.max(0, Math.floor(room / (2 * n)));
    while (most > 0 && roomOf(n, most) > room) most--;
    throw new RangeError(
      `sinkhorn: ${iterations} iterations for matrices of ${n} × ${n}; the CPU runtime does ${most} at most; use ${most > 0 ? "fewer iterations" : "smaller matrices"}.`,
    );
  }
  return { n, iterations };
}

/** Another form than the paper's, as kernels/sinkhorn-forms.ts reads it. */
export function formWords({ start, last, guard, transposed, epsilon }: SinkhornForm): {
  readonly form: number;
  readonly epsilon: number;
} {
  const form =
    (start === "softmax" ? FORM_SOFTMAX : 0) |
    (last === "columns" ? FORM_COLUMNS_LAST : 0) |
    (guard === "floor" ? FORM_FLOOR : 0) |
    (transposed ? FORM_TRANSPOSED : 0);
  return { form, epsilon };
}
