// Question: what is the cross-entropy of a head's logits x W, where so many logits would fill memory?
//
//   z = x W,  lse = log Σ_v e^(z_v),  loss = lse − z_target
//   dz_v = g (softmax(z)_v − [v = target]),  dx = dz Wᵀ,  dW = xᵀ dz
//
// A batch of 8192 tokens and a vocabulary of 50,257 words have 1.6 GB of logits, and their gradient as much again. So rows
// are taken in chunks: the logits of a chunk are made, give their losses, dx and a part of dW, and are forgotten. The
// chunks add to dW in the order of their rows, which is the order of the sum in one product: on the CPU the bits are those
// of the whole.
//
// The backward operation computes the losses on its way. Where a program has both, it therefore takes the losses from the
// backward operation (`includes`), and no product is done twice.
// Shapes: x [..., C], w [C, V], targets i32 [...], loss and g [...].

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { showValue } from "../basics/show.ts";
import {
  apply,
  lastAxis,
  type Operation,
  rowCount,
  sameShape,
  type Shape,
  sizeOf,
  type Tensor,
  Values,
  expectTensor,
} from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { crossEntropy, crossEntropyBackwardOperation, crossEntropyOperation } from "./cross-entropy.ts";
import { addScaled, dot } from "./dot.ts";
import { add } from "./elementwise.ts";
import { expectIndex } from "./indices.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";
import { logSumExp } from "./softmax.ts";

/** How a head's cross-entropy is cut into chunks. */
export interface HeadCrossEntropyAttributes {
  /** Rows of a chunk; the last one may have fewer. */
  readonly rows: number;
}

export const headCrossEntropyOperation: Operation<["x", "w", "targets"], ["loss"], HeadCrossEntropyAttributes> = {
  name: "headCrossEntropy",
  inputs: ["x", "w", "targets"],
  outputs: ["loss"],
  infer({ x, w, targets }, { rows }) {
    if (!Number.isInteger(rows) || rows < 1)
      throw new RangeError(`headCrossEntropy: rows is ${showValue(rows)}; it must be a whole number of at least 1.`);
    expectShapes(
      w.shape.length === 2 && x.shape.length >= 2 && w.shape[0] === lastAxis(x.shape),
      "headCrossEntropy",
      { x, w },
      "w must be [C, V] for x [..., C].",
    );
    expectShapes(
      targets.dtype === "i32" && sameShape(x.shape.slice(0, -1), targets.shape),
      "headCrossEntropy",
      { x, targets },
      `there must be one i32 target for each row of x, not ${targets.dtype}.`,
    );
    return { loss: { shape: targets.shape, dtype: "f32" } };
  },
  gradient({ x, w, targets }, { loss: g }, attributes) {
    const { dx, dw } = apply(headCrossEntropyBackwardOperation, { x, w, targets, g }, attributes);
    return { x: dx, w: dw };
  },
  flops: ({ x, w }) => productFlops(x.shape, w.shape) + logitFlops(x.shape, w.shape),
  reference({ x, w, targets }, { loss }) {
    targets.data.forEach((target, row) => {
      expectIndex("headCrossEntropy", target, row, lastAxis(w.shape));
      const logits = logitsOf(x, w, row);
      const { largest, log } = logSumExp(logits);
      loss.set(row, largest - logits[target]! + log);
    });
  },
  compose({ x, w, targets }, { rows }) {
    const losses = chunks(x, targets, rows).map((chunk) => crossEntropy(matmul(chunk.x, w), chunk.targets));
    return { loss: reshape(concat(losses, 0), targets.shape) };
  },
};

export const headCrossEntropyBackwardOperation: Operation<
  ["x", "w", "targets", "g"],
  ["loss", "dx", "dw"],
  HeadCrossEntropyAttributes
