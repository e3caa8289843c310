// Question: how does one graph run in phases, between which other programs run?
//
// Phase k computes what roots[k] need and no phase before it has computed. What one phase makes and a later one reads is
// carried: the earlier program writes it into a state, the later one reads that state. So the phases of several batches
// can take turns, each with states of its own, and nothing is computed twice.
//
// Not carried, but made again where they are read, are other shapes of the same values, and what depends on constants
// alone. Values of bfloat16 are carried in float32, which loses nothing.

import { stateOf } from "../graph/state.ts";
import { ancestors, type Node, repeated, standing, type Tensor } from "../graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../ops/bfloat16.ts";
import { reshapeOperation } from "../ops/reshape.ts";

/** What a phase makes for later ones. */
export interface CarriedTensor {
  readonly tensor: Tensor;
  /** The phase that makes it. */
  readonly from: number;
  /** The last phase that reads it. */
  readonly until: number;
}

/** A graph in phases. */
export interface CutGraph {
  /** In the order in which it is made. */
  readonly carried: readonly CarriedTensor[];
  /**
   * The graph of some phases that run as one program.
   *
   * @param first the first of them
   * @param stateFor the state in which a tensor of an earlier phase lies, f32 or i32
   * @returns a function from a tensor of these phases, or of earlier ones, to what stands for it in the program
   */
  program(first: number, stateFor: (tensor: Tensor) => Tensor): (tensor: Tensor) => Tensor;
}

/** A tensor as a state can hold it. */
export const carriedForm = (tensor: Tensor): Tensor => (tensor.dtype === "bf16" ? toFloat32(tensor) : tensor);

/** @param roots what each phase must have computed when it ends */
export function cutGraph(roots: readonly (readonly Tensor[])[]): CutGraph {
  const nodes = ancestors(roots.flat());
  const remade = madeAgain(nodes);
  const phases = new Map<Node, number>();
  for (const [phase, targets] of roots.entries())
    for (const node of ancestors(targets)) if (!remade.has(node) && !phases.has(node)) phases.set(node, phase);

  const until = new Map<Tensor, number>();
  const read = (tensor: Tensor, phase: number): void => {
    if (stateOf(tensor)) return;
    if (remade.has(tensor.node)) for (const input of tensor.node.inputs) read(input, phase);
    else if (phases.get(tensor.node)! < phase) until.set(tensor, Math.max(phase, until.get(tensor) ?? 0));
  };
  for (const [node, phase] of phases) for (const input of node.inputs) read(input, phase);
  for (const [phase, targets] of roots.entries()) for (const target of targets) read(target, phase);

  const carried = [...until]
    .map(([tensor, last]) => ({ tensor, from: phases.get(tensor.node)!, until: last }))
    .sort((a, b) => a.tensor.node.id - b.tensor.node.id || a.tensor.index - b.tensor.index);

  return {
    carried,
    program(first, stateFor) {
      const places = new Map<Tensor, Tensor>();
      for (const { tensor, from } of carried) {
        if (from >= first) continue;
        const state = stateFor(tensor);
        places.set(tensor, tensor.dtype === "bf16" ? toBfloat16(state) : state);
      }
      const isThere = (tensor: Tensor): boolean => (phases.get(tensor.node) ?? -1) >= first;
      for (const node of nodes) {
        if (stateOf(node.outputs[0]!) || (phases.get(node) ?? first) < first) continue;
        if (node.inputs.some((input) => !places.has(input) && !isThere(input) && !isMade(input.node))) continue;
        const inputs = node.inputs.map((input) => places.get(input) ?? input);
        // What an earlier program has made need not be waited for.
        const after = node.again && (isThere(node.again.after) ? node.again.after : undefined);
        const again = after && { ...node.again, after: places.get(after) ?? after };
        if (inputs.every((input, at) => input === node.inputs[at]) && again?.after === node.again?.after) continue;
        const made = standing({ ...node, again }, () => repeated(node, inputs));
        node.outputs.forEach((output, index) => places.set(output, made.outputs[index]!));
      }
      return (tensor) => places.get(tensor) ?? tensor;
    },
  };

  function isMade(node: Node): boolean {
    return stateOf(node.outputs[0]!) !== undefined || remade.has(node);
  }
}

/** The nodes that every phase makes for itself. */
function madeAgain(nodes: readonly Node[]): Set<Node> {
  const remade = new Set<Node>();
  const constant = new Set<Node>();
  for (const node of nodes) {
    const state = stateOf(node.outputs[0]!);
    const isConstant = state ? state.kind === "constant" : node.inputs.every((input) => constant.has(input.node));
    if (isConstant) constant.add(node);
    if (!state && (isConstant || node.op === reshapeOperation)) remade.add(node);
  }
  return remade;
}
