// Question: on which inputs are two forms of a connection compared?
//
// On random streams that are the same every time: normal numbers from the library's counter-based generator.

import type { ConnectionWeights, Probe, Weights } from "../connections/conventions/evaluate.ts";
import { normal, streams as purposes } from "../data/random.ts";

/** The most numbers of a sequence, 1 GiB of them. */
const MOST_VALUES = 2 ** 27;

const SEED = 20251224;

/** Normal numbers of one sequence; different sequences are independent. */
function normals(sequence: number, length: number): Float64Array {
  return Float64Array.from({ length }, (_, index) => normal(SEED + sequence, purposes.probing, index));
}

/** Streams x [T, n, C] and a block's results y [T, C], standard normal. */
export function randomProbe(sizes: Pick<Probe, "tokens" | "streams" | "channels">): Probe {
  const { tokens, streams, channels } = sizes;
  const most = Math.floor(MOST_VALUES / (streams * channels));
  if (tokens > most)
    throw new RangeError(
      `${tokens} random tokens of ${streams} streams of ${channels} channels are too many; at most ${most} are drawn. Give fewer tokens.`,
    );
  return { ...sizes, x: normals(0, tokens * streams * channels), y: normals(1, tokens * channels) };
}

/** Weights of an mHC sublayer whose dynamic and static logits together have this deviation. */
export function randomWeights(streams: number, channels: number, deviation: number): ConnectionWeights {
  const M = streams * streams + 2 * streams;
  const half = deviation * Math.SQRT1_2;
  const tensor = (sequence: number, shape: readonly number[], scale: number): Weights => ({
    shape,
    data: Float32Array.from(
      normals(
        sequence,
        shape.reduce((a, b) => a * b, 1),
      ),
      (value) => scale * value,
    ),
  });
  return {
    phi: tensor(2, [M, streams * channels], half / Math.sqrt(streams * channels)),
    alpha: { shape: [3], data: Float32Array.of(1, 1, 1) },
    bias: tensor(3, [M], half),
  };
}
