// Question: how does a GPU project the streams to coefficients?
//
// s of each row by a group of threads; then the products, which divide by the norm, or take the part along x away, as
// they store: the rows of x are read twice and nothing of their size is kept.

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import {
  projectionRows,
  streamProjectionBackwardOperation,
  streamProjectionOperation,
} from "../../../ops/stream-projection.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";
import { float } from "../work.ts";
import { emitProduct } from "./matmul.ts";
import { inverseRms } from "./rms-norm.ts";

export const streamProjection: readonly Implementation[] = [
  calls(streamProjectionOperation, ({ x, w, p, s }, attributes, context) => {
    const { rows, length: K } = projectionRows(x, attributes);
    const [streams, scales] = [operand(context, x), operand(context, s)];
    context.emit(
      kernelCall({
        name: "inverseNorms",
        reads: { x: streams },
        writes: { norms: scales },
        functions: groupReduction("fold", (a, b) => `${a} + ${b}`),
        width: WIDTH,
        groups: rows,
        flops: 2 * rows * K,
        body: `
  let row: u32 = group;${inverseRms("x", K, attributes.epsilon)}
  if (lane == 0u) { norms[row] = s; }`,
      }),
    );
    emitProduct(context, {
      a: streams,
      b: operand(context, w),
      c: operand(context, p),
      extents: { batch: 1, rows, inner: K, columns: rowCount(w.shape) },
      transposeA: false,
      transposeB: true,
      finish: { reads: { norms: scales }, value: "norms[row] * value" },
    });
  }),
  calls(streamProjectionBackwardOperation, ({ x, w, p, s, dp, dx, draw }, attributes, context) => {
    const { rows, length: K } = projectionRows(x, attributes);
    const P = lastAxis(p.shape);
    const along = temporary(context, "along", rows);
    const [norms, rawGradient] = [operand(context, s), operand(context, draw)];
    context.emit(
      kernelCall({
        name: "projectionRows",
        reads: { p: operand(context, p), norms, dp: operand(context, dp) },
        writes: { draw: rawGradient, along },
        width: WIDTH,
        groups: Math.ceil(rows / WIDTH),
        flops: 4 * rows * P,
        body: `
  let row: u32 = group * ${u(WIDTH)} + lane;
  if (row < ${u(rows)}) {
    let s: f32 = norms[row];
    var value: f32 = 0.0f;
    for (var m: u32 = row * ${u(P)}; m < (row + 1u) * ${u(P)}; m += 1u) {
      value += dp[m] * p[m];
      draw[m] = s * dp[m];
    }
    along[row] = s * value / ${float(K)};
  }`,
      }),
    );
    emitProduct(context, {
      a: rawGradient,
      b: operand(context, w),
      c: operand(context, dx),
      extents: { batch: 1, rows, inner: P, columns: K },
      transposeA: false,
      transposeB: false,
      // s² of a long row may be below what float32 holds; s x is not.
      finish: {
        reads: { along, norms, x: operand(context, x) },
        value: "value - along[row] * (norms[row] * x[at])",
      },
    });
  }),
];
