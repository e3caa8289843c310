// Question: how does a graph run on a machine that has only some of its operations?
//
// An operation that the machine lacks is replaced by its composed form, and so are the operations in that form, until
// the machine has them all. Nodes that it has stay the same nodes, so a graph that it supports as a whole is returned
// unchanged.

import { listed, named } from "./named.ts";
import { ancestors, insteadOf, type Node, type Operation, repeated, type Tensor } from "./tensor.ts";

/**
 * Rewrite a graph so that it uses only operations that a machine has.
 *
 * @param targets tensors to compute; the returned function accepts only these and the tensors they depend on
 * @param machine its name for messages, and whether it has an operation
 * @returns a function from a tensor of the graph to its replacement; the tensor itself if nothing before it was replaced
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

/** The results of a node's composed form for these inputs, in the order of the node's outputs. */
function simpler({ op, attributes, scope }: Node, inputs: readonly Tensor[], machine: string): Tensor[] {
  if (!op.compose)
    throw new Error(
      `compile: the ${machine} runtime has no kernel for ${scope && `${scope}:`}${op.name}, and this operation has no composed form.`,
    );
  return listed(op.outputs, op.compose(named(op.inputs, inputs), attributes));
}
