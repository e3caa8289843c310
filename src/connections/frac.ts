// Question: what are Frac-Connections?
//
// Frac-Connections (Zhu et al. 2025, arXiv 2503.14125): Hyper-Connections without wider states. The C
// channels of a token are split into m fractions of C/m, which take the place of the streams.
//
//   u_k = Σ_j Y_jk x_j            what F reads, m fractions side by side
//   x_i' = b_i F(u)_i + Σ_j A_ji x_j
//   [b | Y | A]_j = s ∘ tanh(x̃_j θᵀ) + static,   x̃_j = RMSNorm(x_j), a row a fraction: 1 + 2m entries
//
// The paper writes the coefficients as the matrix [[0, B], [Y, A]]; s is a scalar for each of b, Y and A.
// Shapes: x [T, C] seen as [T, m, C/m], θ [1 + 2m, C/m], static [m, 1 + 2m]. State: channels [T, C], as
// large as the plain residual's: expand and collapse do nothing. Parameters a sublayer: m (1 + 2m) and,
// dynamic, (1 + 2m) C/m + 3. Costs about (1 + 4m) C multiplications a token.
// Start: b = 1, Y = A = I, θ = 0, s = 0.01: exactly the pre-norm residual.

import { z } from "zod";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { add } from "../ops/elementwise.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { multiply, tanh } from "../ops/elementwise.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import { streamProjection } from "../ops/stream-projection.ts";
import { weightedSum } from "../ops/weighted-sum.ts";
import { CHANNELS_FORM, type Connection, expectChannels, expectSublayer, type SublayerOptions } from "./connection.ts";
import { type Configuration, type ConnectionEntry } from "./entry.ts";
import { MOST_STREAMS } from "../basics/bounds.ts";
import { count } from "../basics/schemas.ts";
import { ALPHA, oneHot } from "./initialisation.ts";
import { perGroup } from "./per-group.ts";

/** The options of Frac-Connections. */
export interface FracOptions {
  /** Number m of fractions; must divide the channels. Default 4. */
  readonly fractions?: number;
  /** Whether the coefficients depend on the token. Default true. */
  readonly dynamic?: boolean;
}

const optionRules: FieldRules<FracOptions> = { fractions: "number", dynamic: "flag" };

/**
 * Frac-Connections: read, mix and write m fractions of the channels with learned coefficients (Zhu et al.
 * 2025, arXiv 2503.14125). State [T, C], no wider than the plain residual's; m (1 + 2m) parameters a
 * sublayer, and (1 + 2m) C/m + 3 more where the coefficients depend on the token.
 *
 * @throws RangeError unless fractions is a whole number from 1 to 32, and from `sublayer` unless it divides
 *   the channels
 */
export function frac(chosen: FracOptions = {}): Connection<Tensor> {
  expectFields("frac", chosen, optionRules);
  const { fractions: m = 4, dynamic = true } = chosen;
  if (!Number.isInteger(m) || m < 1 || m > MOST_STREAMS)
    throw new RangeError(`frac: the number of fractions must be a whole number from 1 to ${MOST_STREAMS}, got ${m}.`);
  return {
    name: "frac",
    form: CHANNELS_FORM,
    expand: (x_TC) => x_TC,
    sublayer(parameters, options) {
      expectSublayer("frac", options);
      expectFractions(options.channels, m);
      const coefficientsOf = dynamic ? dynamicPart(parameters, m, options) : () => undefined;
      const fixed = staticPart(parameters, m);
      return {
        apply(x_TC, block) {
          expectChannels("frac", x_TC, options.channels);
          const [tokens, size] = [rowCount(x_TC.shape), options.channels / m];
          const x_TMD = reshape(x_TC, [tokens, m, size]);
          const static_TMK = broadcast(fixed, [tokens, m, 1 + 2 * m]);
          const moved = coefficientsOf(x_TMD);
          const h = moved ? add(moved, static_TMK) : static_TMK;
          const [b, Y, A] = [slice(h, 2, 0, 1), slice(h, 2, 1, m), slice(h, 2, 1 + m, m)];
          const u_TMD = batchedMatmul(Y, x_TMD, { transposeA: true });
          const y_TC = block(reshape(u_TMD, x_TC.shape));
          const written = weightedSum(reshape(b, [tokens * m, 1]), [reshape(y_TC, [tokens * m, size])]);
          const kept_TMD = batchedMatmul(A, x_TMD, { transposeA: true });
          return { state: reshape(add(kept_TMD, reshape(written, kept_TMD.shape)), x_TC.shape) };
        },
      };
    },
    collapse: (x_TC) => x_TC,
  };
}

function expectFractions(channels: number, m: number): void {
  if (channels % m !== 0) {
    throw new RangeError(
      `frac: ${channels} channels cannot be split into ${m} equal fractions; the number of fractions must divide them.`,
    );
  }
}

/** Row j: b_j, then row j of Y, then row j of A. */
function staticPart(parameters: ParameterSet, m: number): Tensor {
  const values = Array.from({ length: m }, (_, j) => [1, ...oneHot(m, j), ...oneHot(m, j)]).flat();
  return parameters.create("static", [m, 1 + 2 * m], { values }, "connection");
}

function dynamicPart(parameters: ParameterSet, m: number, { channels }: SublayerOptions): (x_TMD: Tensor) => Tensor {
  const width = 1 + 2 * m;
  const theta = parameters.create("theta", [width, channels / m], { constant: 0 }, "connection");
  const alpha = parameters.create("alpha", [3], { constant: ALPHA }, "connection");
  return (x_TMD) => {
    const bent = tanh(streamProjection(x_TMD, theta, { over: "stream", epsilon: 1e-20 }));
    return multiply(bent, broadcast(perGroup(alpha, [1, m, m]), bent.shape));
  };
}

/** Frac-Connections as plain data. */
export type FracConfig = Configuration<"frac", FracOptions, "fractions" | "dynamic">;

export const fracEntry: ConnectionEntry<FracConfig> = {
  kind: "frac",
  options: { fractions: count(MOST_STREAMS).default(4), dynamic: z.boolean().default(true) },
  make: frac,
};
