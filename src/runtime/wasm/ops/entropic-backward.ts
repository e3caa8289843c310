// Question: how does the CPU find the gradient of an entropic projection?
//
// One item a matrix; eight share the lanes of the vectors.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { entropicBackwardOperation } from "../../../ops/entropic-backward.ts";
import { type Implementation, rowwise } from "../implement.ts";
import { expectRoom } from "./square-matrices.ts";

export const entropicBackward: readonly Implementation[] = [
  rowwise(entropicBackwardOperation, "entropicBackward", {
    rows: ({ r }) => sizeOf(r.shape.slice(0, -2)),
    inPlace: { dlogits: "r" },
    words({ r }) {
      const n = lastAxis(r.shape);
      expectRoom("entropicBackward", n, 4);
      return { n };
    },
  }),
];
