// Question: what does one check of an operation consist of?

import type { Tensor } from "../../src/graph/tensor.ts";

export interface OperationCase {
  /** Operation and what is special, such as "rmsNorm [3, 5]". */
  readonly name: string;
  readonly inputs: Readonly<
    Record<
      string,
      {
        readonly shape: readonly number[];
        readonly dtype?: "f32" | "i32";
        /** Default: standard normal. */
        readonly values?: (random: () => number, index: number) => number;
      }
    >
  >;
  build(inputs: Record<string, Tensor>): Tensor | readonly Tensor[];
  /** Inputs that get no gradient check (i32 inputs never do). */
  readonly constant?: readonly string[];
  /** Set where values are rounded: finite differences would only see the steps. */
  readonly rounds?: true;
  /** How near the composed form comes to the reference in float64, where 1e-10 cannot hold; say why. */
  readonly composed?: number;
  /** Relative tolerances where the defaults (forward 1e-5, gradient 1e-4) cannot hold, and why. */
  readonly tolerance?: { readonly forward: number; readonly gradient: number; readonly why: string };
}
