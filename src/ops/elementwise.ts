// Question: what do the elementwise operations compute?
//
//   y = f(x),  dx = g · f'(x)
//
// A function of one tensor has a value and a slope. The slope is a formula in x or in y, whichever is shorter, and the
// backward pass keeps that tensor. Value and slope are also written as composed forms of simpler operations.
// Shapes: all operands alike [...].

import { expectFloat32 } from "../basics/ranges.ts";
import { constantOf, fill } from "./fill.ts";
import {
  apply,
  isKept,
  keep,
  type Operation,
  sameShape,
  ShapeError,
  showShape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  expectTensor,
} from "../graph/tensor.ts";
import { logistic, siluSlope, siluValue } from "./logistic.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";

interface Curve {
  value(x: number): number;
  /** f' as a function of the saved tensor: the input x or the output y. */
  slope(saved: number): number;
  readonly saves: "input" | "output";
  /** Floating-point operations of a value. The gradient takes one more. */
  readonly flops: number;
  /** The value and the slope by simpler operations. The primitives give only the slope. */
  compose?(x: Tensor): Tensor;
  composeSlope(saved: Tensor): Tensor;
}

/** A function of each element: x [...] → [...]. Throws a ShapeError when x holds i32 indices. */
export type Unary = (x: Tensor) => Tensor;

type UnaryOperation = Operation<["x"], ["y"]>;
type UnaryBackwardOperation = Operation<["saved", "g"], ["dx"]>;

const curves: UnaryOperation[] = [];
const slopes: UnaryBackwardOperation[] = [];
/** All functions of one tensor, such as exp, and their gradients, such as expBackward. */
export const curveOperations: readonly UnaryOperation[] = curves;
export const curveBackwardOperations: readonly UnaryBackwardOperation[] = slopes;

function unary(name: string, { value, slope, saves, flops, compose, composeSlope }: Curve): Unary {
  /** (saved, g) → g · slope(saved). */
  const backward: UnaryBackwardOperation = {
    name: `${name}Backward`,
    inputs: ["saved", "g"],
    outputs: ["dx"],
    infer: ({ saved }) => ({ dx: { shape: saved.shape, dtype: "f32" } }),
    flops: ({ dx }) => (flops + 1) * sizeOf(dx.shape),
    reference: ({ saved, g }, { dx }) => dx.each((i) => g.at(i) * slope(saved.at(i))),
    compose: ({ saved, g }) => ({ dx: multiply(g, composeSlope(saved)) }),
  };
  const forward: UnaryOperation = {
    name,
    inputs: ["x"],
    outputs: ["y"],
    infer({ x }) {
      expectFloats(name, { x });
      return { y: { shape: x.shape, dtype: "f32" } };
    },
    gradient: ({ x, y }, { y: g }) => ({ x: apply(backward, { saved: saves === "input" ? x : y, g }).dx }),
    flops: ({ y }) => flops * sizeOf(y.shape),
    reference: ({ x }, { y }) => y.each((i) => value(x.at(i))),
    ...(compose && { compose: ({ x }: { readonly x: Tensor }) => ({ y: compose(x) }) }),
  };
  curves.push(forward);
  slopes.push(backward);
  return (x) => apply(forward, { x }).y;
}

/** e^x, element by element: [...] → [...]. */
export const exp: Unary = unary("exp", {
  value: Math.exp,
  slope: (y) => y,
  saves: "output",
  flops: 10,
  composeSlope: (y) => y,
});

/** Natural logarithm, of positive numbers: [...] → [...]. */
export const log: Unary = unary("log", {
  value: Math.log,
  slope: (x) => 1 / x,
  saves: "input",
  flops: 14,
  composeSlope: (x) => reciprocal(x),
});

/** Hyperbolic tangent, element by element: [...] → [...]. */
export const tanh: Unary = unary("tanh", {
  value: Math.tanh,
  slope: (y) => 1 - y * y,
  saves: "output",
  flops: 14,
  compose: (x) => shift(scale(sigmoid(scale(x, 2)), 2), -1),
  composeSlope: (y) => shift(negate(square(y)), 1),
});

/** The logistic function 1 / (1 + e^−x), element by element: [...] → [...]. */
export const sigmoid: Unary = unary("sigmoid", {
  value: logistic,
  slope: (y) => y * (1 - y),
  saves: "output",
  flops: 12,
  compose: (x) => reciprocal(shift(exp(negate(x)), 1)),
  composeSlope: (y) => multiply(y, shift(negate(y), 1)),
});

