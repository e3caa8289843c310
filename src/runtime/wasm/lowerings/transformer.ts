// Question: which kernels compute the transformer's operations?

import { flopsOf, lastAxis, type Node, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import type { AttentionAttributes } from "../../../ops/attention.ts";
import type { LatentHeadsAttributes } from "../../../ops/latent-heads.ts";
import type { CachedAttentionAttributes } from "../../../ops/cached-attention.ts";
import { batchedMatmulExtents } from "../../../ops/batched-matmul.ts";
import { type MatmulAttributes, matmulExtents } from "../../../ops/matmul.ts";
import { reshapeOperation } from "../../../ops/reshape.ts";
import type { RmsNormAttributes } from "../../../ops/rms-norm.ts";
import type { RotaryAttributes } from "../../../ops/rotary.ts";
import type { RotaryTableAttributes } from "../../../ops/rotary-table.ts";
import { streamWidenOperation } from "../../../ops/stream-precision.ts";
import type { Operand, Word } from "../../plan/calls.ts";
import { ROW_TILE } from "../device.ts";
import { outerGrid } from "../gemm-grid.ts";
import {
  f32,
  FEW_ROWS,
  i32,
  type Lowering,
  type LoweringContext,
  packed,
  read,
  rowwise,
  sumPartials,
  write,
} from "../lowering.ts";

/** Batched products are cut until there are this many tasks, and gathered until a task has this much work. */
const BATCHED_TASKS = 16;
const BATCHED_FLOPS = 1 << 18;
/** Scores and a result that fit into a thread's scratch. */
const CACHED_FLOATS = 260_000;

/** Columns of a task of a product of few rows: whole lines of a cache, and no more than scratch holds sums for. */
const FEW_COLUMNS = { unit: 16, most: 4096 };

const matmul: Lowering = {
  accumulates: true,
  lower(untyped, context, addend) {
    const node = untyped as Node<MatmulAttributes>;
    const { transposeA, transposeB } = node.attributes;
    const few = !transposeB && rowCount(node.inputs[0]!.shape) <= FEW_ROWS;
    const rule = transposeA ? (transposeB ? matmulCrossed : matmulOuter) : few ? matmulFew : matmulRows;
    rule(node, context, addend);
  },
};

/** A · op(B), row by row of A: B is packed first. */
function matmulRows(node: Node<MatmulAttributes>, context: LoweringContext, addend: Tensor | undefined): void {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const { transposeB } = node.attributes;
  const { rows, inner, columns } = matmulExtents(a.shape, b.shape, node.attributes);
  const panels = packed(context, b, { inner, columns, stride: lastAxis(b.shape), transposed: transposeB });
  context.emit({
    kernel: "gemmRows",
    domain: rows,
    grain: ROW_TILE,
    flops: flopsOf(node),
    operands: [
      read(context.buffer(a), true),
      read(panels, false),
      addend && read(context.buffer(addend), true),
      write(context.buffer(node.outputs[0]!), true),
    ],
    words: [i32(inner), i32(columns), i32(inner), i32(columns)],
    inPlace: [[2, 3]],
  });
}

/** A · B of few rows: B is read as it lies, each thread its own columns. */
function matmulFew(node: Node<MatmulAttributes>, context: LoweringContext, addend: Tensor | undefined): void {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const { rows, inner, columns } = matmulExtents(a.shape, b.shape, node.attributes);
  const { unit, most } = FEW_COLUMNS;
  const block = Math.min(most, unit * Math.ceil(columns / unit / context.threads));
  // As in matmulOuter: a task reads of the addend only what it writes.
  context.emit({
    kernel: "gemv",
    domain: Math.ceil(columns / block),
    grain: 1,
    operands: [
      read(context.buffer(a), false),
      read(context.buffer(b), false),
      addend && read(context.buffer(addend), true),
      write(context.buffer(node.outputs[0]!), true),
    ],
    words: [rows, inner, columns, block].map(i32),
    inPlace: [[2, 3]],
  });
}

/** Aᵀ · B, tile by tile of the result. */
function matmulOuter(node: Node<MatmulAttributes>, context: LoweringContext, addend: Tensor | undefined): void {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const narrow = narrowSource(b);
  const { rows, inner, columns } = matmulExtents(a.shape, b.shape, node.attributes);
  const { down, across } = outerGrid(rows, columns, context.threads);
  // A task reads of the addend only the tile it writes: in this sense both are aligned, and may be one.
  context.emit({
    kernel: "gemmOuter",
    domain: down * across,
    grain: 1,
    operands: [
      read(context.buffer(a), false),
      read(context.buffer(narrow ?? b), false),
      addend && read(context.buffer(addend), true),
      write(context.buffer(node.outputs[0]!), true),
    ],
    words: [inner, rows, columns, rows, columns, columns, down, across, narrow ? 1 : 0].map(i32),
    inPlace: [[2, 3]],
  });
}

/** The bfloat16 streams that a tensor is a view of; the kernel widens them as it packs. */
function narrowSource({ node }: Tensor): Tensor | undefined {
  if (node.op.name === streamWidenOperation.name) return node.inputs[0];
  return node.op.name === reshapeOperation.name ? narrowSource(node.inputs[0]!) : undefined;
}

/** Aᵀ · Bᵀ, which no layer needs: one product of a batch, and an addition of its own. */
function matmulCrossed(node: Node<MatmulAttributes>, context: LoweringContext, addend: Tensor | undefined): void {
  const out = context.buffer(node.outputs[0]!);
  const product = addend ? context.temporary("product", out.bytes) : out;
  const [a, b] = node.inputs as [Tensor, Tensor];
  emitBatched(node, context, { batch: 1, ...matmulExtents(a.shape, b.shape, node.attributes) }, write(product, false));
  if (!addend) return;
  context.emit({
    kernel: "add",
    domain: undefined,
    grain: 1,
    operands: [read(product, true), read(context.buffer(addend), true), write(out, true)],
    words: [{ itemOf: out }, i32(sizeOf(addend.shape))],
    inPlace: [
      [0, 2],
      [1, 2],
    ],
  });
}

const batchedMatmul: Lowering = {
  lower(untyped, context) {
    const node = untyped as Node<MatmulAttributes>;
    const [a, b] = node.inputs as [Tensor, Tensor];
    emitBatched(
      node,
      context,
      batchedMatmulExtents(a.shape, b.shape, node.attributes),
      write(context.buffer(node.outputs[0]!), false),
    );
  },
};

function emitBatched(
  node: Node<MatmulAttributes>,
  context: LoweringContext,
  { batch, rows, inner, columns }: ReturnType<typeof batchedMatmulExtents>,
  out: Operand,
): void {
  const { transposeA, transposeB } = node.attributes;
  const pieces = Math.max(1, Math.floor(BATCHED_TASKS / batch));
  const rowsPerTask = Math.ceil(rows / pieces / ROW_TILE) * ROW_TILE;
  const strides = [rows * inner, inner * columns, rows * columns];
  context.emit({
    kernel: "gemmBatched",
    domain: batch * Math.ceil(rows / rowsPerTask),
    grain: Math.ceil(BATCHED_FLOPS / (2 * Math.min(rows, rowsPerTask) * inner * columns)),
    operands: [...node.inputs.map((tensor) => read(context.buffer(tensor), false)), out],
    words: [...strides, rows, columns, inner, transposeA ? 1 : 0, transposeB ? 1 : 0, rowsPerTask].map(i32),
  });
}

/** The gradient of a residual branch is added on the way. */
const rmsNormBackward: Lowering = {
  accumulates: true,
  lower(untyped, context, addend) {
    const node = untyped as Node<RmsNormAttributes>;
    const [x, w, g] = node.inputs as [Tensor, Tensor, Tensor];
    const [dx, dw] = node.outputs as [Tensor, Tensor];
    const rows = rowCount(x.shape);
    const channels = lastAxis(x.shape);
    const tiles = Math.ceil(rows / ROW_TILE);
    const partials = context.temporary("partials", 4 * tiles * channels);
    context.emit({
      kernel: "rmsNormBackward",
      domain: rows,
      grain: ROW_TILE,
      operands: [
        read(context.buffer(x), true),
        read(context.buffer(w), false),
        read(context.buffer(g), true),
        addend && read(context.buffer(addend), true),
        write(context.buffer(dx), true),
        write(partials, false),
      ],
      words: [i32(channels), f32(node.attributes.epsilon), i32(ROW_TILE)],
      inPlace: [
        [3, 4],
        [0, 4],
        [2, 4],
      ],
    });
    sumPartials(context, partials, dw, tiles);
  },
};

/** A task per head (forward) or per key head (backward) of every sequence. */
function attention(kernel: string, tasks: (attributes: AttentionAttributes) => number): Lowering {
  return {
    lower(untyped, context) {
      const node = untyped as Node<AttentionAttributes>;
      const [batch, length, width] = node.inputs[0]!.shape as [number, number, number];
      const { heads, kvHeads, headSize, valueSize, scale } = node.attributes;
      if (Math.max(headSize, valueSize) > 512) {
        throw new RangeError(
          `${kernel}: the CPU runtime's heads have at most 512 columns, got headSize ${headSize} and valueSize ${valueSize}.`,
        );
      }
      context.emit({
        kernel,
        domain: batch * tasks(node.attributes),
        grain: 1,
        operands: [
          ...node.inputs.map((tensor) => read(context.buffer(tensor), false)),
          ...node.outputs.map((tensor) => write(context.buffer(tensor), false)),
        ],
        words: [i32(length), i32(heads), i32(kvHeads), i32(headSize), f32(scale), i32(width), i32(valueSize)],
      });
    },
  };
}

function latentHeads(kernel: string): Lowering {
  return rowwise<LatentHeadsAttributes>(kernel, {
    words: ({ attributes: { heads, rotarySize, contentSize, valueSize } }) =>
      [heads, rotarySize, contentSize, valueSize].map(i32),
  });
}

/** A task per key head of every slot. */
const cachedAttention: Lowering = {
  lower(untyped, context) {
    const node = untyped as Node<CachedAttentionAttributes>;
    const [qkv, keys] = node.inputs as [Tensor, Tensor];
    const [slots, , , length] = keys.shape as [number, number, number, number];
    const { heads, kvHeads, headSize, valueSize, scale } = node.attributes;
    if (length + valueSize > CACHED_FLOATS)
      throw new RangeError(
        `cachedAttention: the CPU runtime's caches have at most ${CACHED_FLOATS} positions and columns of a value together, got ${length} and ${valueSize}.`,
      );
    // Of the caches a task touches only its own part: they are aligned, and may be written in their place.
    context.emit({
      kernel: "cachedAttention",
      domain: slots * kvHeads,
      grain: 1,
      operands: [
        ...node.inputs.map((tensor, index) => read(context.buffer(tensor), index === 1 || index === 2)),
        ...node.outputs.map((tensor, index) => write(context.buffer(tensor), index > 0)),
      ],
      words: [...[slots, qkv.shape[0]!, length, heads, kvHeads, headSize, valueSize].map(i32), f32(scale)],
      inPlace: [
        [1, 6],
        [2, 7],
      ],
    });
  },
};

/** A float64 as two words. */
function f64(value: number): Word[] {
  return [...new Int32Array(new Float64Array([value]).buffer)].map(i32);
}

export const transformerLowerings: Readonly<Record<string, Lowering>> = {
  matmul,
  batchedMatmul,
  rmsNorm: rowwise<RmsNormAttributes>("rmsNorm", {
    aligned: [true, false],
    words: ({ inputs: [x], attributes }) => [i32(lastAxis(x!.shape)), f32(attributes.epsilon)],
    inPlace: [[0, 0]],
  }),
  rmsNormBackward,
  rotaryTable: rowwise<RotaryTableAttributes>("rotaryTable", {
    rows: ({ attributes }) => attributes.length,
    words: ({ attributes: { dimension, theta } }) => [i32(dimension), ...f64(theta ** (-2 / dimension))],
  }),
  rotary: rowwise<RotaryAttributes>("rotary", {
    aligned: [true, false],
    words: ({ inputs: [x, table], attributes: { heads, headSize, inverse } }) =>
      [...table!.shape, lastAxis(x!.shape), heads, headSize, inverse ? 1 : 0].map(i32),
    inPlace: [[0, 0]],
  }),
  attention: attention("attention", ({ heads }) => heads),
  cachedAttention,
  attentionBackward: attention("attentionBackward", ({ kvHeads }) => kvHeads),
  latentHeads: latentHeads("latentHeads"),
  latentHeadsBackward: latentHeads("latentHeadsBackward"),
  swiglu: rowwise("swiglu", { words: ({ outputs: [y] }) => [i32(lastAxis(y!.shape))] }),
  swigluBackward: rowwise("swigluBackward", {
    words: ({ inputs: [, g] }) => [i32(lastAxis(g!.shape))],
    inPlace: [[0, 0]],
  }),
};
