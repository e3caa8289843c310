// Question: which pairs of operations become one, where a machine has a kernel for both together?
//
// The second reads the result of the first, perhaps as it is kept in bfloat16 between them. The operation that does both
// takes the operands of the first, then the others of the second, and gives the results of the first, then those of the
// second. A machine that implements that operation chooses it by this alone; on others nothing changes.

import { listed, named, type Names } from "../../graph/named.ts";
import { stateOf } from "../../graph/state.ts";
import { ancestors, apply, type Node, type Operation, repeated, standing, type Tensor } from "../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import { manifoldCoefficientsOperation } from "../../ops/manifold-coefficients.ts";
import { streamProjectionOperation } from "../../ops/stream-projection.ts";
import { streamReadOperation } from "../../ops/stream-read.ts";
import { coefficientsReadOperation, streamWriteProjectionOperation } from "../../ops/stream-seam.ts";
import { streamWriteOperation } from "../../ops/stream-write.ts";
import type { Machine } from "./machine.ts";

interface Fusion {
  readonly op: Operation<Names, Names, object>;
  readonly first: Operation;
  readonly second: Operation;
  /** The operand of the second that is the first result of the first. */
  readonly link: string;
  /** The attributes of the operation for both. `rounds`: there is a rounding to bfloat16 between the two. */
  attributes(first: object, second: object, rounds: boolean): object;
}

const fusions: readonly Fusion[] = [
  {
    op: streamWriteProjectionOperation,
    first: streamWriteOperation,
    second: streamProjectionOperation,
    link: "x",
    attributes: (_, projection, rounds) => ({ ...projection, rounds }),
  },
  {
    op: coefficientsReadOperation,
    first: manifoldCoefficientsOperation,
    second: streamReadOperation,
    link: "h",
    attributes: (coefficients) => coefficients,
  },
];

/** Two nodes that become one in the place of the first. */
interface Pair {
  readonly fusion: Fusion;
  readonly first: Node;
  readonly second: Node;
  readonly inputs: readonly Tensor[];
  readonly attributes: object;
}

/**
 * Join the pairs of a graph that a machine does in one.
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
  const pairs = findPairs(nodes, results, known, implementationOf);
  const seconds = new Set([...pairs.values()].map(({ second }) => second));
  for (const node of nodes) {
    if (seconds.has(node)) continue;
    const again = node.again && { ...node.again, after: placeOf(node.again.after) };
    const pair = pairs.get(node);
    if (pair) {
      const { op } = pair.fusion;
      const inputs = named(op.inputs, pair.inputs.map(placeOf));
      const made = standing({ ...node, again }, () => listed(op.outputs, apply(op, inputs, pair.attributes)));
      [...node.outputs, ...pair.second.outputs].forEach((output, index) => places.set(output, made[index]!));
      continue;
    }
    const inputs = node.inputs.map(placeOf);
    const isSame = inputs.every((input, index) => input === node.inputs[index]);
    if (isSame && again?.after === node.again?.after) continue;
    const made = standing({ ...node, again }, () => repeated(node, inputs));
    node.outputs.forEach((output, index) => places.set(output, made.outputs[index]!));
  }
  return placeOf;
}

/** By their first nodes. */
function findPairs(
  nodes: readonly Node[],
  results: ReadonlySet<Tensor>,
  known: readonly Fusion[],
  implementationOf: Machine["implementationOf"],
): Map<Node, Pair> {
  const readers = new Map<Tensor, number>();
  for (const { inputs } of nodes)
    for (const input of new Set(inputs)) readers.set(input, (readers.get(input) ?? 0) + 1);
  /** The value that a tensor is the rounding of: nobody else reads it. */
  const exactOf = (tensor: Tensor): Tensor | undefined => {
    const narrow = isOf(tensor, toFloat32Operation) ? tensor.node.inputs[0] : undefined;
    const exact = narrow && isOf(narrow, toBfloat16Operation) ? narrow.node.inputs[0] : undefined;
    return exact && readers.get(exact) === 1 && !results.has(exact) ? exact : undefined;
  };
  const pairs = new Map<Node, Pair>();
  for (const second of nodes) {
    for (const fusion of known) {
      if (fusion.second !== second.op) continue;
      const link = second.inputs[second.op.inputs.indexOf(fusion.link)]!;
      const exact = exactOf(link);
      const from = exact ?? link;
      const first = from.node;
      if (first.op !== fusion.first || from.index > 0 || pairs.has(first) || !standAlike(first, second)) continue;
      const others = second.inputs.filter((input) => input !== link);
      if (!others.every((input) => stateOf(input) || input.node.id < first.id)) continue;
      const inputs = [...first.inputs, ...others];
      if (implementationOf(fusion.op as Operation)?.fits?.(inputs) === false) continue;
      const attributes = fusion.attributes(first.attributes ?? {}, second.attributes ?? {}, exact !== undefined);
      pairs.set(first, { fusion, first, second, inputs, attributes });
    }
  }
  return pairs;
}

const isOf = ({ node }: Tensor, op: unknown): boolean => (node.op as unknown) === op;

/** Whether both are computed at the same time: in one segment, kept or not, and for the first time or after the same gradient. */
function standAlike(a: Node, b: Node): boolean {
  return a.segment === b.segment && a.kept === b.kept && a.again?.after === b.again?.after;
}
