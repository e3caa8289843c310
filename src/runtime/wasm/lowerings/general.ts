// Question: which calls do sums, repeats, views, lookups and losses become?

import { type Node, lastAxis, rowCount, type Shape, sizeOf } from "../../../graph/tensor.ts";
import { permutedStrides } from "../../../ops/permute.ts";
import type { PlaceAttributes, SliceAttributes } from "../../../ops/slice.ts";
import type { Operand, Word } from "../../plan/calls.ts";
import { SCATTER_COLUMNS } from "../constants.ts";
import { ROW_TILE } from "../device.ts";
import {
  elementwise,
  i32,
  type Lowering,
  type LoweringContext,
  read,
  rowwise,
  sumPartials,
  view,
  write,
} from "../lowering.ts";

/** Elements of a block of a sum over everything. */
const SUM_BLOCK = 4096;

/** A call that leaves `count` partials of `size` floats, and the call that adds them in order. */
function emitReduction(
  node: Node,
  context: LoweringContext,
  size: number,
  count: number,
  first: { kernel: string; domain: number; grain: number; aligned: boolean; words: readonly Word[] },
): void {
  const partials = context.temporary("partials", 4 * size * count);
  const { aligned, ...call } = first;
  context.emit({ ...call, operands: [read(context.buffer(node.inputs[0]!), aligned), write(partials, false)] });
  sumPartials(context, partials, node.outputs[0]!, count);
}

const sum: Lowering = {
  lower(node, context) {
    const all = sizeOf(node.inputs[0]!.shape);
    const blocks = Math.ceil(all / SUM_BLOCK);
    emitReduction(node, context, 1, blocks, {
      kernel: "sumBlocks",
      domain: blocks,
      grain: 1,
      aligned: false,
      words: [i32(SUM_BLOCK), i32(all)],
    });
  },
};

const sumLeading: Lowering = {
  lower(node, context) {
    const size = sizeOf(node.outputs[0]!.shape);
    const rows = sizeOf(node.inputs[0]!.shape) / size;
    emitReduction(node, context, size, Math.ceil(rows / ROW_TILE), {
      kernel: "sumRows",
      domain: rows,
      grain: ROW_TILE,
      aligned: true,
      words: [i32(size), i32(ROW_TILE)],
    });
  },
};

/** How one axis lies in memory: rows of `period` floats, of which a part of the axis takes a chunk. */
function alongAxis(shape: Shape, axis: number): { inner: number; period: number } {
  const inner = sizeOf(shape.slice(axis + 1));
  return { inner, period: shape[axis]! * inner };
}

/**
 * A copying kernel with words [item, all, ...]. Along the last axis it is row-wise, so it chains; along
 * others it is cut anywhere.
 */
function emitCopy(
  node: Node,
  context: LoweringContext,
  axis: number,
  kernel: string,
  operands: (read: (index: number) => Operand, write: Operand) => (Operand | undefined)[],
  words: readonly Word[],
): void {
  const out = context.buffer(node.outputs[0]!);
  const { shape } = node.outputs[0]!;
  const rowWise = axis === shape.length - 1;
  context.emit({
    kernel,
    domain: rowWise ? rowCount(shape) : undefined,
    grain: rowWise ? ROW_TILE : 1,
    operands: operands((index) => read(context.buffer(node.inputs[index]!), rowWise), write(out, true)),
    words: [{ itemOf: out }, i32(sizeOf(shape)), ...words],
  });
}

const slice: Lowering = {
  lower(node, context) {
    const { axis, start, size } = node.attributes as SliceAttributes;
    const { inner, period } = alongAxis(node.inputs[0]!.shape, axis);
    emitCopy(node, context, axis, "slice", (from, to) => [from(0), to], [
      i32(period),
      i32(start * inner),
      i32(size * inner),
    ]);
  },
};

const place: Lowering = {
  lower(node, context) {
    const { axis, start } = node.attributes as PlaceAttributes;
    const { inner, period } = alongAxis(node.outputs[0]!.shape, axis);
    const chunk = node.inputs[0]!.shape[axis]! * inner;
    emitCopy(node, context, axis, "place", (from, to) => [from(0), to], [i32(period), i32(start * inner), i32(chunk)]);
  },
};

