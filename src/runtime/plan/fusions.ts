// Question: which operations become one, where a machine has a kernel for all of them together?
//
// The seam of two sublayers (ops/stream-seam.ts):
//
//   streamWrite, streamProjection of what it wrote                     streamWriteProjection
//   manifoldCoefficients, streamRead with them                         coefficientsRead
//   the sum of two gradients of the coefficients, of which one is the
//   read's, and the gradients of what they were made of                coefficientsReadBackward
//   the sums of three gradients of the streams: one, the read's, and
//   the projection's                                                   streamReadProjectionBackward
//
// A machine that implements an operation on the right chooses it by this alone; on others nothing changes. Between the
// operations on the left values may be kept in bfloat16: the operation on the right then rounds at the same point. A value
// within that somebody else reads is computed as before, beside.

import { listed, named, type Names } from "../../graph/named.ts";
import { stateOf } from "../../graph/state.ts";
import {
  ancestors,
  apply,
  attributesOf,
  type Node,
  type Operation,
  operandsOf,
  repeated,
  standing,
  type Tensor,
} from "../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import { addOperation } from "../../ops/elementwise.ts";
import {
  manifoldCoefficientsBackwardOperation,
  manifoldCoefficientsOperation,
} from "../../ops/manifold-coefficients.ts";
import { streamProjectionBackwardOperation, streamProjectionOperation } from "../../ops/stream-projection.ts";
import { streamReadBackwardOperation, streamReadOperation } from "../../ops/stream-read.ts";
import {
  coefficientsReadBackwardOperation,
  coefficientsReadOperation,
  streamReadProjectionBackwardOperation,
  streamWriteProjectionOperation,
} from "../../ops/stream-seam.ts";
import { streamWriteOperation } from "../../ops/stream-write.ts";
import type { Machine } from "./machine.ts";

/** What a fusion has found: in the place of `at` stands an operation of these operands, which gives these tensors. */
interface Found {
  readonly at: Node;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly attributes: object;
  /** In the order of its outputs. */
  readonly gives: readonly Tensor[];
}

interface Fusion {
  readonly op: Operation<Names, Names, object>;
  /** The operation of the nodes at which to look. */
  readonly from: Operation;
  find(node: Node, graph: Graph): Found | undefined;
}

const fusions: readonly Fusion[] = [
  {
    op: streamWriteProjectionOperation,
    from: streamProjectionOperation,
    find(node, { exactOf, isRoundedBeside }) {
      const { x, w, p, s } = operandsOf(streamProjectionOperation, node);
      const { exact, rounds } = exactOf(x);
      const write = exact.node;
      if (!is(streamWriteOperation, write) || !standAlike(write, node)) return undefined;
      // Stored in bfloat16 alone, it could not be projected in float32.
      if (!rounds && isRoundedBeside(exact, node)) return undefined;
      const { next, ...inputs } = operandsOf(streamWriteOperation, write);
      const attributes = { ...attributesOf(streamProjectionOperation, node)!, rounds };
      return { at: write, inputs: { ...inputs, w }, attributes, gives: [next, p, s] };
    },
  },
  {
    op: coefficientsReadOperation,
    from: streamReadOperation,
    find(node) {
      const { x, h, u } = operandsOf(streamReadOperation, node);
      const made = h.node;
      if (!is(manifoldCoefficientsOperation, made) || !standAlike(made, node)) return undefined;
      const { p, alpha, bias } = operandsOf(manifoldCoefficientsOperation, made);
      const attributes = attributesOf(manifoldCoefficientsOperation, made)!;
      return { at: made, inputs: { p, alpha, bias, x }, attributes, gives: [h, u] };
    },
  },
  {
    op: coefficientsReadBackwardOperation,
    from: manifoldCoefficientsBackwardOperation,
    find(node, { isOnlyFor }) {
      const { dh: sum, p, alpha, bias, dp, dalpha, dbias } = operandsOf(manifoldCoefficientsBackwardOperation, node);
      const terms = termsOf(sum, isReadGradient("dh"));
      if (!terms || !isOnlyFor(sum, node)) return undefined;
      const [read, dh] = terms;
      const { x, du } = operandsOf(streamReadBackwardOperation, read.node);
      const attributes = attributesOf(manifoldCoefficientsBackwardOperation, node)!;
      return { at: node, inputs: { p, alpha, bias, dh, x, du }, attributes, gives: [dp, dalpha, dbias] };
    },
  },
  {
    op: streamReadProjectionBackwardOperation,
    from: addOperation,
    find(node, { exactOf, isOnlyFor }) {
      const [sum] = node.outputs as [Tensor];
      const outer = termsOf(
        sum,
        ({ node: { op }, index }) => is(streamProjectionBackwardOperation, { op }) && index === 0,
      );
      if (!outer || !isOnlyFor(outer[0], node)) return undefined;
      const { exact, rounds } = exactOf(outer[1]);
      const inner = termsOf(exact, isReadGradient("dx"));
      const projection = outer[0].node;
      if (!inner || !isOnlyFor(inner[0], exact.node) || !(rounds || isOnlyFor(exact, node))) return undefined;
      const { x, w, p, s, dp, draw } = operandsOf(streamProjectionBackwardOperation, projection);
      const read = operandsOf(streamReadBackwardOperation, inner[0].node);
      if (!isSame(read.x, x)) return undefined;
      const attributes = { ...attributesOf(streamProjectionBackwardOperation, projection)!, rounds };
      const inputs = { before: inner[1], x, h: read.h, du: read.du, w, p, s, dp };
      return { at: projection, inputs, attributes, gives: [sum, draw] };
    },
  },
];

