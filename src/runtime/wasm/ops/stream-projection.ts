// Question: how does the CPU project the streams onto their coefficients?

import type { Tensor } from "../../../graph/tensor.ts";
import {
  projectionRows,
  streamProjectionBackwardOperation,
  type StreamProjectionAttributes,
  streamProjectionOperation,
} from "../../../ops/stream-projection.ts";
import { streamSizes } from "../../../ops/streams.ts";
import type { Buffer } from "../../plan/calls.ts";
import { ROW_TILE } from "../constants.ts";
import type { Words } from "../call.ts";
import { type Calls, type Implementation, implement, packed } from "../implement.ts";

/** w [P, K] in panels: of wᵀ for x wᵀ, of w for draw w. */
function packWeight(calls: Calls, w: Tensor, transposed: boolean): Buffer {
  const [outputs, length] = w.shape as [number, number];
  const [inner, columns] = transposed ? [length, outputs] : [outputs, length];
  return packed(calls, w, { inner, columns, stride: length, transposed });
}

/** K, P and the rows of a token. */
function sizes(x: Tensor, w: Tensor, attributes: StreamProjectionAttributes): Words<"streamProjectionBackward"> {
  const { rows, length } = projectionRows(x, attributes);
  return { K: length, P: w.shape[0] ?? 1, rows: rows / streamSizes(x).tokens };
}

export const streamProjection: readonly Implementation[] = [
  implement(streamProjectionOperation, ({ x, w, p, s }, calls, attributes) => {
    const { read, write, emit } = calls;
    const { tokens } = streamSizes(x);
    emit({
      kernel: "streamProjection",
      domain: tokens,
      grain: ROW_TILE,
      operands: {
        x: read(x, "share"),
        w: read(packWeight(calls, w, true), "whole"),
        p: write(p, "share"),
        s: write(s, "share"),
      },
      words: { ...sizes(x, w, attributes), epsilon: attributes.epsilon },
    });
  }),
  implement(
    streamProjectionBackwardOperation,
    ({ x, w, p, s, dp, dx, draw }, calls, attributes, addend) => {
      const { read, write, emit } = calls;
      const panels = packWeight(calls, w, false);
      emit({
        kernel: "streamProjectionBackward",
        domain: streamSizes(x).tokens,
        grain: ROW_TILE,
        operands: {
          x: read(x, "share"),
          w: read(panels, "whole"),
          p: read(p, "share"),
          s: read(s, "share"),
          dp: read(dp, "share"),
          dx: write(dx, "share"),
          draw: write(draw, "share"),
          addend: addend && read(addend, "share"),
        },
        words: sizes(x, w, attributes),
        inPlace: { dx: "addend" },
      });
    },
    { accumulates: true },
  ),
];
