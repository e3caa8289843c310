// A small network of one's own: two blocks in mHC that learn to square their input.

import {
  type AdamwUpdates,
  adamwUpdates,
  createParameters,
  input,
  mhc,
  type ParameterSet,
  type Tensor,
} from "../../src/index.ts";
import { matmul, mean, silu, square, subtract } from "../../src/ops.ts";
import { random } from "../../src/data/random.ts";

export interface SquareNet {
  readonly x: Tensor;
  readonly parameters: ParameterSet;
  readonly loss: Tensor;
  readonly mixing: readonly Tensor[];
}

const [tokens, channels] = [16, 8];

export function squareNet(streams = 2): SquareNet {
  const [x, parameters, connection] = [input("x", [tokens, channels]), createParameters(), mhc({ streams })];
  let state = connection.expand(x);
  const mixing = [0, 1].map((index) => {
    const own = parameters.under(`block${index}`);
    const weight = own.create("weight", [channels, channels], { normal: 0.2 }, "weight");
    const wrapped = connection.sublayer(own, { channels, index }).apply(state, (u) => silu(matmul(u, weight)));
    state = wrapped.state;
    return wrapped.coefficients!;
  });
  return { x, parameters, loss: mean(square(subtract(connection.collapse(state), square(x)))), mixing };
}

/** The values of x at a step. */
export const valuesAt = (step: number): Float32Array =>
  Float32Array.from({ length: tokens * channels }, (_, i) => random(5, step, i) / 2 ** 32);

/** AdamW by hand, as programs did it before there was a loop. */
export const byHand = ({ parameters, loss }: SquareNet, learningRate: number): AdamwUpdates =>
  adamwUpdates(parameters, loss, { learningRate, weightDecay: 0 });
