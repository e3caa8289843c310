// Question: which operations does a program compute twice, because another one computes them on its way?
//
// An operation may include another: its inputs and outputs begin with those of the other (Operation.includes). If a program
// has both of the same operands, the results of the other are taken from it. So a loss whose gradient passes through all
// of its values again is computed in the pass of the gradient. This cannot be where the including operation waits for
// the included one, such as a gradient that depends on the loss.

import { ancestors, type Node, repeated, standing, type Tensor } from "./tensor.ts";

/**
 * @param targets tensors to compute; the returned function accepts only these and the tensors they depend on
 * @returns a function from a tensor of the graph to its replacement; the tensor itself if nothing before it was replaced
 */
export function withoutIncluded(targets: readonly Tensor[]): (tensor: Tensor) => Tensor {
  const nodes = ancestors(targets);
  const places = new Map<Tensor, Tensor>();
  const placeOf = (tensor: Tensor): Tensor => places.get(tensor) ?? tensor;
  const dropped = new Set<Node>();
  for (const node of nodes) {
    const included = node.op.includes && includedBy(node, nodes);
    if (!included || dropped.has(included)) continue;
    dropped.add(included);
    included.outputs.forEach((output, index) => places.set(output, node.outputs[index]!));
  }
  if (dropped.size === 0) return placeOf;
  for (const node of nodes) {
    if (dropped.has(node)) continue;
    const inputs = node.inputs.map(placeOf);
    const again = node.again && { ...node.again, after: placeOf(node.again.after) };
    if (inputs.every((input, index) => input === node.inputs[index]) && again?.after === node.again?.after) continue;
    const made = standing({ ...node, again }, () => repeated(node, inputs));
    node.outputs.forEach((output, index) => places.set(output, made.outputs[index]!));
  }
  return placeOf;
}

/** The node of the included operation with the same operands; this node may depend on none of that operation. */
function includedBy({ op, inputs, attributes }: Node, nodes: readonly Node[]): Node | undefined {
  const found = nodes.find(
    (other) =>
      other.op === op.includes &&
      other.attributes === attributes &&
      other.inputs.every((input, index) => input === inputs[index]),
  );
  return found && !ancestors(inputs).some((before) => before.op === op.includes) ? found : undefined;
}
