// SwiGLU, the gated activation of the feed-forward layer (Shazeer 2020, arXiv 2002.05202).
//
//   y = silu(a) · u,  x = a | u,  silu(a) = a · σ(a),  σ(a) = 1 / (1 + e^−a)
//   du = g · silu(a),  da = g · u · σ(a) · (1 + a · (1 − σ(a)))
//
// Shapes: x [..., 2H] (the gate a first, then u), y [..., H].

import { applyOne, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const swigluOperation: Operation<["x"], ["y"]> = positional<["x"], ["y"], unknown>({
  name: "swiglu",
  inputs: ["x"],
  outputs: ["y"],
  infer([x]) {
    const width = lastAxis(x!.shape);
    expectShapes(
      x!.shape.length >= 1 && width % 2 === 0,
      "swiglu",
      { x: x! },
      "the last axis holds the gate and the value side by side and must be even.",
    );
    return [{ shape: [...x!.shape.slice(0, -1), width / 2], dtype: "f32" }];
  },
  gradient: ({ inputs: [x] }, [g]) => [applyOne(swigluBackwardOperation, [x!, g!], {})],
  flops: (node) => 6 * sizeOf(node.outputs[0]!.shape),
  reference([x], [y]) {
    const half = lastAxis(y!.shape);
    for (let i = 0; i < y!.data.length; i++) {
      const gate = Math.floor(i / half) * 2 * half + (i % half);
      y!.data[i] = x!.data[gate]! * sigmoid(x!.data[gate]!) * x!.data[gate + half]!;
    }
  },
});

/** (x, g) → dx. */
export const swigluBackwardOperation: Operation<["x", "g"], ["dx"]> = positional<["x", "g"], ["dx"], unknown>({
  name: "swigluBackward",
  inputs: ["x", "g"],
  outputs: ["dx"],
  infer: ([x]) => [{ shape: x!.shape, dtype: "f32" }],
  flops: (node) => 6 * sizeOf(node.outputs[0]!.shape),
  reference([x, g], [dx]) {
    const half = lastAxis(g!.shape);
    for (let i = 0; i < g!.data.length; i++) {
      const gate = Math.floor(i / half) * 2 * half + (i % half);
      const a = x!.data[gate]!;
      const s = sigmoid(a);
      dx!.data[gate] = g!.data[i]! * x!.data[gate + half]! * s * (1 + a * (1 - s));
      dx!.data[gate + half] = g!.data[i]! * a * s;
    }
  },
});

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/**
 * silu(gate) · value, for gate and value side by side in the last axis.
 *
 * @param x [..., 2H]: the first H columns are the gate
 * @returns [..., H]
 * @throws ShapeError when the last axis is odd
 */
export function swiglu(x: Tensor): Tensor {
  return applyOne(swigluOperation, [x], {});
}
