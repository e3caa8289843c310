// Question: in which form does a value lie in memory, where a machine does casts on the way?
//
// A graph that keeps values as bfloat16 says op(toFloat32(narrow)) and toBfloat16(op(...)). A machine whose kernels read
// and write bfloat16 themselves reads `narrow`, and writes the rounding alone if nothing else is read of the result.

import type { Node, Tensor } from "../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import { reshapeOperation } from "../../ops/reshape.ts";

export interface StoredForms {
  /** The bfloat16 that a value is widened from, perhaps in another shape; else the value itself. */
  sourceOf(tensor: Tensor): Tensor;
  /** The rounding of a result, if nothing else is read of it. */
  narrowOf(tensor: Tensor): Tensor | undefined;
}

/**
 * @param results tensors that must be there as they are
 * @param takes whether the machine takes stored forms; if not, everything is stored as it is
 */
export function storedForms(nodes: readonly Node[], results: ReadonlySet<Tensor>, takes: boolean): StoredForms {
  if (!takes) return { sourceOf: (tensor) => tensor, narrowOf: () => undefined };
  const readers = new Map<Tensor, Set<Node>>();
  for (const node of nodes) {
    for (const input of node.inputs) {
      const found = readers.get(input);
      if (found) found.add(node);
      else readers.set(input, new Set([node]));
    }
  }
  const viewed = (tensor: Tensor): Tensor => {
    const [source] = tensor.node.inputs;
    return source && tensor.node.op === reshapeOperation ? viewed(source) : tensor;
  };
  return {
    sourceOf(tensor) {
      const { node } = viewed(tensor);
      const [narrow] = node.inputs;
      return narrow && node.op === toFloat32Operation ? narrow : tensor;
    },
    narrowOf(tensor) {
      const [reader, other] = readers.get(tensor) ?? [];
      const narrow = reader?.op === toBfloat16Operation && !other ? reader.outputs[0] : undefined;
      return results.has(tensor) ? undefined : narrow;
    },
  };
}
