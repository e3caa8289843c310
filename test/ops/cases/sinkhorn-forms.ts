// Question: which forms of Sinkhorn-Knopp are checked beside the paper's?

import type { SinkhornForm } from "../../../src/ops/sinkhorn-form.ts";

/** Forms that others released, one that divides by epsilon, and an epsilon that shows. */
export const forms: Readonly<Record<string, SinkhornForm>> = {
  released: { start: "softmax", last: "columns", epsilon: 1e-6, guard: "added", transposed: true },
  untransposed: { start: "softmax", last: "columns", epsilon: 1e-2, guard: "added", transposed: false },
  "rows first": { start: "exp", last: "columns", epsilon: 1e-6, guard: "floor", transposed: false },
  "columns first, transposed": { start: "exp", last: "rows", epsilon: 1e-3, guard: "added", transposed: true },
  "a high floor": { start: "exp", last: "rows", epsilon: 0.9, guard: "floor", transposed: false },
};
