// Question: how do composed forms compare, choose and number things?
//
// A mask is 1 where a condition holds and 0 elsewhere. Indices are whole numbers, so a margin of one half is enough to
// compare them.

import { constant } from "../graph/state.ts";
import { lastAxis, type Shape, type Tensor } from "../graph/tensor.ts";
import { multiply, shift, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { broadcast, broadcastLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { slice } from "./slice.ts";
import { toFloats } from "./to-floats.ts";

/** 0, 1, ..., size − 1: [size]. */
export function positions(size: number): Tensor {
  return constant(
    Array.from({ length: size }, (_, i) => i),
    [size],
  );
}

/** 1 where x is positive, 0 elsewhere: [...] → [...]. */
export function positive(x: Tensor): Tensor {
  return select(x, fill(x.shape, 1), fill(x.shape, 0));
}

/** 1 where x is a finite number, 0 where it is NaN or infinite: [...] → [...]. */
export function finite(x: Tensor): Tensor {
  return positive(shift(subtract(x, x), 1));
}

/** 1 where two whole numbers are equal: [...] each → [...]. */
export function equal(a: Tensor, b: Tensor): Tensor {
  const difference = subtract(a, b);
  return multiply(positive(shift(difference, 0.5)), positive(shift(subtract(b, a), 0.5)));
}

/** For each index, a row that is 1 at that index and 0 elsewhere: i32 [...] → f32 [..., size]. */
export function oneHot(indices: Tensor, size: number): Tensor {
  const shape = [...indices.shape, size];
  return equal(broadcastLast(toFloats(indices), size), broadcast(positions(size), shape));
}

/** 1 at [i, j] with j ≤ i: [size, size]. */
export function lowerTriangle(size: number): Tensor {
  const rows = broadcastLast(positions(size), size);
  return positive(shift(subtract(rows, broadcast(positions(size), [size, size])), 0.5));
}

/** One number of a vector, repeated everywhere: x [C] → the given shape. */
export function entry(x: Tensor, index: number, shape: Shape): Tensor {
  return broadcast(reshape(slice(x, 0, index, 1), []), shape);
}

/** Each row times its factor: x [..., C], factors [...] → [..., C]. */
export function scaleRows(x: Tensor, factors: Tensor): Tensor {
  return multiply(x, broadcastLast(factors, lastAxis(x.shape)));
}
