// Question: how does a GPU move values: repeat, permute, cut out, place, look up?
//
// All are one element of the input for one of the output, so they cost nothing where they join a chain.

import { gatherOperation } from "../../../ops/gather.ts";
import { permuteOperation, permutedStrides } from "../../../ops/permute.ts";
import { broadcastLastOperation, broadcastOperation } from "../../../ops/reductions.ts";
import { reshapeOperation } from "../../../ops/reshape.ts";
import { axisSize, placeOperation, sliceOperation } from "../../../ops/slice.ts";
import { lastAxis, rowCount, type Shape, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { checkIndices } from "../check.ts";
import { calls, elements, type Implementation, u } from "../implement.ts";

/** Where element `i` of a part with `size` along the axis lies in a whole with `total` there, `start` further on. */
function movedIndex({ shape }: Tensor, axis: number, size: number, start: number, total: number): string {
  const inner = sizeOf(shape.slice(axis + 1));
  const block = size * inner;
  const shift = start * inner;
  return `(i / ${u(block)}) * ${u(total * inner)} + i % ${u(block)} + ${u(shift)}`;
}

/** Where element `i` of the permuted tensor lies in the original. */
export function permutedIndex(shape: Shape, axes: readonly number[]): string {
  const strides = permutedStrides(shape, axes);
  let rest = 1;
  const terms = axes.map((axis, at) => ({ size: shape[axis] ?? 1, stride: strides[at] ?? 1 })).reverse();
  const texts = terms.flatMap(({ size, stride }, at) => {
    if (size === 1) return [];
    const digit = at === terms.length - 1 ? `(i / ${u(rest)})` : `((i / ${u(rest)}) % ${u(size)})`;
    rest *= size;
    return [`${digit} * ${u(stride)}`];
  });
  return texts.length === 0 ? "0u" : texts.join(" + ");
}

const lookup = elements(gatherOperation, {
  order: ["indices", "table"],
  index({ table }) {
    const [rows, C] = [rowCount(table.shape), lastAxis(table.shape)];
    const row = `select(0u, u32(indices), u32(indices) < ${u(rows)})`;
    return { indices: C === 1 ? "i" : `i / ${u(C)}`, table: C === 1 ? row : `${row} * ${u(C)} + i % ${u(C)}` };
  },
  value: () => "table",
});

export const moves: readonly Implementation[] = [
  calls(reshapeOperation, ({ x, y }, _attributes, { alias }) => alias(y, x)),
  elements(broadcastOperation, {
    index: ({ x, y }) => ({ x: x.shape.length === y.shape.length ? "i" : `i % ${u(sizeOf(x.shape))}` }),
    value: () => "x",
  }),
  elements(broadcastLastOperation, {
    index: (_tensors, { size }) => ({ x: size === 1 ? "i" : `i / ${u(size)}` }),
    value: () => "x",
  }),
  elements(permuteOperation, { index: ({ x }, { axes }) => ({ x: permutedIndex(x.shape, axes) }), value: () => "x" }),
  elements(sliceOperation, {
    index: ({ x }, { axis, start, size }) => ({ x: movedIndex(x, axis, size, start, axisSize(x, axis)) }),
    value: () => "x",
  }),
  elements(placeOperation, {
    index({ x }, { axis, start, total }) {
      const inner = sizeOf(x.shape.slice(axis + 1));
      const along = `((i / ${u(inner)}) % ${u(total)})`;
      const part = `min(max(${along}, ${u(start)}) - ${u(start)}, ${u(axisSize(x, axis) - 1)})`;
      return {
        x: `(i / ${u(total * inner)}) * ${u(axisSize(x, axis) * inner)} + ${part} * ${u(inner)} + i % ${u(inner)}`,
      };
    },
    value({ axis, start, total }, { x }) {
      const inner = sizeOf(x.shape.slice(axis + 1));
      const along = `((i / ${u(inner)}) % ${u(total)})`;
      return `select(0.0f, x, ${along} >= ${u(start)} && ${along} < ${u(start + axisSize(x, axis))})`;
    },
  }),
  {
    ...lookup,
    lowering: {
      lower(node, context) {
        const [table, indices] = node.inputs as [Tensor, Tensor];
        checkIndices(context, indices, { operation: "gather", scope: node.scope, rows: rowCount(table.shape) });
        lookup.lowering.lower(node, context);
      },
    },
  },
];
