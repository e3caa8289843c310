// Question: in which order does a graph run around nodes that are waited for?
//
// Some nodes are done elsewhere, such as by other ranks: they begin when their inputs are there, and what is computed
// until they end costs nothing more. So a graph becomes a row of steps, computed without a break between two of them:
//
//   compute the inputs of the first · begin it · compute what needs none that is under way · end it · …
//
// Nodes that are waited for begin in the order of their depth, which is how many of them follow one another: two branches
// that do not need each other, such as two halves of a batch, take turns, and one computes while the other waits.

import { stateOf } from "./state.ts";
import { ancestors, type Node, type Tensor } from "./tensor.ts";

/** What is done next. */
export type Step = { readonly compute: readonly Node[] } | { readonly begin: Node } | { readonly end: Node };

/** States, and nodes without inputs, which are computed wherever they are read. */
const isGiven = (node: Node): boolean => node.inputs.length === 0 || node.outputs.some((output) => stateOf(output));

/**
 * @param targets tensors to compute
 * @param isWaitedFor whether a node is done elsewhere
 */
export function cutAt(targets: readonly Tensor[], isWaitedFor: (node: Node) => boolean): Step[] {
  const nodes = ancestors(targets).filter((node) => !isGiven(node));
  const left = new Set(nodes);
  const before = new Map(
    nodes.map((node) => {
      const read = node.inputs.map((input) => input.node);
      return [node, (node.again ? [...read, node.again.after.node] : read).filter((each) => left.has(each))] as const;
    }),
  );
  const depths = new Map<Node, number>();
  for (const node of nodes)
    depths.set(node, Math.max(0, ...before.get(node)!.map((each) => depths.get(each)! + (isWaitedFor(each) ? 1 : 0))));
  const steps: Step[] = [];
  const underWay = new Set<Node>();

  const compute = (some: readonly Node[]): void => {
    const own = some.filter((node) => left.has(node) && !isWaitedFor(node));
    if (own.length === 0) return;
    steps.push({ compute: own });
    for (const node of own) left.delete(node);
  };
  /** What can be computed before anything else has ended. */
  const computeFree = (): void => {
    const held = new Set<Node>();
    for (const node of nodes)
      if (left.has(node) && (isWaitedFor(node) || before.get(node)!.some((each) => held.has(each)))) held.add(node);
    compute(nodes.filter((node) => !held.has(node)));
  };
  const end = (some: readonly Node[]): void => {
    if (some.length === 0) return;
    computeFree();
    for (const node of some) {
      steps.push({ end: node });
      underWay.delete(node);
      left.delete(node);
    }
  };

  const waitedFor = nodes.filter(isWaitedFor);
  for (const node of waitedFor.sort((a, b) => depths.get(a)! - depths.get(b)! || a.id - b.id)) {
    const needed = neededFor(node, before, left);
    end([...underWay].filter((each) => needed.has(each)));
    compute(nodes.filter((each) => needed.has(each)));
    steps.push({ begin: node });
    underWay.add(node);
  }
  end([...underWay]);
  compute(nodes);
  return steps;
}

/** All that a node depends on and that is not done. */
function neededFor(
  target: Node,
  before: ReadonlyMap<Node, readonly Node[]>,
  left: ReadonlySet<Node>,
): ReadonlySet<Node> {
  const needed = new Set<Node>();
  const stack = [...before.get(target)!];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (needed.has(node) || !left.has(node)) continue;
    needed.add(node);
    stack.push(...before.get(node)!);
  }
  return needed;
}
