// Question: what is the gradient of a graph?
//
// Reverse mode as a graph transformation: walk the nodes from the results backwards, ask each operation for its
// gradient, and add gradients up where a tensor was used more than once. The caller supplies the addition, because
// operations live in a room above this one; ops/gradients.ts joins the two. Values that a checkpoint does not store
// are differentiated at copies, which are computed again as late as possible: see recomputation.ts.

import { listed, named } from "./named.ts";
import { recomputation } from "./recomputation.ts";
import { ancestors, type Node, operandsOf, scope, type Tensor } from "./tensor.ts";

/**
 * Propagate the gradients of results back to tensors that the results depend on.
 *
 * @param seeds each result and its gradient
 * @param wrt tensors the results depend on
 * @param add adds two gradients of one tensor
 * @param boundary tensors at which the walk stops (default: none)
 * @returns the gradient of each tensor of `wrt`; undefined if no result depends on it
 * @throws Error when a path crosses an operation without gradient
 */
export function pullBack(
  seeds: readonly (readonly [result: Tensor, gradient: Tensor])[],
  wrt: readonly Tensor[],
  add: (a: Tensor, b: Tensor) => Tensor,
  boundary: readonly Tensor[] = [],
): (Tensor | undefined)[] {
  const nodes = ancestors(
    seeds.map(([result]) => result),
    boundary,
  );
  const needed = dependents(nodes, wrt);
  const gradient = new Map<Tensor, Tensor>();
  // One tensor may be several results, as where a state holds it twice.
  for (const [result, seed] of seeds) {
    const earlier = gradient.get(result);
    gradient.set(result, earlier ? add(earlier, seed) : seed);
  }
  const inBackward = recomputation(nodes);

  for (const node of nodes.reverse()) {
    if (!needed.has(node)) continue;
    const outputGradients = node.outputs.map((output) => gradient.get(output));
    const first = outputGradients.find((g) => g !== undefined);
    if (first === undefined || node.inputs.length === 0) continue;
    const { op } = node;
    if (!op.gradient) {
      throw new Error(
        `gradients: ${op.name}${node.scope && ` (in ${node.scope})`} has no gradient, but the result depends on a parameter through it.`,
      );
    }
    scope(node.scope === "" ? "gradient" : `${node.scope}.gradient`, () => {
      const tensors = operandsOf(op, inBackward(node, first));
      const byName = op.gradient?.(tensors, named(op.outputs, outputGradients), node.attributes) ?? {};
      const inputGradients = listed(op.inputs, byName);
      for (const [index, input] of node.inputs.entries()) {
        const contribution = inputGradients[index];
        if (!contribution || !(needed.has(input.node) || wrt.includes(input))) continue;
        const earlier = gradient.get(input);
        gradient.set(input, earlier ? add(earlier, contribution) : contribution);
      }
    });
  }
  return wrt.map((tensor) => gradient.get(tensor));
}

/** The nodes of a graph that depend on one of the tensors. */
function dependents(nodes: readonly Node[], tensors: readonly Tensor[]): Set<Node> {
  const dependent = new Set<Node>();
  const sources = new Set(tensors);
  for (const node of nodes) {
    if (node.inputs.some((input) => sources.has(input) || dependent.has(input.node))) dependent.add(node);
  }
  return dependent;
}
