// Question: how do n streams pass through a network in a convention other than the paper's?
//
//   read with own coefficients     h = coefficients(x),  x' = write(x, h, F(read(x, h)))
//   read with the previous ones    h = coefficients(x),  x' = write(x, h, F(read(x, g))),  the state is (x', h)
//
// In the second (DeepSeek-V4.1, arXiv 2609.19969) a sublayer needs no coefficients of its own before it
// reads, so one pass over the streams writes them and predicts what the next sublayer reads with. The first
// sublayer reads stream 0; the end of the network reads with what the last one left.

import type { ParameterSet } from "../../graph/parameters.ts";
import { lastAxis, type Tensor } from "../../graph/tensor.ts";
import { concat } from "../../ops/concat.ts";
import { slice } from "../../ops/slice.ts";
import type { StreamPrecision } from "../../ops/stream-precision.ts";
import { streamRead } from "../../ops/stream-read.ts";
import { streamWrite } from "../../ops/stream-write.ts";
import { collapse, expand } from "../../ops/expand.ts";
import { type Connection, type Ending, storages, streamsForm, type SublayerOptions } from "../connection.ts";
import { ALPHA, logit, PHI_DEVIATION } from "../initialisation.ts";
import { type ConnectionParameters, conventionCoefficients, endingCoefficients, firstStream } from "./coefficients.ts";
import { residualLogits } from "../residual-logits.ts";
import { streamsConnection } from "../streams.ts";
import type { ManifoldConvention, StreamsEnd } from "./convention.ts";
import { type ManifoldConventionName, manifoldConventions } from "./table.ts";

export interface ConventionOptions {
  readonly streams: number;
  readonly iterations: number;
  readonly convention: ManifoldConventionName;
  readonly end: StreamsEnd;
  /** How streams are kept between the sublayers. */
  readonly streamPrecision: StreamPrecision;
  /** Make the parameters of a sublayer. */
  readonly parametersOf: (parameters: ParameterSet, options: SublayerOptions) => ConnectionParameters;
}

/** A connection in a convention; `manifold` chooses it. */
export function conventionConnection(options: ConventionOptions): Connection<Tensor> | Connection<Carried> {
  return manifoldConventions[options.convention].reads === "own" ? ownReads(options) : previousReads(options);
}

function ownReads(options: ConventionOptions): Connection<Tensor> {
  const { streams, iterations, convention, end, streamPrecision, parametersOf } = options;
  const rules = manifoldConventions[convention];
  const connection = streamsConnection({
    name: "manifold",
    streams,
    streamPrecision,
    deciding(parameters, sublayer) {
      const own = parametersOf(parameters, sublayer);
      return (x_TNC) => {
        const coefficients = conventionCoefficients(x_TNC, own, rules, iterations);
        return { coefficients, logits: residualLogits(coefficients) };
      };
    },
    collapse(x_TNC) {
      if (end === "mean" || end === "sum") return collapse(x_TNC, end);
      throw new Error(
        `${convention}: its end is learned, so it stands at the end of a network only: make its parameters with ending() and ` +
          'collapse with what that returns, or choose convention "paper", whose end is the mean.',
      );
    },
  });
  if (end !== "learned") return connection;
  const { use } = storages[streamPrecision];
  return {
    ...connection,
    ending(parameters, { channels }) {
      const { collapse: joinedBy } = learnedEnding(parameters, streams, channels, rules);
      return { collapse: (state) => joinedBy(use(state)) };
    },
  };
}

/** The streams [T, n, C], and the coefficients [T, M] whose pre part reads them next. */
export type Carried = readonly [streams: Tensor, coefficients: Tensor];

function previousReads(options: ConventionOptions): Connection<Carried> {
  const { streams, iterations, convention, streamPrecision, parametersOf } = options;
  const { keep, use } = storages[streamPrecision];
  const rules = manifoldConventions[convention];
  return {
    name: "manifold",
    form: `${streamsForm(streams, streamPrecision)} and coefficients to read them with`,
    expand: (x_TC) => [keep(expand(x_TC, streams)), firstStream(x_TC, streams)],
    sublayer(parameters, sublayer) {
      const own = parametersOf(parameters, sublayer);
      return {
        apply([state, previous], block, adjust) {
          const x_TNC = use(state);
          const coefficients = conventionCoefficients(x_TNC, own, rules, iterations);
          const adjusted = adjust?.(inUse(previous, coefficients, streams));
          const y_TC = block(streamRead(x_TNC, adjusted ?? previous));
          const next = keep(streamWrite(x_TNC, adjusted ?? coefficients, y_TC));
          const logits = residualLogits(coefficients);
          return { state: [next, coefficients], coefficients, streams: x_TNC, logits };
        },
      };
    },
    collapse: ([state, last]) => streamRead(use(state), last),
  };
}

/** The maps that a sublayer uses: it reads with the previous one's coefficients, it writes and mixes with its own. */
function inUse(previous: Tensor, own: Tensor, n: number): Tensor {
  const axis = own.shape.length - 1;
  return concat([slice(previous, axis, 0, n), slice(own, axis, n, lastAxis(own.shape) - n)], axis);
}

/** Starts at the mean of the streams, but for what little φ adds. */
function learnedEnding(
  parameters: ParameterSet,
  n: number,
  channels: number,
  rules: ManifoldConvention,
): Ending<Tensor> {
  // No sigmoid reaches one: a single stream is read almost whole.
  const share = logit(Math.min(1 / n, 0.999));
  const own = {
    phi: parameters.create("phi", [n, n * channels], { normal: PHI_DEVIATION }, "connection"),
    alpha: parameters.create("alpha", [1], { constant: ALPHA }, "connection"),
    bias: parameters.create("bias", [n], { constant: share }, "connection"),
  };
  return { collapse: (x_TNC) => streamRead(x_TNC, endingCoefficients(x_TNC, own, rules)) };
}

/**
 * The end of a convention's network: the one asked for, or its own.
 *
 * @throws RangeError when the convention does not admit it
 */
export function endOf(convention: ManifoldConventionName, asked: StreamsEnd | undefined): StreamsEnd {
  const { ends } = manifoldConventions[convention];
  if (asked === undefined) return ends[0];
  if (ends.includes(asked)) return asked;
  throw new RangeError(
    `manifold: convention "${convention}" ends with ${ends.map((end) => `"${end}"`).join(" or ")}, got collapse "${asked}". Leave collapse out, or choose convention "paper".`,
  );
}
