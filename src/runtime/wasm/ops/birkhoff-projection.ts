// Question: how does the CPU project onto the Birkhoff polytope?
//
// One item a matrix; eight share the lanes of the vectors.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { birkhoffProjectionOperation } from "../../../ops/birkhoff-projection.ts";
import { type Implementation, rowwise } from "../implement.ts";
import { expectRoom } from "./square-matrices.ts";

export const birkhoffProjection: readonly Implementation[] = [
  rowwise(birkhoffProjectionOperation, "birkhoffProjection", {
    rows: ({ logits }) => sizeOf(logits.shape.slice(0, -2)),
    inPlace: { p: "logits" },
    words({ logits }) {
      const n = lastAxis(logits.shape);
      expectRoom("birkhoffProjection", n, 4);
      return { n };
    },
  }),
];
