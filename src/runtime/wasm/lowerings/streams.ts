// Question: which kernels compute the stream operations?
//
// Their items are tokens, whatever the number of streams, so that all of them chain on a tile of tokens.

import { flopsOf, lastAxis, type Node, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import type { HyperCoefficientsAttributes } from "../../../ops/hyper-coefficients.ts";
import { type ManifoldCoefficientsAttributes, streamsOf } from "../../../ops/manifold-coefficients.ts";
import type { SinkhornAttributes, SinkhornForm } from "../../../ops/sinkhorn.ts";
import { projectionRows, type StreamProjectionAttributes } from "../../../ops/stream-projection.ts";
import { streamSizes } from "../../../ops/streams.ts";
import type { Buffer, Word } from "../../plan/calls.ts";
import { ROW_TILE } from "../device.ts";
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

/** n and C of the streams among a node's tensors. */
function streamWords(x: Tensor): Word[] {
  const { streams, channels } = streamSizes(x);
  return [i32(streams), i32(channels)];
}

const readBackward: Lowering = {
  accumulates: true,
  lower(node, context, addend) {
    const x = node.inputs[0]!;
    context.emit({
      kernel: "streamReadBackward",
      domain: streamSizes(x).tokens,
      grain: ROW_TILE,
      operands: [
        ...node.inputs.map((tensor) => read(context.buffer(tensor), true)),
        ...node.outputs.map((tensor) => write(context.buffer(tensor), true)),
        addend && read(context.buffer(addend), true),
      ],
      words: streamWords(x),
      inPlace: [[5, 3]],
    });
  },
};

function floatsOfToken({ inputs: [x] }: Node): Word[] {
  const { streams, channels } = streamSizes(x!);
  return [i32(streams * channels)];
}

const widen: Lowering = {
  lower(node, context) {
    const [x] = node.inputs as [Tensor];
    context.emit({
      kernel: "streamWiden",
      domain: streamSizes(x).tokens,
      grain: ROW_TILE,
      operands: [read(context.buffer(x), true), write(context.buffer(node.outputs[0]!), true)],
      words: floatsOfToken(node),
      repeated: true,
    });
  },
};

/**
 * In two calls: the block waits for dy; dx and dh are not needed before the block's own gradient has been
 * found, and computed then they meet the rest of the streams' backward pass while x is in the cache.
 */
const writeBackward: Lowering = {
  lower({ inputs, outputs }, context) {
    const [x, h, y, g] = inputs.map((tensor) => read(context.buffer(tensor), true));
    const [dx, dy, dh] = outputs.map((tensor) => write(context.buffer(tensor), true));
    const tokens = { domain: streamSizes(inputs[0]!).tokens, grain: ROW_TILE };
    const words = streamWords(inputs[0]!);
    context.emit({ kernel: "streamWriteGather", ...tokens, operands: [h, g, dy], words });
    context.emit({
      kernel: "streamWriteBackward",
      ...tokens,
      operands: [x, h, y, g, dx, dh],
      words,
      inPlace: [[3, 4]],
      lazy: true,
    });
  },
};

/** w [P, K] in panels: of wᵀ for x wᵀ, of w for draw w. */
function packWeight(w: Tensor, transposed: boolean, context: LoweringContext): Buffer {
  const [outputs, length] = w.shape as [number, number];
  const [inner, columns] = transposed ? [length, outputs] : [outputs, length];
  return packed(context, w, { inner, columns, stride: length, transposed });
}

/** K, P and the rows of a token. */
function projectionWords({ inputs: [x, w], attributes }: Node<StreamProjectionAttributes>): Word[] {
  const { rows, length } = projectionRows(x!, attributes);
  return [i32(length), i32(w!.shape[0]!), i32(rows / streamSizes(x!).tokens)];
}

const projection: Lowering = {
  lower(untyped, context) {
    const node = untyped as Node<StreamProjectionAttributes>;
    const [x, w] = node.inputs as [Tensor, Tensor];
    const { tokens } = streamSizes(x);
    const few = tokens <= FEW_ROWS;
    context.emit({
      kernel: few ? "streamProjectionFew" : "streamProjection",
      domain: tokens,
      grain: ROW_TILE,
      flops: flopsOf(node),
      operands: [
        read(context.buffer(x), true),
        read(few ? context.buffer(w) : packWeight(w, true, context), false),
        ...node.outputs.map((tensor) => write(context.buffer(tensor), true)),
      ],
      words: [...projectionWords(node), f32(node.attributes.epsilon)],
    });
  },
};

const projectionBackward: Lowering = {
  accumulates: true,
  lower(untyped, context, addend) {
    const node = untyped as Node<StreamProjectionAttributes>;
    const [x, w, ...rest] = node.inputs as [Tensor, Tensor, ...Tensor[]];
    const panels = packWeight(w, false, context);
    context.emit({
      kernel: "streamProjectionBackward",
      domain: streamSizes(x).tokens,
      grain: ROW_TILE,
      flops: flopsOf(node),
      operands: [
        read(context.buffer(x), true),
        read(panels, false),
        ...rest.map((tensor) => read(context.buffer(tensor), true)),
        ...node.outputs.map((tensor) => write(context.buffer(tensor), true)),
        addend && read(context.buffer(addend), true),
      ],
      words: projectionWords(node),
      inPlace: [[7, 5]],
    });
  },
};

/** (p, alpha, bias, dh) → (dp, dalpha, dbias): the last two are summed over tiles of tokens. */
function coefficientsBackward<A>(kernel: string, words: (node: Node<A>) => readonly Word[]): Lowering {
  return {
    lower(untyped, context) {
      const node = untyped as Node<A>;
      const [p, alpha, bias, dh] = node.inputs as [Tensor, Tensor, Tensor, Tensor];
      const [dp, ...sums] = node.outputs as [Tensor, Tensor, Tensor];
      const tokens = sizeOf(dh.shape) / lastAxis(dh.shape);
      const tiles = Math.ceil(tokens / ROW_TILE);
      const partials = sums.map((sum) => context.temporary("partials", 4 * tiles * sizeOf(sum.shape)));
      context.emit({
        kernel,
        domain: tokens,
        grain: ROW_TILE,
        operands: [
          read(context.buffer(p), true),
          read(context.buffer(alpha), false),
          read(context.buffer(bias), false),
          read(context.buffer(dh), true),
          write(context.buffer(dp), true),
          ...partials.map((buffer) => write(buffer, false)),
        ],
        words: [...words(node), i32(ROW_TILE)],
      });
      for (const [index, sum] of sums.entries()) sumPartials(context, partials[index]!, sum, tiles);
    },
  };
}

/** Sums that the backward pass of Sinkhorn keeps in its 1 MiB of scratch, eight lanes each, beside its matrices. */
const SINKHORN_SUMS = 24 << 10;

/** Values that a matrix of n × n needs on the way back: its sums, or for n = 4 what two groups keep (kernels/sinkhorn-four.ts). */
function sinkhornRoom(n: number, iterations: number): number {
  return n === 4 ? 2 * (276 * Math.ceil(iterations / 32) + 128) : 2 * n * iterations;
}

/** n and the number of iterations, if the kernels can hold them. */
function sinkhornWords(n: number, iterations: number): Word[] {
  const room = SINKHORN_SUMS - 4 * n * (n + 2);
  if (sinkhornRoom(n, iterations) > room) {
    let most = Math.max(0, Math.floor(room / (2 * n)));
    while (most > 0 && sinkhornRoom(n, most) > room) most--;
    throw new RangeError(
      `sinkhorn: the CPU runtime does at most ${most} iterations for matrices of ${n} × ${n}, got ${iterations}.`,
    );
  }
  return [i32(n), i32(iterations)];
}

/** Another form than the paper's, as the bits and the epsilon that kernels/sinkhorn-forms.ts reads. */
function formWords(form: SinkhornForm | undefined): Word[] {
  if (form === undefined) return [];
  const bits = [form.start === "softmax", form.last === "columns", form.guard === "floor", form.transposed];
  return [i32(bits.reduce((sum, bit, index) => sum + (bit ? 1 << index : 0), 0)), f32(form.epsilon)];
}

function manifoldWords({ inputs: [p], attributes }: Node<ManifoldCoefficientsAttributes>): Word[] {
  const { iterations, form } = attributes;
  const words = [...sinkhornWords(streamsOf(lastAxis(p!.shape)), iterations), ...formWords(form?.res)];
  return form === undefined ? words : [...words, f32(form.readEpsilon), f32(form.writeScale)];
}

/** The paper's form has kernels of its own. */
function byForm(paper: Lowering, other: Lowering): Lowering {
  return {
    lower(node, context) {
      const { form } = node.attributes as { readonly form?: unknown };
      (form === undefined ? paper : other).lower(node, context);
    },
  };
}

function hyperWords({ inputs: [p], attributes: { tanh } }: Node<HyperCoefficientsAttributes>): Word[] {
  return [i32(p!.shape.at(-2)!), i32(tanh ? 1 : 0)];
}

/** (p, alpha, bias) → h. */
function coefficients(kernel: string): Lowering {
  return rowwise<ManifoldCoefficientsAttributes>(kernel, { aligned: [true, false, false], words: manifoldWords });
}

/** One item a matrix. */
export function matrices(kernel: string): Lowering {
  return rowwise<SinkhornAttributes>(kernel, {
    rows: ({ inputs: [logits] }) => sizeOf(logits!.shape.slice(0, -2)),
    aligned: [true, true],
    words: ({ inputs: [logits], attributes: { iterations, form } }) => [
      ...sinkhornWords(lastAxis(logits!.shape), iterations),
      ...formWords(form),
    ],
    inPlace: [[0, 0]],
  });
}

export const streamLowerings: Readonly<Record<string, Lowering>> = {
  expand: rowwise<{ scale: number }>("expand", {
    words: ({ outputs: [x], attributes: { scale } }) => [...streamWords(x!), f32(scale)],
  }),
  collapse: rowwise<{ scale: number }>("collapse", {
    rows: ({ inputs: [x] }) => streamSizes(x!).tokens,
    aligned: [true],
    words: ({ inputs: [x], attributes: { scale } }) => [...streamWords(x!), f32(scale)],
  }),
  streamRead: rowwise("streamRead", {
    rows: ({ inputs: [x] }) => streamSizes(x!).tokens,
    aligned: [true, true],
    words: ({ inputs: [x] }) => streamWords(x!),
  }),
  streamReadBackward: readBackward,
  streamNarrow: rowwise("streamNarrow", {
    rows: ({ inputs: [x] }) => streamSizes(x!).tokens,
    aligned: [true],
    words: floatsOfToken,
  }),
  streamWiden: widen,
  streamWrite: rowwise("streamWrite", {
    rows: ({ inputs: [x] }) => streamSizes(x!).tokens,
    aligned: [true, true, true],
    words: ({ inputs: [x] }) => streamWords(x!),
  }),
  streamWriteBackward: writeBackward,
  streamProjection: projection,
  streamProjectionBackward: projectionBackward,
  manifoldCoefficients: byForm(coefficients("manifoldCoefficients"), coefficients("manifoldCoefficientsForm")),
  manifoldCoefficientsBackward: byForm(
    coefficientsBackward("manifoldCoefficientsBackward", manifoldWords),
    coefficientsBackward("manifoldCoefficientsFormBackward", manifoldWords),
  ),
  hyperCoefficients: rowwise<HyperCoefficientsAttributes>("hyperCoefficients", {
    rows: ({ inputs: [p] }) => streamSizes(p!).tokens,
    aligned: [true, false, false],
    words: hyperWords,
  }),
  hyperCoefficientsBackward: coefficientsBackward("hyperCoefficientsBackward", hyperWords),
  sinkhorn: byForm(matrices("sinkhorn"), matrices("sinkhornForm")),
  sinkhornBackward: byForm(matrices("sinkhornBackward"), matrices("sinkhornFormBackward")),
};