/**
 * Join the operations of a graph that a machine does in one.
 *
 * @param targets tensors to compute; the returned function accepts only these and the tensors they depend on
 * @param results tensors that must be there as they are
 * @returns a function from a tensor of the graph to its replacement
 */
export function fused(
  targets: readonly Tensor[],
  results: ReadonlySet<Tensor>,
  { implementationOf }: Pick<Machine, "implementationOf">,
): (tensor: Tensor) => Tensor {
  const places = new Map<Tensor, Tensor>();
  const placeOf = (tensor: Tensor): Tensor => places.get(tensor) ?? tensor;
  const known = fusions.filter(({ op }) => implementationOf(op as Operation) !== undefined);
  if (known.length === 0) return placeOf;
  const nodes = ancestors(targets);
  const graph = graphOf(nodes, results);
  const found = new Map<Node, Found & Pick<Fusion, "op">>();
  for (const node of nodes) {
    for (const { op, from, find } of known) {
      const one = node.op === from && find(node, graph);
      if (!one || found.has(one.at)) continue;
      const inputs = Object.values(one.inputs);
      const isThere = inputs.every((input) => stateOf(input) || input.node.id < one.at.id);
      const fits = implementationOf(op)?.fits;
      if (isThere && fits?.(listed(op.inputs, one.inputs), one.attributes) !== false) found.set(one.at, { ...one, op });
    }
  }
  for (const node of nodes) {
    if (node.outputs.length > 0 && node.outputs.every((output) => places.has(output))) continue;
    const again = node.again && { ...node.again, after: placeOf(node.again.after) };
    const one = found.get(node);
    if (one) {
      const { op, attributes, gives } = one;
      const inputs = Object.fromEntries(Object.entries(one.inputs).map(([name, input]) => [name, placeOf(input)]));
      const made = standing({ ...node, again }, () =>
        listed(op.outputs, apply(op, named(op.inputs, listed(op.inputs, inputs)), attributes)),
      );
      gives.forEach((output, index) => places.set(output, made[index]!));
      continue;
    }
    const inputs = node.inputs.map(placeOf);
    const isUnchanged = inputs.every((input, index) => input === node.inputs[index]);
    if (isUnchanged && again?.after === node.again?.after) continue;
    const made = standing({ ...node, again }, () => repeated(node, inputs));
    node.outputs.forEach((output, index) => places.set(output, made.outputs[index]!));
  }
  return placeOf;
}

/** What is known of the readers of a graph's tensors. */
interface Graph {
  /** The value that a tensor is the rounding of, if it is one and nobody else reads that; else the tensor itself. */
  exactOf(tensor: Tensor): { readonly exact: Tensor; readonly rounds: boolean };
  /** Whether one node alone reads a tensor, and nothing waits for it. */
  isOnlyFor(tensor: Tensor, reader: Node): boolean;
  /** Whether beside one node a rounding to bfloat16 alone reads a tensor. */
  isRoundedBeside(tensor: Tensor, reader: Node): boolean;
}

function graphOf(nodes: readonly Node[], results: ReadonlySet<Tensor>): Graph {
  const readers = new Map<Tensor, Set<Node>>();
  const awaited = new Set<Tensor>(results);
  for (const node of nodes) {
    if (node.again) awaited.add(node.again.after);
    for (const input of node.inputs) readers.set(input, (readers.get(input) ?? new Set()).add(node));
  }
  const isOnlyFor = (tensor: Tensor, reader: Node): boolean => {
    const found = readers.get(tensor);
    return found?.size === 1 && found.has(reader) && !awaited.has(tensor);
  };
  return {
    isOnlyFor,
    isRoundedBeside(tensor, reader) {
      const [other, ...more] = [...(readers.get(tensor) ?? [])].filter((node) => node !== reader);
      return other !== undefined && is(toBfloat16Operation, other) && more.length === 0;
    },
    exactOf(tensor) {
      const narrow = is(toFloat32Operation, tensor.node) ? tensor.node.inputs[0] : undefined;
      const exact = narrow && is(toBfloat16Operation, narrow.node) ? narrow.node.inputs[0] : undefined;
      return exact && isOnlyFor(exact, narrow!.node) ? { exact, rounds: true } : { exact: tensor, rounds: false };
    },
  };
}

const is = (op: unknown, node: Pick<Node, "op">): boolean => node.op === op;

/** Whether a tensor is one of the gradients of a read. */
const isReadGradient =
  (name: "dx" | "dh") =>
  ({ node, index }: Tensor): boolean =>
    is(streamReadBackwardOperation, node) && index === streamReadBackwardOperation.outputs.indexOf(name);

/** The two terms of a sum, first the one that is looked for. */
function termsOf(sum: Tensor, isWanted: (term: Tensor) => boolean): readonly [Tensor, Tensor] | undefined {
  if (!is(addOperation, sum.node)) return undefined;
  const { a, b } = operandsOf(addOperation, sum.node);
  return isWanted(a) ? [a, b] : isWanted(b) ? [b, a] : undefined;
}

/** Whether two tensors are one, or widened from one. */
function isSame(a: Tensor, b: Tensor): boolean {
  return (
    a === b ||
    (is(toFloat32Operation, a.node) && is(toFloat32Operation, b.node) && a.node.inputs[0] === b.node.inputs[0])
  );
}

/** Whether both are computed at the same time: in one segment, kept or not, for the first time or after the same gradient. */
function standAlike(a: Node, b: Node): boolean {
  return a.segment === b.segment && a.kept === b.kept && a.again?.after === b.again?.after;
}
