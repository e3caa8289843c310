// Question: what does one layer do to the streams of a token?
//
// The block is a small one that is made here of the library's operations and random weights; everything around it is the
// library's connection of the paper: evaluateConnection gives H_pre, H_post, H_res, what the block reads, and the
// streams after the layer. Streams x [n, C], a block's result y [C].

import { evaluateConnection } from "../../../../src/connections/conventions/evaluate.ts";
import { normal, streams } from "../../../../src/data/random.ts";
import { constant, input } from "../../../../src/graph/state.ts";
import type { Tensor } from "../../../../src/graph/tensor.ts";
import { add, silu } from "../../../../src/ops/elementwise.ts";
import { fill } from "../../../../src/ops/fill.ts";
import { matmul } from "../../../../src/ops/matmul.ts";
import { rmsNorm } from "../../../../src/ops/rms-norm.ts";
import { evaluate } from "../../../../src/runtime/reference/evaluate.ts";

/** C, the channels that are drawn. */
export const CHANNELS = 8;

const numbers = (seed: number, count: number, size: number): number[] =>
  Array.from({ length: count }, (_, at) => size * normal(seed, streams.probing, at));

/** The block of a layer: silu(rmsNorm(u) W). */
function block(u: Tensor, seed: number): Tensor {
  const weight = constant(numbers(100 + seed, CHANNELS * CHANNELS, 0.55), [CHANNELS, CHANNELS]);
  return silu(matmul(rmsNorm(u, fill([CHANNELS], 1)), weight));
}

/** A plain residual stream: the state before the first layer and after each, and what each layer added. */
export interface Story {
  readonly states: readonly Float64Array[];
  readonly added: readonly Float64Array[];
}

/** x_{l+1} = x_l + F(x_l) for a few layers. */
export function residualStory(layers: number, seed: number): Story {
  const x = input("x", [1, CHANNELS]);
  const tensors: Record<string, Tensor> = {};
  let state = x;
  for (let layer = 0; layer < layers; layer++) {
    const result = block(state, seed + layer);
    state = add(state, result);
    tensors[`added${layer}`] = result;
    tensors[`state${layer}`] = state;
  }
  const first = Float64Array.from(numbers(seed, CHANNELS, 0.8));
  const values = evaluate(tensors, [[x, first]]);
  const all = (name: string): Float64Array[] =>
    Array.from({ length: layers }, (_, layer) => values[`${name}${layer}`]!);
  return { states: [first, ...all("state")], added: all("added") };
}

/** The unconstrained numbers of a layer, before sigmoid and Sinkhorn-Knopp. */
export interface Logits {
  readonly pre: readonly number[];
  readonly post: readonly number[];
  readonly res: readonly number[];
}

/** Everything that a layer of mHC computes for one token. */
export interface Layer {
  readonly pre: Float64Array;
  readonly post: Float64Array;
  readonly res: Float64Array;
  /** H_pre x, [C]. */
  readonly read: Float64Array;
  /** F(H_pre x), [C]. */
  readonly result: Float64Array;
  /** The streams after the layer, each [C]. */
  readonly next: readonly Float64Array[];
}

/** The streams that a picture begins with: unlike each other, as after some layers. */
export function someStreams(n: number, seed: number): Float64Array[] {
  return Array.from({ length: n }, (_, stream) => Float64Array.from(numbers(seed + 31 * stream, CHANNELS, 0.8)));
}

/** One layer of mHC, with the paper's formulas and static coefficients (φ = 0). */
export function mhcLayer(x: readonly Float64Array[], { pre, post, res }: Logits): Layer {
  const n = x.length;
  const rows = n * n + 2 * n;
  const weights = {
    phi: { shape: [rows, n * CHANNELS], data: new Float64Array(rows * n * CHANNELS) },
    alpha: { shape: [3], data: [0.01, 0.01, 0.01] },
    bias: { shape: [rows], data: [...pre, ...post, ...res] },
  };
  const probe = { tokens: 1, streams: n, channels: CHANNELS, x: Float64Array.from(x.flatMap((one) => [...one])) };
  const { read } = evaluateConnection("paper", weights, { ...probe, y: new Float64Array(CHANNELS) });
  const u = input("u", [1, CHANNELS]);
  const { y } = evaluate({ y: block(u, 7) }, [[u, read]]);
  const { coefficients, next } = evaluateConnection("paper", weights, { ...probe, y });
  return {
    pre: coefficients.slice(0, n),
    post: coefficients.slice(n, 2 * n),
    res: coefficients.slice(2 * n),
    read,
    result: y,
    next: Array.from({ length: n }, (_, stream) => next.slice(stream * CHANNELS, (stream + 1) * CHANNELS)),
  };
}
