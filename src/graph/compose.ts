// Question: how does a graph run on a machine that has only some of its operations?
//
// Operations that the machine does not have are replaced by their composed forms, and what these are made of again,
// until everything is there. What the machine has stays as it is, down to the node, so that a graph of which
// it has everything is the same graph.

import { listed, named } from "./named.ts";
import { ancestors, insteadOf, type Node, type Operation, repeated, type Tensor } from "./tensor.ts";

/**
 * The same graph by operations that a machine has.
 *
 * @param targets what is to be computed; all other tensors that are asked for must be among what they depend on
 * @param machine its name for messages, and whether it has an operation
 * @returns for a tensor of the graph the one that takes its place; itself where nothing before it was replaced
 * @throws Error when the machine lacks an operation that has no composed form
 */
export function composed(
  targets: readonly Tensor[],
  machine: { readonly name: string; has(op: Operation): boolean },
): (tensor: Tensor) => Tensor {
  const places = new Map<Tensor, Tensor>();
  const placeOf = (tensor: Tensor): Tensor => places.get(tensor) ?? tensor;
  const take = (from: readonly Tensor[], to: readonly Tensor[]): void =>
    from.forEach((tensor, index) => {
      const place = to[index];
      if (place) places.set(tensor, placeOf(place));
    });

  const replace = (nodes: readonly Node[]): void => {
    for (const node of nodes) {
      const { op } = node;
      const inputs = node.inputs.map(placeOf);
      const after = node.again && placeOf(node.again.after);
      const unchanged = inputs.every((input, index) => input === node.inputs[index]) && after === node.again?.after;
      if (machine.has(op)) {
        if (!unchanged) take(node.outputs, insteadOf(node, after, () => repeated(node, inputs)).outputs);
        continue;
      }
      const results = insteadOf(node, after, () => simpler(node, inputs, machine.name));
      replace(ancestors(results, inputs));
      take(node.outputs, results);
    }
  };
  replace(ancestors(targets));
  return placeOf;
}

/** What a node's composed form gives for these inputs, in the order of its outputs. */
function simpler({ op, attributes, scope }: Node, inputs: readonly Tensor[], machine: string): Tensor[] {
  if (!op.compose)
    throw new Error(
      `compile: the ${machine} runtime has no kernel for ${scope && `${scope}:`}${op.name}, and it is not made of simpler operations.`,
    );
  return listed(op.outputs, op.compose(named(op.inputs, inputs), attributes));
}
