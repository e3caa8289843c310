// Question: how does a sublayer read with the coefficients that the previous sublayer computed?
//
//   read with its coefficients     h = coefficients(x),  x' = write(x, h, F(read(x, h)))         streams.ts
//   read with the previous ones    h = coefficients(x),  x' = write(x, h, F(read(x, g))),  the state is (x', h)
//
// In the second form (DeepSeek-V4.1, arXiv 2609.19969) a sublayer reads before it has computed coefficients,
// so one pass over the streams writes them and predicts what the next sublayer reads with. The first
// sublayer reads stream 0; the end of the network reads with the last sublayer's coefficients.

import { lastAxis, type Tensor } from "../../graph/tensor.ts";
import { concat } from "../../ops/concat.ts";
import { slice } from "../../ops/slice.ts";
import { streamRead } from "../../ops/stream-read.ts";
import { streamWrite } from "../../ops/stream-write.ts";
import { expand } from "../../ops/expand.ts";
import { type Connection, expectChannels, expectSublayer, storages, streamsForm } from "../connection.ts";
import type { StreamsConnection } from "../streams.ts";
import { firstStream } from "./coefficients.ts";

/** The streams [T, n, C], and the coefficients [T, M] whose pre part reads them next. */
export type Carried = readonly [streams: Tensor, coefficients: Tensor];

/** A connection of n streams whose sublayers read with the coefficients of the previous sublayer. */
export function carriedConnection({
  name,
  streams,
  streamPrecision,
  deciding,
}: Omit<StreamsConnection, "collapse" | "ending">): Connection<Carried> {
  const { keep, use } = storages[streamPrecision];
  return {
    name,
    form: `${streamsForm(streams, streamPrecision)} and coefficients to read them with`,
    expand: (x_TC) => [keep(expand(x_TC, streams)), firstStream(x_TC, streams)],
    sublayer(parameters, options) {
      expectSublayer(name, options);
      const decide = deciding(parameters, options);
      return {
        apply([state, previous], block, adjust) {
          const x_TNC = use(state);
          expectChannels(name, x_TNC, options.channels);
          const decided = decide(x_TNC);
          const { coefficients } = decided;
          const adjusted = adjust?.(inUse(previous, coefficients, streams));
          const y_TC = block(streamRead(x_TNC, adjusted ?? previous));
          const next = keep(streamWrite(x_TNC, adjusted ?? coefficients, y_TC));
          return { ...decided, state: [next, coefficients], streams: x_TNC };
        },
      };
    },
    collapse: ([state, last]) => streamRead(use(state), last),
  };
}

/** The maps that a sublayer uses: it reads with the previous coefficients, and writes and mixes with its own. */
function inUse(previous: Tensor, current: Tensor, n: number): Tensor {
  const axis = current.shape.length - 1;
  return concat([slice(previous, axis, 0, n), slice(current, axis, n, lastAxis(current.shape) - n)], axis);
}