/** x · sigmoid(x), element by element: [...] → [...] (Elfwing et al. 2017, arXiv 1702.03118). */
export const silu: Unary = unary("silu", {
  value: siluValue,
  slope: siluSlope,
  saves: "input",
  flops: 13,
  compose: (x) => multiply(x, sigmoid(x)),
  composeSlope(x) {
    const s = sigmoid(x);
    return multiply(s, shift(multiply(x, shift(negate(s), 1)), 1));
  },
});

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** √(2/π) (x + 0.044715 x³) as a graph. */
function geluArgument(x: Tensor): Tensor {
  return scale(multiply(x, shift(scale(square(x), GELU_CUBIC), 1)), GELU_SCALE);
}

/**
 * ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), element by element: [...] → [...]. The tanh form of GELU
 * (Hendrycks and Gimpel 2016, arXiv 1606.08415).
 */
export const gelu: Unary = unary("gelu", {
  value: (x) => (x === -Infinity ? 0 : 0.5 * x * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3)))),
  slope(x) {
    if (Math.abs(x) === Infinity) return x > 0 ? 1 : 0;
    const t = Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x);
  },
  saves: "input",
  flops: 20,
  compose: (x) => multiply(scale(x, 0.5), shift(tanh(geluArgument(x)), 1)),
  composeSlope(x) {
    const t = tanh(geluArgument(x));
    const inner = scale(shift(scale(square(x), 3 * GELU_CUBIC), 1), GELU_SCALE);
    const along = multiply(multiply(x, shift(negate(square(t)), 1)), inner);
    return scale(add(shift(t, 1), along), 0.5);
  },
});

/** max(x, 0), element by element: [...] → [...]. Its gradient at 0 is 0. */
export const relu: Unary = unary("relu", {
  value: (x) => Math.max(x, 0),
  slope: (y) => (y > 0 ? 1 : 0),
  saves: "output",
  flops: 1,
  // x · 0, so that a NaN stays a NaN.
  compose: (x) => select(x, x, scale(x, 0)),
  composeSlope: (y) => select(y, fill(y.shape, 1), fill(y.shape, 0)),
});

/** x², element by element: [...] → [...]. */
export const square: Unary = unary("square", {
  value: (x) => x * x,
  slope: (x) => 2 * x,
  saves: "input",
  flops: 1,
  compose: (x) => multiply(x, x),
  composeSlope: (x) => scale(x, 2),
});

/** √x of numbers that are not negative: [...] → [...]. Its gradient at 0 is infinite. */
export const sqrt: Unary = unary("sqrt", {
  value: Math.sqrt,
  slope: (y) => 0.5 / y,
  saves: "output",
  flops: 1,
  composeSlope: (y) => scale(reciprocal(y), 0.5),
});

/** 1 / x, element by element: [...] → [...]. */
export const reciprocal: Unary = unary("reciprocal", {
  value: (x) => 1 / x,
  slope: (y) => -y * y,
  saves: "output",
  flops: 1,
  composeSlope: (y) => negate(multiply(y, y)),
});

export interface AffineAttributes {
  readonly factor: number;
  readonly offset: number;
}

/** factor · x + offset, where both are constants. */
export const affineOperation: Operation<["x"], ["y"], AffineAttributes> = {
  name: "affine",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    expectFloats("affine", { x });
    return { y: { shape: x.shape, dtype: "f32" } };
  },
  gradient: (_tensors, { y: g }, { factor }) => ({ x: scale(g, factor) }),
  flops: ({ y }) => 2 * sizeOf(y.shape),
  reference: ({ x }, { y }, { factor, offset }) => y.each((i) => factor * x.at(i) + offset),
};

/** factor · x, with a constant: [...] → [...]. */
export function scale(x: Tensor, factor: number): Tensor {
  expectTensor("scale", "x", x);
  expectFloat32("scale", "the factor", factor);
  if (factor === 1) return x;
  const value = constantOf(x);
  return value === undefined ? apply(affineOperation, { x }, { factor, offset: 0 }).y : fill(x.shape, value * factor);
}

