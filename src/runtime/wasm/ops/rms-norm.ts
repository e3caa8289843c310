// Question: how does the CPU normalise rows?

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import { rmsNormBackwardOperation, rmsNormOperation } from "../../../ops/rms-norm.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement, rowwise, sumPartials } from "../implement.ts";

export const rmsNorm: readonly Implementation[] = [
  rowwise(rmsNormOperation, "rmsNorm", {
    whole: ["w"],
    inPlace: { y: "x" },
    words: ({ x }, { epsilon }) => ({ C: lastAxis(x.shape), epsilon }),
  }),
  // The gradient of a residual branch is added on the way.
  implement(
    rmsNormBackwardOperation,
    ({ x, w, g, dx, dw }, calls, { epsilon }, addend) => {
      const { read, write, temporary, emit } = calls;
      const rows = rowCount(x.shape);
      const channels = lastAxis(x.shape);
      const tiles = Math.ceil(rows / ROW_TILE);
      const partials = temporary("partials", 4 * tiles * channels);
      emit({
        kernel: "rmsNormBackward",
        domain: rows,
        grain: ROW_TILE,
        operands: {
          x: read(x, "share"),
          w: read(w, "whole"),
          g: read(g, "share"),
          addend: addend && read(addend, "share"),
          dx: write(dx, "share"),
          dwPartials: write(partials, "whole"),
        },
        words: { C: channels, epsilon, tile: ROW_TILE },
        inPlace: { dx: ["addend", "x", "g"] },
      });
      sumPartials(calls, partials, dw, tiles);
    },
    { accumulates: true },
  ),
];
