// Question: in which form does a value lie in memory?
//
// A graph that keeps values as bfloat16 says op(toFloat32(narrow)) and toBfloat16(op(...)). What can be known of that is
// found here: a kernel may read `narrow` itself, and write the rounding alone if nothing else is read of its result. A
// machine that takes stored forms does both by itself; on others a rule says whether its kernel rounds.

import type { Node, Tensor } from "../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import { reshapeOperation } from "../../ops/reshape.ts";

/** The bfloat16 tensor whose values in float32 a tensor is, seen in any shape. */
export function narrowSource({ node }: Tensor): Tensor | undefined {
  const [source] = node.inputs;
  if (source === undefined) return undefined;
  if (node.op === toFloat32Operation) return source;
  return node.op === reshapeOperation ? narrowSource(source) : undefined;
}

/**
 * The rounding of a result, if nothing else is read of it.
 *
 * @param results tensors that must be there as they are
 */
export function roundings(
  nodes: readonly Node[],
  results: ReadonlySet<Tensor>,
): (tensor: Tensor) => Tensor | undefined {
  const readers = new Map<Tensor, Set<Node>>();
  for (const node of nodes) {
    for (const input of node.inputs) {
      const found = readers.get(input);
      if (found) found.add(node);
      else readers.set(input, new Set([node]));
    }
  }
  return (tensor) => {
    const [reader, other] = readers.get(tensor) ?? [];
    const narrow = reader?.op === toBfloat16Operation && !other ? reader.outputs[0] : undefined;
    return results.has(tensor) ? undefined : narrow;
  };
}
