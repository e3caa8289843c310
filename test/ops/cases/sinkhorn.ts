// Matrices of one to eight rows, other numbers of iterations, other forms.

import type { SinkhornForm } from "../../../src/ops/sinkhorn-form.ts";
import { sinkhorn } from "../../../src/ops/sinkhorn.ts";
import type { OperationCase } from "../case.ts";
import { forms } from "./sinkhorn-forms.ts";

function matrices(shape: readonly number[], iterations: number): OperationCase {
  return {
    name: `sinkhorn [${shape}], ${iterations} iterations`,
    inputs: { logits: { shape } },
    build: ({ logits }) => sinkhorn(logits!, { iterations }),
  };
}

function formed(form: SinkhornForm, name: string, shape: readonly number[], iterations: number): OperationCase {
  return {
    name: `sinkhorn [${shape}], ${name}, ${iterations} iterations`,
    inputs: { logits: { shape } },
    build: ({ logits }) => sinkhorn(logits!, { iterations, form }),
  };
}

export const sinkhornCases: readonly OperationCase[] = [
  ...[
    [1, 1],
    [4, 4],
    [7, 2, 2],
    [3, 5, 3, 3],
    [100, 4, 4],
    [50, 8, 8],
  ].map((shape) => matrices(shape, 20)),
  matrices([5, 4, 4], 0),
  matrices([5, 4, 4], 1),
  matrices([9, 3, 3], 7),
  ...Object.entries(forms).flatMap(([name, form]) =>
    [
      [1, 1],
      [9, 2, 2],
      [5, 3, 3],
      [50, 4, 4],
      [3, 8, 8],
    ].map((shape) => formed(form, name, shape, 5)),
  ),
  ...[0, 1].map((iterations) => formed(forms.released!, "released", [5, 4, 4], iterations)),
];
