// Question: how does the CPU make rotations of logits?
//
// One item a matrix; eight share the lanes of the vectors.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { cayleyBackwardOperation, cayleyOperation } from "../../../ops/cayley.ts";
import { type Implementation, rowwise } from "../implement.ts";
import { expectRoom } from "./square-matrices.ts";

export const cayley: readonly Implementation[] = [
  rowwise(cayleyOperation, "cayley", {
    rows: ({ q }) => sizeOf(q.shape.slice(0, -2)),
    inPlace: { q: "logits" },
    words({ q }) {
      const m = lastAxis(q.shape);
      expectRoom("cayley", m, 4);
      return { m };
    },
  }),
  rowwise(cayleyBackwardOperation, "cayleyBackward", {
    rows: ({ q }) => sizeOf(q.shape.slice(0, -2)),
    inPlace: { dlogits: "q" },
    words({ q }) {
      const m = lastAxis(q.shape);
      expectRoom("cayleyBackward", m, 3);
      return { m };
    },
  }),
];
