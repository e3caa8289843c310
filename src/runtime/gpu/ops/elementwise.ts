// Question: how does a GPU do arithmetic element by element?

import {
  addOperation,
  affineOperation,
  curveOperations,
  divideOperation,
  multiplyOperation,
  subtractOperation,
} from "../../../ops/elementwise.ts";
import { fillOperation } from "../../../ops/fill.ts";
import { selectOperation } from "../../../ops/select.ts";
import { toFloatsOperation } from "../../../ops/to-floats.ts";
import { toIndicesOperation } from "../../../ops/to-indices.ts";
import { elements, type Implementation } from "../implement.ts";
import { float } from "../work.ts";

/** The functions of one value that have an expression here; the others are composed of these, and fused again. */
const curves: Readonly<Record<string, string>> = {
  exp: "exponential(x)",
  log: "logarithm(x)",
  relu: "larger(x, 0.0f)",
  sqrt: "root(x)",
  reciprocal: "1.0f / x",
  sigmoid: "logistic(x)",
  silu: "silu(x)",
  tanh: "hyperbolicTangent(x)",
  square: "x * x",
};

export const elementwise: readonly Implementation[] = [
  ...curveOperations.flatMap((op) => {
    const value = Object.hasOwn(curves, op.name) ? curves[op.name] : undefined;
    return value === undefined ? [] : [elements(op, { value: () => value })];
  }),
  elements(affineOperation, {
    value: ({ factor, offset }) =>
      `${factor === 1 ? "x" : `${float(factor)} * x`}${offset === 0 ? "" : ` + ${float(offset)}`}`,
  }),
  elements(addOperation, { value: () => "a + b" }),
  elements(subtractOperation, { value: () => "a - b" }),
  elements(multiplyOperation, { value: () => "a * b" }),
  elements(divideOperation, { value: () => "a / b" }),
  elements(selectOperation, { value: () => "select(b, a, condition > 0.0f)" }),
  elements(fillOperation, { value: ({ value }) => float(value) }),
  elements(toFloatsOperation, { value: () => "f32(indices)" }),
  // To the nearest, halves upwards, as Math.round.
  elements(toIndicesOperation, { value: () => "i32(floor(x + 0.5f))" }),
];
