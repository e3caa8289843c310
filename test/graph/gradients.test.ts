// Reverse mode on small graphs whose gradients are known, and what it refuses.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { add } from "../../src/ops/elementwise.ts";
import { fill } from "../../src/ops/fill.ts";
import { gradients, gradientsFrom } from "../../src/ops/gradients.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input, parameter } from "../../src/graph/state.ts";
import { scope, ShapeError, type Tensor } from "../../src/graph/tensor.ts";
import { adamw } from "../../src/ops/adamw.ts";
import { exp, multiply, scale, square, tanh } from "../../src/ops/elementwise.ts";
import { clipScale } from "../../src/ops/clip-scale.ts";
import { sumSquares } from "../../src/ops/sum-squares.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { sum } from "../../src/ops/reductions.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";

/** The value of each tensor, given those of the inputs. */
function evaluate(outputs: readonly Tensor[], inputs: ReadonlyMap<Tensor, readonly number[]>): number[][] {
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs: Object.fromEntries(outputs.map((tensor, index) => [index, tensor])) });
  for (const [tensor, values] of inputs) runtime.write(tensor, values);
  program.run();
  return outputs.map((_, index) => [...program.readNow(String(index))]);
}

test("a tensor used several times collects all its gradients", () => {
  const x = input("x", [2]);
  const y = add(multiply(x, x), add(x, scale(x, 3)));
  expect(evaluate(gradients(sum(y), [x]), new Map([[x, [5, -1]]]))).toEqual([[14, 2]]);
});

test("a result that is given twice has the sum of its gradients", () => {
  const x = input("x", [2]);
  const y = square(x);
  const seeds = [2, 5].map((value) => [y, fill([2], value)] as const);
  expect(evaluate(gradientsFrom(seeds, [x, y]), new Map([[x, [1, -3]]]))).toEqual([
    [14, -42],
    [7, 7],
  ]);
});

test("gradients of intermediate tensors, of the loss itself, and of what the loss does not depend on", () => {
  const x = input("x", [2]);
  const apart = parameter("apart", [3]);
  const inner = square(x);
  const loss = sum(multiply(inner, inner));
  expect(evaluate(gradients(loss, [inner, loss, apart, x]), new Map([[x, [1, 2]]]))).toEqual([
    [2, 8],
    [1],
    [0, 0, 0],
    [4, 32],
  ]);
});

test("gradients of gradients", () => {
  const x = input("x", [1]);
  const [first] = gradients(sum(multiply(x, multiply(x, x))), [x]);
  expect(evaluate([first!, gradients(sum(first!), [x])[0]!], new Map([[x, [2]]]))).toEqual([[12], [12]]);
});

test("the gradient of a sum of random expressions is the sum of their gradients", () => {
  const expressions: readonly ((x: Tensor) => Tensor)[] = [
    square,
    tanh,
    exp,
    softmax,
    (x) => scale(x, -2),
    (x) => multiply(x, x),
  ];
  const indices = fc.array(fc.nat(expressions.length - 1), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(
      indices,
      indices,
      fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
      (one, other, values) => {
        const x = input("x", [3]);
        const chain = (list: readonly number[]): Tensor =>
          sum(
            multiply(
              list.reduce((tensor, index) => expressions[index]!(tensor), x),
              x,
            ),
          );
        const [a, b] = [chain(one), chain(other)];
        const results = evaluate(
          [gradients(a, [x])[0]!, gradients(b, [x])[0]!, gradients(add(a, b), [x])[0]!],
          new Map([[x, values]]),
        );
        results[2]!.forEach((value, i) => {
          const expected = results[0]![i]! + results[1]![i]!;
          expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(expected)));
        });
      },
    ),
    { numRuns: 50 },
  );
});

test("a loss of more than one element is refused", () => {
  const x = input("x", [2, 3]);
  expect(() => gradients(square(x), [x])).toThrow(
    new ShapeError("gradients: the loss must have one element, got [2, 3]. Reduce it with sum() or mean()."),
  );
});

test("an operation without a gradient between the loss and a parameter is named with its place", () => {
  const x = parameter("x", [2]);
  const norm = scope("clipping", () => clipScale([sumSquares(x)], 1));
  expect(() => gradients(sum(norm), [x])).toThrow(
    "gradients: clipScale (in clipping) has no gradient, but the result depends on a parameter through it.",
  );
  // Beside the path to the parameter it does no harm.
  expect(() => gradients(sum(multiply(norm, fill([2], 1))), [parameter("other", [1])])).not.toThrow();
  const state = { param: x, gradient: x, m: x, v: x, schedule: fill([3], 1), clip: fill([2], 1) };
  expect(() => gradients(sum(adamw(state)[0]), [x])).toThrow("gradients: adamw has no gradient");
});

test("operations of the backward pass are named after the place they differentiate", () => {
  const [x, w] = [input("x", [2, 3]), parameter("w", [3, 4])];
  const loss = sum(scope("head", () => matmul(x, w)));
  expect(gradients(loss, [w])[0]!.node.scope).toBe("head.gradient");
});

test("two parameters of one name, and initial values that do not fit, are refused", () => {
  const parameters = createParameters();
  const layer = parameters.under("layers.0");
  layer.create("weight", [2, 2], { constant: 0 }, "weight");
  expect(() => layer.create("weight", [2, 2], { constant: 0 }, "weight")).toThrow(
    'There are two parameters called "layers.0.weight"; give each one its own name.',
  );
  expect(() => layer.create("bias", [2, 2], { values: [1, 2, 3] }, "connection")).toThrow(
    'Parameter "layers.0.bias" of shape [2, 2] needs 4 initial values, got 3.',
  );
});
