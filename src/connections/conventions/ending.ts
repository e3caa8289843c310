// Question: how do the n streams become one at the end of a network?
//
//   mean, sum   of the streams
//   learned     a read with its own weights, Σ_j w_j x_j with w = σ(α φ x⃗' + b) + ε: parameters of the network's end
//
// A convention allows some of these; the first of its `ends` is its default. The end "carried" needs no other
// formula: see carried.ts.

import type { ParameterSet } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { streamRead } from "../../ops/stream-read.ts";
import { collapse } from "../../ops/expand.ts";
import { ALPHA, logit, PHI_DEVIATION } from "../initialisation.ts";
import type { StreamsConnection } from "../streams.ts";
import { endingCoefficients } from "./coefficients.ts";
import type { MhcConvention, StreamsEnd } from "./convention.ts";
import { type MhcConventionName, mhcConventions } from "./table.ts";

/**
 * The end of a network in a convention: the requested one, or the convention's default.
 *
 * @throws RangeError when the convention does not allow it
 */
export function endOf(convention: MhcConventionName, asked: StreamsEnd | undefined): StreamsEnd {
  const { ends } = mhcConventions[convention];
  if (asked === undefined) return ends[0];
  if (ends.includes(asked)) return asked;
  throw new RangeError(
    `mhc: convention "${convention}" ends with ${ends.map((end) => `"${end}"`).join(" or ")}, got collapse "${asked}". Leave collapse out, or choose convention "paper".`,
  );
}

/** What a connection of n streams does at the end of a network. */
export function endingOf(
  end: Exclude<StreamsEnd, "carried">,
  convention: MhcConventionName,
  streams: number,
): Pick<StreamsConnection, "collapse" | "ending"> {
  if (end !== "learned") return { collapse: (x_TNC) => collapse(x_TNC, end) };
  return {
    collapse() {
      throw new Error(
        `${convention}: its end is learned, so it stands at the end of a network only: make its parameters with ending() and ` +
          'collapse with what that returns, or choose convention "paper", whose end is the mean.',
      );
    },
    ending: (parameters, { channels }) => learnedEnding(parameters, streams, channels, mhcConventions[convention]),
  };
}

/** Starts at the mean of the streams, except for the small part that φ adds. */
function learnedEnding(
  parameters: ParameterSet,
  n: number,
  channels: number,
  rules: MhcConvention,
): (x_TNC: Tensor) => Tensor {
  // No sigmoid reaches one, so a single stream is read almost completely.
  const share = logit(Math.min(1 / n, 0.999));
  const weights = {
    phi: parameters.create("phi", [n, n * channels], { normal: PHI_DEVIATION }, "connection"),
    alpha: parameters.create("alpha", [1], { constant: ALPHA }, "connection"),
    bias: parameters.create("bias", [n], { constant: share }, "connection"),
  };
  return (x_TNC) => streamRead(x_TNC, endingCoefficients(x_TNC, weights, rules));
}