/** x + offset, with a constant: [...] → [...]. */
export function shift(x: Tensor, offset: number): Tensor {
  expectFloat32("shift", "the offset", offset);
  return apply(affineOperation, { x }, { factor: 1, offset }).y;
}

/** −x: [...] → [...]. */
export function negate(x: Tensor): Tensor {
  return scale(x, -1);
}

type Binary = Operation<["a", "b"], ["y"]>;

function binary(
  name: string,
  value: (a: number, b: number) => number,
  gradient: NonNullable<Binary["gradient"]>,
  compose?: (a: Tensor, b: Tensor) => Tensor,
): Binary {
  return {
    name,
    inputs: ["a", "b"],
    outputs: ["y"],
    infer({ a, b }) {
      expectFloats(name, { a, b });
      expectShapes(
        sameShape(a.shape, b.shape),
        name,
        { a, b },
        "operands differ in shape; repeat the smaller one with broadcast() or broadcastLast().",
      );
      return { y: { shape: a.shape, dtype: "f32" } };
    },
    gradient,
    flops: ({ y }) => sizeOf(y.shape),
    reference: ({ a, b }, { y }) => y.each((i) => value(a.at(i), b.at(i))),
    ...(compose && {
      compose: ({ a, b }: { readonly a: Tensor; readonly b: Tensor }) => ({ y: compose(a, b) }),
    }),
  };
}

export const addOperation: Binary = {
  name: "add",
  inputs: ["a", "b"],
  outputs: ["y"],
  infer({ a, b }) {
    if (!sameShape(a.shape, b.shape)) {
      throw new ShapeError(
        `add: operands differ in shape: a ${showShape(a.shape)}, b ${showShape(b.shape)}. Use broadcast() to repeat the smaller one.`,
      );
    }
    return { y: { shape: a.shape, dtype: "f32" } };
  },
  gradient: (_tensors, { y: g }) => ({ a: g, b: g }),
  flops: ({ y }) => sizeOf(y.shape),
  reference: ({ a, b }, { y }) => y.each((i) => a.at(i) + b.at(i)),
};

export const subtractOperation: Binary = binary(
  "subtract",
  (a, b) => a - b,
  (_tensors, { y: g }) => ({ a: g, b: negate(g) }),
  (a, b) => add(a, negate(b)),
);

export const multiplyOperation: Binary = binary(
  "multiply",
  (a, b) => a * b,
  ({ a, b }, { y: g }) => ({ a: multiply(g, b), b: multiply(g, a) }),
);

export const divideOperation: Binary = binary(
  "divide",
  (a, b) => a / b,
  ({ b, y }, { y: g }) => {
    const da = divide(g, b);
    return { a: da, b: negate(multiply(da, y)) };
  },
  (a, b) => multiply(a, reciprocal(b)),
);

/**
 * a + b, element by element.
 *
 * @returns of the shape of both
 * @throws ShapeError when the shapes differ; `broadcast` and `broadcastLast` repeat the smaller one
 */
export function add(a: Tensor, b: Tensor): Tensor {
  const sum = (): Tensor => apply(addOperation, { a, b }).y;
  // If an addend is kept, the sum is kept instead: it is as large, and stays one kernel with the addend.
  return isKept(a) || isKept(b) ? keep(sum) : sum();
}

/**
 * a − b, element by element.
 *
 * @returns of the shape of both
 * @throws ShapeError when the shapes differ or one holds i32 indices
 */
export function subtract(a: Tensor, b: Tensor): Tensor {
  return apply(subtractOperation, { a, b }).y;
}

/**
 * a · b, element by element; `matmul` is the product of matrices.
 *
 * @returns of the shape of both
 * @throws ShapeError when the shapes differ or one holds i32 indices
 */
export function multiply(a: Tensor, b: Tensor): Tensor {
  return apply(multiplyOperation, { a, b }).y;
}

/**
 * a / b, element by element.
 *
 * @returns of the shape of both
 * @throws ShapeError when the shapes differ or one holds i32 indices
 */
export function divide(a: Tensor, b: Tensor): Tensor {
  return apply(divideOperation, { a, b }).y;
}

function expectFloats(operation: string, operands: Readonly<Record<string, TensorSpec>>): void {
  for (const [name, { dtype }] of Object.entries(operands)) {
    expectShapes(
      dtype === "f32",
      operation,
      operands,
      `${name} holds ${dtype} indices, not f32 values; look values up with gather().`,
    );
  }
}
