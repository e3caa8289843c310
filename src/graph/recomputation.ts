// Question: which forward values does the backward pass compute again?
//
// A segment (see `checkpoint`) stores only the values that leave it and those built within `keep`. Every other
// node of the segment gets a copy when a gradient first needs its values. Copies read other copies, or stored
// values. So in a chain of sublayers that begins at a stored x_0,
//
//   y_l = F_l(g_l(x_l)),  x_{l+1} = f_l(x_l, y_l)        F_l kept
//
// the backward pass computes x_1, x_2, ... again when it reaches the end of the chain, computes each g_l(x_l) again
// when it has gone through F_l, and computes no F_l again.

import { stateOf } from "./state.ts";
import { applyAgain, type Node, type Segment, type Tensor } from "./tensor.ts";

/**
 * How the backward pass sees the nodes of a graph. It sees recomputed nodes as copies, and stored nodes as they are,
 * except that a kept node reads the copies of its segment.
 *
 * @param nodes all nodes of the graph
 * @returns a function of a node and a gradient that reaches it. Call it from the last node to the first: a copy waits
 *   for the gradient that needs it, otherwise it would save no memory
 */
export function recomputation(nodes: readonly Node[]): (node: Node, gradient: Tensor) => Node {
  const leaving = new Set<Tensor>();
  for (const { inputs, segment } of nodes) {
    for (const input of inputs) if (input.node.segment !== segment) leaving.add(input);
  }
  const copies = new Map<Node, Node>();

  const copyOf = (node: Node, segment: Segment, after: Tensor): Node => {
    let copy = copies.get(node);
    if (!copy) {
      copy = applyAgain(node, readAgain(node, segment, after), after);
      copies.set(node, copy);
    }
    return copy;
  };
  const readAgain = ({ inputs }: Node, segment: Segment, after: Tensor): Tensor[] =>
    inputs.map((input) => {
      const { node } = input;
      const stored = node.segment !== segment || node.kept || leaving.has(input) || stateOf(input) !== undefined;
      return stored ? input : copyOf(node, segment, after).outputs[input.index]!;
    });

  return (node, gradient) => {
    const { segment, kept } = node;
    if (!segment) return node;
    return kept ? { ...node, inputs: readAgain(node, segment, gradient) } : copyOf(node, segment, gradient);
  };
}
