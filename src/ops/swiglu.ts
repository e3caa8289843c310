// Question: what is SwiGLU, the gated activation of the feed-forward layer (Shazeer 2020, arXiv 2002.05202)?
//
//   y = silu(a) · u,  x = a | u,  silu(a) = a · σ(a),  σ(a) = 1 / (1 + e^−a)
//   du = g · silu(a),  da = g · u · σ(a) · (1 + a · (1 − σ(a)))
//
// Shapes: x [..., 2H] (the gate a first, then u), y [..., H].

import { apply, lastAxis, type Operation, rowCount, sizeOf, type Tensor } from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { multiply, negate, shift, sigmoid as sigmoidOf, silu } from "./elementwise.ts";
import { siluSlope, siluValue } from "./logistic.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";

export const swigluOperation: Operation<["x"], ["y"]> = {
  name: "swiglu",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    const width = lastAxis(x.shape);
    expectShapes(
      x.shape.length >= 1 && width % 2 === 0,
      "swiglu",
      { x },
      "the last axis holds the gate and the value side by side and must be even.",
    );
    return { y: { shape: [...x.shape.slice(0, -1), width / 2], dtype: "f32" } };
  },
  gradient: ({ x }, { y: g }) => ({ x: apply(swigluBackwardOperation, { x, g }).dx }),
  flops: ({ y }) => 6 * sizeOf(y.shape),
  reference({ x }, { y }) {
    const H = lastAxis(y.shape);
    for (let row = 0; row < rowCount(y.shape); row++) {
      for (let c = 0; c < H; c++) y.set(row, c, siluValue(x.at(row, c)) * x.at(row, H + c));
    }
  },
  compose({ x }) {
    const [a, u] = halves(x);
    return { y: multiply(silu(a), u) };
  },
};

export const swigluBackwardOperation: Operation<["x", "g"], ["dx"]> = {
  name: "swigluBackward",
  inputs: ["x", "g"],
  outputs: ["dx"],
  infer: ({ x }) => ({ dx: { shape: x.shape, dtype: "f32" } }),
  flops: ({ dx }) => 6 * sizeOf(dx.shape),
  reference({ x, g }, { dx }) {
    const H = lastAxis(g.shape);
    for (let row = 0; row < rowCount(g.shape); row++) {
      for (let c = 0; c < H; c++) {
        const a = x.at(row, c);
        dx.set(row, c, g.at(row, c) * x.at(row, H + c) * siluSlope(a));
        dx.set(row, H + c, g.at(row, c) * siluValue(a));
      }
    }
  },
  compose({ x, g }) {
    const [a, u] = halves(x);
    const s = sigmoidOf(a);
    const slope = multiply(s, shift(multiply(a, shift(negate(s), 1)), 1));
    return { dx: concat([multiply(multiply(g, u), slope), multiply(g, silu(a))], x.shape.length - 1) };
  },
};

/** The gate and the value. */
function halves(x: Tensor): [a: Tensor, u: Tensor] {
  const axis = x.shape.length - 1;
  const H = lastAxis(x.shape) / 2;
  return [slice(x, axis, 0, H), slice(x, axis, H, H)];
}

/**
 * silu(gate) · value, for gate and value side by side in the last axis.
 *
 * @param x [..., 2H]: the first H columns are the gate
 * @returns [..., H]
 * @throws ShapeError when the last axis is odd
 */
export function swiglu(x: Tensor): Tensor {
  return apply(swigluOperation, { x }).y;
}
