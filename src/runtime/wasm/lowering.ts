// Question: how does an operation become kernel calls?
//
// A lowering rule per operation turns a node into calls. The kernel's arguments are, in order, the
// node's inputs, its outputs, temporary buffers and scalar words. Most rules come from two makers:
// `rowwise` (one item per token row) and `elementwise` (any cut of the elements).

import { lastAxis, type Node, rowCount, sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, Operand, Word } from "../plan/calls.ts";
import type { Lowering, LoweringContext } from "../plan/machine.ts";
import { SUM_COLUMNS } from "./constants.ts";
import { ROW_TILE } from "./device.ts";

export type { Lowering, LoweringContext } from "../plan/machine.ts";

export const i32 = (value: number): Word => ({ i32: value });
export const f32 = (value: number): Word => ({ f32: value });

export function read(buffer: Buffer, aligned: boolean): Operand {
  return { buffer, access: "read", aligned };
}

export function write(buffer: Buffer, aligned: boolean): Operand {
  return { buffer, access: "write", aligned };
}

/** Up to so many rows (tokens), packing a matrix for a product costs more than it saves. */
export const FEW_ROWS = 16;
/** Panels packed by one task. */
export const PACK_GRAIN = 4;

/**
 * A matrix packed for the GEMM's kernels, `inner` by `columns`.
 *
 * @param stride elements between the rows of the matrix as it lies
 * @param transposed it lies as `columns` by `inner`
 */
export function packed(
  context: LoweringContext,
  matrix: Tensor,
  layout: { inner: number; columns: number; stride: number; transposed: boolean },
): Buffer {
  const { inner, columns, stride, transposed } = layout;
  const panels = Math.ceil(columns / context.panelWidth);
  const panelsOf = context.temporary("packed", 4 * panels * context.panelWidth * inner);
  context.emit({
    kernel: "packB",
    domain: panels,
    grain: PACK_GRAIN,
    flops: 0,
    operands: [read(context.buffer(matrix), false), write(panelsOf, false)],
    words: [i32(inner), i32(columns), i32(stride), i32(transposed ? 1 : 0)],
  });
  return panelsOf;
}

/** Add `count` partial sums of `size` floats in their order. */
export function sumPartials(context: LoweringContext, partials: Buffer, out: Tensor, count: number): void {
  const size = sizeOf(out.shape);
  context.emit({
    kernel: "sumPartials",
    domain: Math.ceil(size / SUM_COLUMNS),
    grain: 1,
    operands: [read(partials, false), write(context.buffer(out), false)],
    words: [i32(count), i32(size)],
  });
}

export interface RowwiseOptions<A> {
  /** Which inputs have one row per item; default: those with as many rows as the first input. */
  readonly aligned?: readonly boolean[];
  /** Number of rows; default: rows of the first input (all axes but the last). */
  readonly rows?: (node: Node<A>) => number;
  /** Scalar words after the pointers; default: the size of the last axis of the first input. */
  readonly words?: (node: Node<A>) => readonly Word[];
  /** Pairs [input, output] that may share a buffer. */
  readonly inPlace?: readonly (readonly [number, number])[];
}

/** One call, one item per row, tiles of ROW_TILE rows. */
export function rowwise<A = unknown>(kernel: string, options: RowwiseOptions<A> = {}): Lowering {
  return {
    lower(untyped, context) {
      const node = untyped as Node<A>;
      const domain = options.rows?.(node) ?? rowCount(node.inputs[0]!.shape);
      const aligned = (tensor: Tensor, index: number): boolean =>
        options.aligned?.[index] ?? rowCount(tensor.shape) === domain;
      context.emit({
        kernel,
        domain,
        grain: ROW_TILE,
        operands: [
          ...node.inputs.map((tensor, index) => read(context.buffer(tensor), aligned(tensor, index))),
          ...node.outputs.map((tensor) => write(context.buffer(tensor), true)),
        ],
        words: options.words?.(node) ?? [i32(lastAxis(node.inputs[0]!.shape))],
        inPlace: (options.inPlace ?? []).map(([from, to]) => [from, node.inputs.length + to]),
      });
    },
  };
}

/**
 * One call over all elements, cut wherever it suits. The kernel's words are: elements an item, all
 * elements, then those of `words`. Inputs listed in `whole` (such as a scalar) are not cut.
 */
export function elementwise<A = unknown>(
  kernel: string,
  options: {
    words?: (node: Node<A>) => readonly Word[];
    whole?: readonly number[];
    inPlace?: readonly (readonly [number, number])[];
  } = {},
): Lowering {
  return {
    lower(untyped, context) {
      const node = untyped as Node<A>;
      const output = context.buffer(node.outputs[0]!);
      context.emit({
        kernel,
        domain: undefined,
        grain: 1,
        operands: [
          ...node.inputs.map((tensor, index) => read(context.buffer(tensor), !options.whole?.includes(index))),
          ...node.outputs.map((tensor) => write(context.buffer(tensor), true)),
        ],
        words: [{ itemOf: output }, i32(sizeOf(node.outputs[0]!.shape)), ...(options.words?.(node) ?? [])],
        inPlace: (options.inPlace ?? []).map(([from, to]) => [from, node.inputs.length + to]),
      });
    },
  };
}

/** No call: the output is the input's memory under another shape. */
export const view: Lowering = {
  lower: (node, context) => context.alias(node.outputs[0]!, node.inputs[0]!),
};
