// Question: how does an operation say that shapes do not fit?

import { type Shape, ShapeError, showShape, type TensorSpec } from "../graph/tensor.ts";

/**
 * Throw a ShapeError unless `condition` holds. The message names the operation, the rule that was broken (and what to
 * do), and the operands with their shapes.
 */
export function expectShapes(
  condition: boolean,
  operation: string,
  operands: Readonly<Record<string, TensorSpec | Shape>>,
  rule: string,
): asserts condition {
  if (condition) return;
  const given = Object.entries(operands)
    .map(([name, operand]) => `${name} ${"shape" in operand ? showShape(operand.shape) : showShape(operand)}`)
    .join(", ");
  throw new ShapeError(`${operation}: ${rule} Got ${given}.`);
}
