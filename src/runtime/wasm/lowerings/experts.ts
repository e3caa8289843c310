// Question: which calls do the operations of a mixture of experts become?

import { flopsOf, lastAxis, type Node, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import type { ExpertChoiceAttributes } from "../../../ops/expert-choice.ts";
import { expertRowsOperation } from "../../../ops/expert-rows.ts";
import { expertSumBackwardOperation } from "../../../ops/expert-sum.ts";
import type { ExpertMatmulAttributes } from "../../../ops/expert-matmul.ts";
import type { SequenceBalanceAttributes } from "../../../ops/sequence-balance.ts";
import type { Operand, Word } from "../../plan/calls.ts";
import { ROW_TILE } from "../device.ts";
import { outerGrid } from "../gemm-grid.ts";
import { f32, i32, type Lowering, type LoweringContext, PACK_GRAIN, read, rowwise, write } from "../lowering.ts";

/** A call of one task that writes all outputs. */
function alone(words: (node: Node) => readonly Word[]): Lowering {
  return {
    lower(node, context) {
      context.emit({
        kernel: node.op.name,
        domain: 1,
        grain: 1,
        operands: [
          ...node.inputs.map((tensor) => read(context.buffer(tensor), false)),
          ...node.outputs.map((tensor) => write(context.buffer(tensor), false)),
        ],
        words: words(node),
      });
    },
  };
}

const expertChoice: Lowering = rowwise<ExpertChoiceAttributes>("expertChoice", {
  aligned: [true, false],
  words: ({ inputs: [scores], attributes: { active, scale } }) => [
    i32(lastAxis(scores!.shape)),
    i32(active),
    f32(scale),
  ],
});

/** Rows of pairs: the operands in the kernel's order, then k and C. */
function pairRows(
  kernel: string,
  rows: (node: Node) => number,
  operands: (node: Node, context: LoweringContext) => (Operand | undefined)[],
  sizes: (node: Node) => readonly [pairs: number, active: number, channels: number],
  inPlace: readonly (readonly [number, number])[] = [],
): Lowering {
  return {
    lower(node, context) {
      context.emit({
        kernel,
        domain: rows(node),
        grain: ROW_TILE,
        operands: operands(node, context),
        words: sizes(node).map(i32),
        inPlace,
      });
    },
  };
}

const expertRows = pairRows(
  "expertRows",
  ({ outputs: [y] }) => rowCount(y!.shape),
  ({ inputs: [x, order], outputs: [y] }, { buffer }) => [
    read(buffer(x!), false),
    read(buffer(order!), true),
    write(buffer(y!), true),
  ],
  ({ inputs: [x, , position] }) => [sizeOf(position!.shape), lastAxis(position!.shape), lastAxis(x!.shape)],
);

/** tokenSum has no weights. */
const expertSum = pairRows(
  "expertSum",
  ({ outputs: [y] }) => rowCount(y!.shape),
  ({ inputs: [x, , position, weights], outputs: [y] }, { buffer }) => [
    read(buffer(x!), false),
    read(buffer(position!), true),
    weights && read(buffer(weights), true),
    write(buffer(y!), true),
  ],
  ({ inputs: [x, , position] }) => [sizeOf(position!.shape), lastAxis(position!.shape), lastAxis(x!.shape)],
);

const expertSumBackward = pairRows(
  "expertSumBackward",
  ({ inputs: [x] }) => rowCount(x!.shape),
  ({ inputs: [x, order, weights, g], outputs: [dx, dWeights] }, { buffer }) => [
    read(buffer(x!), true),
    read(buffer(order!), true),
    read(buffer(weights!), false),
    read(buffer(g!), false),
    write(buffer(dx!), true),
    write(buffer(dWeights!), false),
  ],
  ({ inputs: [x, , weights] }) => [sizeOf(weights!.shape), lastAxis(weights!.shape), lastAxis(x!.shape)],
  [[0, 4]],
);

/** All experts' matrices are packed, then every tile of rows finds its own. */
const expertMatmul: Lowering = {
  lower(untyped, context) {
    const node = untyped as Node<ExpertMatmulAttributes>;
    const [x, weights, offsets] = node.inputs as [Tensor, Tensor, Tensor];
    const [y] = node.outputs as [Tensor];
    const [experts, inner, columns] = [weights.shape[0]!, lastAxis(x.shape), lastAxis(y.shape)];
    const panels = experts * Math.ceil(columns / context.panelWidth);
    const packed = context.temporary("packed", 4 * panels * context.panelWidth * inner);
    context.emit({
      kernel: "packExperts",
      domain: panels,
      grain: PACK_GRAIN,
      flops: 0,
      operands: [read(context.buffer(weights), false), write(packed, false)],
      words: [inner, columns, node.attributes.transposed ? 1 : 0].map(i32),
    });
    context.emit({
      kernel: "gemmExperts",
      domain: rowCount(x.shape),
      grain: ROW_TILE,
      flops: flopsOf(node),
      operands: [
        read(context.buffer(x), true),
        read(packed, false),
        read(context.buffer(offsets), false),
        write(context.buffer(y), true),
      ],
      words: [inner, columns, experts].map(i32),
    });
  },
};

/** Rows that were gathered by a dispatch, as what they were gathered from: they need not be kept. */
interface Gathered {
  readonly matrix: Tensor;
  readonly order?: Tensor;
  readonly weights?: Tensor;
  readonly active: number;
}

/** A tensor as the rows of tokens it is made of: those of `expertRows`, or `expertSumBackward`'s dx with their weights. */
function gathered(tensor: Tensor): Gathered {
  const { op, inputs } = tensor.node;
  if (op.name === expertRowsOperation.name) {
    const [matrix, order, position] = inputs as [Tensor, Tensor, Tensor];
    return { matrix, order, active: lastAxis(position.shape) };
  }
  if (op.name === expertSumBackwardOperation.name && tensor.index === 0) {
    const [, order, weights, matrix] = inputs as [Tensor, Tensor, Tensor, Tensor];
    return { matrix, order, weights, active: lastAxis(weights.shape) };
  }
  return { matrix: tensor, active: 1 };
}

const expertOuter: Lowering = {
  accumulates: true,
  lower(node, context, addend) {
    const [a, b, offsets] = node.inputs as [Tensor, Tensor, Tensor];
    const sources = [gathered(a), gathered(b)];
    const whole = (tensor: Tensor | undefined): Operand | undefined => tensor && read(context.buffer(tensor), false);
    const [weights] = node.outputs as [Tensor];
    const [experts, rows, columns] = weights.shape as [number, number, number];
    const { down, across } = outerGrid(rows, columns, context.threads, experts);
    // A task reads of the addend only the tile it writes: in this sense both are aligned, and may be one.
    context.emit({
      kernel: "outerExperts",
      domain: experts * down * across,
      grain: 1,
      operands: [
        ...sources.flatMap(({ matrix, order, weights }) => [matrix, order, weights].map(whole)),
        whole(offsets),
        addend && read(context.buffer(addend), true),
        write(context.buffer(weights), true),
      ],
      words: [rows, columns, down, across, ...sources.map(({ active }) => active)].map(i32),
      inPlace: [[7, 8]],
    });
  },
};

/** A task per sequence. */
function bySequence(kernel: string): Lowering {
  return {
    lower(untyped, context) {
      const node = untyped as Node<SequenceBalanceAttributes>;
      const [scores, chosen] = node.inputs as [Tensor, Tensor];
      const { length } = node.attributes;
      context.emit({
        kernel,
        domain: rowCount(scores.shape) / length,
        grain: 1,
        operands: [
          ...node.inputs.map((tensor) => read(context.buffer(tensor), true)),
          write(context.buffer(node.outputs[0]!), true),
        ],
        words: [length, lastAxis(scores.shape), lastAxis(chosen.shape)].map(i32),
      });
    },
  };
}

export const expertLowerings: Readonly<Record<string, Lowering>> = {
  expertChoice,
  expertChoiceBackward: rowwise<ExpertChoiceAttributes>("expertChoiceBackward", {
    words: ({ inputs: [scores], attributes: { active, scale } }) => [
      i32(lastAxis(scores!.shape)),
      i32(active),
      f32(scale),
    ],
  }),
  dispatch: alone(({ inputs: [chosen], outputs: [, , offsets] }) => [
    i32(sizeOf(chosen!.shape)),
    i32(offsets!.shape[0]! - 1),
  ]),
  expertRows,
  tokenSum: expertSum,
  expertSum,
  expertSumBackward,
  expertMatmul,
  expertOuter,
  balanceBias: alone((node) => [
    i32(sizeOf(node.outputs[0]!.shape)),
    f32((node as Node<{ rate: number }>).attributes.rate),
  ]),
  sequenceBalance: bySequence("sequenceBalance"),
  sequenceBalanceBackward: bySequence("sequenceBalanceBackward"),
};