> = {
  name: "headCrossEntropyBackward",
  inputs: ["x", "w", "targets", "g"],
  outputs: ["loss", "dx", "dw"],
  includes: headCrossEntropyOperation,
  infer: ({ x, w, targets }) => ({
    loss: { shape: targets.shape, dtype: "f32" },
    dx: { shape: x.shape, dtype: "f32" },
    dw: { shape: w.shape, dtype: "f32" },
  }),
  flops: ({ x, w }) => 3 * productFlops(x.shape, w.shape) + 2 * logitFlops(x.shape, w.shape),
  reference({ x, w, targets, g }, { loss, dx, dw }) {
    const [C, V] = w.shape as [number, number];
    targets.data.forEach((target, row) => {
      expectIndex("headCrossEntropyBackward", target, row, V);
      const logits = logitsOf(x, w, row);
      const { largest, log } = logSumExp(logits);
      loss.set(row, largest - logits[target]! + log);
      const dz = new Values(
        [V],
        logits.map((z, v) => g.at(row) * (Math.exp(z - largest - log) - (v === target ? 1 : 0))),
      );
      for (let c = 0; c < C; c++) {
        dx.set(row, c, dot(dz, 0, w, c * V, V));
        addScaled(dw, c * V, x.at(row, c), dz, 0, V);
      }
    });
  },
  compose({ x, w, targets, g }, { rows }) {
    const gradients = reshape(g, [sizeOf(g.shape)]);
    const losses: Tensor[] = [];
    const dxs: Tensor[] = [];
    let dw: Tensor | undefined;
    for (const chunk of chunks(x, targets, rows)) {
      const logits = matmul(chunk.x, w);
      const { loss, lse } = apply(crossEntropyOperation, { logits, targets: chunk.targets });
      const part = slice(gradients, 0, chunk.start, sizeOf(chunk.targets.shape));
      const { dlogits } = apply(crossEntropyBackwardOperation, {
        logits,
        targets: chunk.targets,
        lse,
        g: part,
        s: part,
      });
      losses.push(loss);
      dxs.push(matmul(dlogits, w, { transposeB: true }));
      const own = matmul(chunk.x, dlogits, { transposeA: true });
      dw = dw ? add(dw, own) : own;
    }
    return {
      loss: reshape(concat(losses, 0), targets.shape),
      dx: reshape(concat(dxs, 0), x.shape),
      dw: dw!,
    };
  },
};

/** For composed forms: so many rows of x and targets after each other, as [rows, C] and [rows]. */
function chunks(x: Tensor, targets: Tensor, rows: number): { x: Tensor; targets: Tensor; start: number }[] {
  const all = rowCount(x.shape);
  const [x_NC, targets_N] = [reshape(x, [all, lastAxis(x.shape)]), reshape(targets, [all])];
  return Array.from({ length: Math.ceil(all / rows) }, (_, index) => {
    const start = index * rows;
    const size = Math.min(rows, all - start);
    return { x: slice(x_NC, 0, start, size), targets: slice(targets_N, 0, start, size), start };
  });
}

/** For references: the logits of one row. */
function logitsOf(x: Values, w: Values, row: number): Float64Array {
  const [C, V] = w.shape as [number, number];
  return new Float64Array(V).map((_, v) => dot(x, row * C, w, v, C, 1, V));
}

const productFlops = (x: Shape, w: Shape): number => 2 * rowCount(x) * sizeOf(w);
const logitFlops = (x: Shape, w: Shape): number => 13 * rowCount(x) * lastAxis(w);

/** A chunk has about so many logits at least, 64 MiB: fewer stay in memory as they are. */
const LEAST_LOGITS = 2 ** 24;
/** A chunk has about so many rows at least, which keep a product busy. */
const LEAST_ROWS = 512;
/** A chunk has whole blocks of so many rows. */
const BLOCK = 128;

/**
 * Rows of a chunk. dW is read and written once a chunk, [C, V], and the logits several times, [rows, V], so twice as many
 * rows as C make the former a small part.
 */
export function headRows(all: number, C: number, V: number): number {
  const count = Math.max(1, Math.round(all / Math.max(LEAST_ROWS, 2 * C, LEAST_LOGITS / V)));
  return count === 1 ? all : BLOCK * Math.ceil(all / count / BLOCK);
}

const optionRules: FieldRules<Partial<HeadCrossEntropyAttributes>> = { rows: "number" };

/**
 * Cross-entropy of the logits x · w of each row, in nats, without storing the logits of all rows: they are computed in
 * chunks of rows, and forgotten. Where one chunk will do, it is crossEntropy(matmul(x, w), targets).
 *
 * @param x [..., C]
 * @param w [C, V]
 * @param targets i32 [...], each in [0, V); the error for another one says where it is within its chunk
 * @param options rows: of a chunk; by default about 512, 2C, or what has 64 MiB of logits, whichever is most
 * @returns the loss of each row [...]
 * @throws ShapeError unless w fits x, and there is one i32 target for each row; RangeError unless rows is a whole number
 */
export function headCrossEntropy(
  x: Tensor,
  w: Tensor,
  targets: Tensor,
  options: Partial<HeadCrossEntropyAttributes> = {},
): Tensor {
  expectFields("headCrossEntropy", options, optionRules);
  expectTensor("headCrossEntropy", "x", x);
  expectTensor("headCrossEntropy", "w", w);
  expectTensor("headCrossEntropy", "targets", targets);
  const all = rowCount(x.shape);
  const rows = options.rows ?? headRows(all, lastAxis(x.shape), lastAxis(w.shape));
  return options.rows === undefined && all <= rows
    ? crossEntropy(matmul(x, w), targets)
    : apply(headCrossEntropyOperation, { x, w, targets }, { rows }).loss;
}