const concat: Lowering = {
  lower(node, context) {
    const { axis } = node.attributes as { axis: number };
    const { inner, period } = alongAxis(node.outputs[0]!.shape, axis);
    const chunks = node.inputs.map(({ shape }) => i32(shape[axis]! * inner));
    // The null pointer ends the list of tensors.
    emitCopy(
      node,
      context,
      axis,
      "concat",
      (from, to) => [to, ...node.inputs.map((_, index) => from(index)), undefined],
      [i32(period), ...chunks],
    );
  },
};

/** One call for any number of sources; the null pointer ends their list. */
const weightedSum: Lowering = {
  lower(node, context) {
    const [weights, ...sources] = node.inputs.map((tensor) => read(context.buffer(tensor), true));
    const [rows, k] = node.inputs[0]!.shape as [number, number];
    context.emit({
      kernel: "weightedSum",
      domain: rows,
      grain: ROW_TILE,
      operands: [weights, write(context.buffer(node.outputs[0]!), true), ...sources, undefined],
      words: [i32(k), i32(sizeOf(node.outputs[0]!.shape) / rows)],
    });
  },
};

const weightedSumBackward: Lowering = {
  lower(node, context) {
    const [weights, g, ...sources] = node.inputs.map((tensor) => read(context.buffer(tensor), true));
    const [dWeights, ...dSources] = node.outputs.map((tensor) => write(context.buffer(tensor), true));
    const [rows, k] = node.inputs[0]!.shape as [number, number];
    context.emit({
      kernel: "weightedSumBackward",
      domain: rows,
      grain: ROW_TILE,
      operands: [weights, g, dWeights, ...sources.flatMap((source, i) => [source, dSources[i]]), undefined],
      words: [i32(k), i32(sizeOf(node.inputs[1]!.shape) / rows)],
    });
  },
};

const scatterAdd: Lowering = {
  accumulates: true,
  lower(node, context, addend) {
    const [indices, g] = node.inputs as [Node["inputs"][number], Node["inputs"][number]];
    const [rows, size] = node.outputs[0]!.shape as [number, number];
    context.emit({
      kernel: "scatterAdd",
      domain: Math.ceil(size / SCATTER_COLUMNS),
      grain: 1,
      operands: [
        read(context.buffer(indices), false),
        read(context.buffer(g), false),
        // Aligned, in columns: a task reads what it writes, so the sum may be made in place.
        addend && read(context.buffer(addend), true),
        write(context.buffer(node.outputs[0]!), true),
      ],
      words: [i32(sizeOf(indices.shape)), i32(size), i32(rows)],
      inPlace: [[2, 3]],
    });
  },
};

export const generalLowerings: Record<string, Lowering> = {
  sum,
  sumLeading,
  sumLast: rowwise("sumLast"),
  broadcast: elementwise("broadcast", { whole: [0], words: ({ inputs: [x] }) => [i32(sizeOf(x!.shape))] }),
  broadcastLast: rowwise<{ size: number }>("broadcastLast", {
    rows: ({ inputs: [x] }) => sizeOf(x!.shape),
    aligned: [true],
    words: ({ attributes: { size } }) => [i32(size)],
  }),
  reshape: view,
  permute: rowwise<{ axes: readonly number[] }>("permute", {
    rows: ({ outputs: [y] }) => rowCount(y!.shape),
    aligned: [false],
    words: ({ inputs: [x], outputs: [y], attributes: { axes } }) =>
      [y!.shape.length, ...y!.shape, ...permutedStrides(x!.shape, axes)].map(i32),
  }),
  slice,
  place,
  concat,
  weightedSum,
  weightedSumBackward,
  gather: rowwise("gather", {
    rows: ({ inputs: [, indices] }) => sizeOf(indices!.shape),
    aligned: [false, true],
    words: ({ inputs: [table] }) => [i32(rowCount(table!.shape)), i32(lastAxis(table!.shape))],
  }),
  scatterAdd,
  softmax: rowwise("softmax", { inPlace: [[0, 0]] }),
  softmaxBackward: rowwise("softmaxBackward", {
    inPlace: [
      [1, 0],
      [0, 0],
    ],
  }),
  crossEntropy: rowwise("crossEntropy", { aligned: [true, true] }),
  crossEntropyBackward: rowwise("crossEntropyBackward", {
    aligned: [true, true, true, true, true],
    inPlace: [[0, 0]],
    words: ({ inputs: [logits] }) => [i32(lastAxis(logits!.shape))],
  }),
};
