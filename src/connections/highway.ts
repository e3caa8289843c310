// Question: what is the highway connection?
//
// The highway connection (Srivastava, Greff and Schmidhuber 2015, arXiv 1505.00387): a gate in each
// channel decides between the block's result and what came in.
//
//   x_{l+1} = t ∘ F(x_l) + (1 − t) ∘ x_l,   t = σ(x_l W + b)
//
// Shapes: x, t [T, C], W [C, C], b [C]. State: channels [T, C]. Parameters a sublayer: C² + C; costs one
// C × C product a token.
// Start: W = 0 and b < 0, so every gate is σ(b) and little of F passes: with b = −2,
// x_{l+1} = 0.881 x_l + 0.119 F(x_l). Not the residual: the network's input fades by 0.881 a sublayer.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { finiteFloat32 } from "../basics/schemas.ts";
import { add } from "../ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";
import { multiply, sigmoid, subtract } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { broadcast } from "../ops/reductions.ts";
import { CHANNELS_FORM, type Connection, expectChannels, expectSublayer } from "./connection.ts";
import type { Configuration, ConnectionEntry } from "./entry.ts";

/** The options of the highway connection. */
export interface HighwayOptions {
  /** Where the logits of the gates start; the more negative, the more of x is kept. Default −2 (the paper: −1 to −3). */
  readonly bias?: number;
}

const optionRules: FieldRules<HighwayOptions> = { bias: "number" };

/**
 * t ∘ F(x) + (1 − t) ∘ x with a learned gate t in every channel (Srivastava, Greff and Schmidhuber 2015,
 * arXiv 1505.00387). State [T, C]; C² + C parameters a sublayer. Its start is not the plain residual.
 */
export function highway(options: HighwayOptions = {}): Connection<Tensor> {
  expectFields("highway", options, optionRules);
  const { bias = -2 } = options;
  return {
    name: "highway",
    form: CHANNELS_FORM,
    expand: (x_TC) => x_TC,
    sublayer(parameters, sublayer) {
      expectSublayer("highway", sublayer);
      const { channels } = sublayer;
      const weight_CC = parameters.create("weight", [channels, channels], { constant: 0 }, "connection");
      const bias_C = parameters.create("bias", [channels], { constant: bias }, "connection");
      return {
        apply(x_TC, block) {
          expectChannels("highway", x_TC, channels);
          const gate_TC = sigmoid(add(matmul(x_TC, weight_CC), broadcast(bias_C, x_TC.shape)));
          return { state: add(x_TC, multiply(gate_TC, subtract(block(x_TC), x_TC))) };
        },
      };
    },
    collapse: (x_TC) => x_TC,
  };
}

/** The highway connection as plain data. */
export type HighwayConfig = Configuration<"highway", HighwayOptions, "bias">;

export const highwayEntry: ConnectionEntry<HighwayConfig> = {
  kind: "highway",
  options: { bias: finiteFloat32.default(-2) },
  make: highway,
};
