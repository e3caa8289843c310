// Question: how does a graph keep its values in fewer bits, and where does it round?
//
// Every operation computes in float32. A policy says of each operand how it is taken:
//
//   exact       as it is, in float32: statistics, coefficients, logits of the loss, what the optimizer reads
//   activation  as it is stored between operations: rounded
//   factor      rounded for a product
//
// A value is rounded once, where it is made, and widened where it is used: op(widen(round(x))). So a machine needs
// no more than the two casts; one that multiplies narrow values by itself looks through the widening. Rounding counts
// as the identity for gradients: the policy is applied to a graph that has its gradients already, and those are
// taken as the rules of their own operations say. Values that nobody takes rounded are never rounded: the gradient of
// a weight is a sum in float32 that only the optimizer reads.
//
// What an operand is taken as may depend on what it is: an activation (it flows through the network, token by token),
// a weight (a parameter of the network's matrices, or a part of one), or neither.

import { stateOf } from "./state.ts";
import {
  type Again,
  ancestors,
  type Node,
  type Operation,
  repeated,
  type Standing,
  standing,
  type Tensor,
} from "./tensor.ts";

/** What a value is to the policy. */
export type Kind = "activation" | "weight" | "exact";

/** How an operand is taken. */
export type Take = "exact" | "activation" | "factor";

/** What a rule says of a node: how its operands are taken, and what its results are, in their orders. */
export interface Decision {
  readonly takes: readonly Take[];
  readonly gives: readonly Kind[];
}

/** Decides for the nodes of an operation, by what their operands are. */
export type Rule = (node: Node, kinds: readonly Kind[]) => Decision;

/** Which operations round what, and how. */
export interface Policy {
  rule(op: Operation): Rule;
  /** Whether the operation only sees its operand in another shape: it is then done to what is stored. */
  isView(op: Operation): boolean;
  /** A value as it is stored, in fewer bits. */
  narrow(x: Tensor): Tensor;
  /** A stored value in float32. */
  widen(narrow: Tensor): Tensor;
  /** Whether a value has been stored: it is what `widen` returns. */
  isWidened(x: Tensor): boolean;
  /** How an operand that is taken as a factor is rounded further; undefined where it is as it is stored. */
  factor?(node: Node, operand: number, kinds: readonly Kind[]): FactorCast | undefined;
}

/** How factors of a product are rounded. */
export interface FactorCast {
  /** Equal for casts that do the same: a value is rounded once for each name. */
  readonly name: string;
  /** @param x a weight as it is, or an activation as it is stored */
  round(x: Tensor): Tensor;
}

/** The node that a node computes again, or itself: both must round alike. */
export function originalOf(node: Node): Node {
  return node.again?.of ?? node;
}

/**
 * Rewrite a graph so that it rounds as a policy says.
 *
 * @param targets tensors to compute, with their gradients if there are any
 * @returns a function from a tensor of the graph to its replacement; states stay the same tensors
 */
export function withPolicy(targets: readonly Tensor[], policy: Policy): (tensor: Tensor) => Tensor {
  const nodes = ancestors(targets);
  const decisions = decide(nodes, policy);
  const rounded = findRounded(nodes, decisions, policy);

  const places = new Map<Tensor, Tensor>();
  const placeOf = (tensor: Tensor): Tensor => places.get(tensor) ?? tensor;
  const made = new Map<Node, Node>();
  const narrowed = new Map<Tensor, Tensor>();
  const widened = new Map<string, Tensor>();
  const factors = new Map<string, Tensor>();
  const numbers = new Map<unknown, number>();
  const numberOf = (value: unknown): number => {
    const number = numbers.get(value) ?? numbers.size;
    numbers.set(value, number);
    return number;
  };

  /** The rounded values of a tensor. */
  const narrow = (tensor: Tensor): Tensor => {
    let narrow = narrowed.get(tensor);
    if (!narrow) {
      const place = placeOf(tensor);
      const { again, ...node } = standingOf(tensor.node);
      const of = again && narrowed.get(again.of.outputs[tensor.index]!)?.node;
      const own = again && { ...again, of: of ?? made.get(again.of) ?? again.of };
      const scope = stateOf(tensor)?.name ?? node.scope;
      narrow = standing({ ...node, scope, again: own }, () => policy.narrow(place));
      narrowed.set(tensor, narrow);
    }
    return narrow;
  };
  /** Where the replacement of a node stands. */
  const standingOf = ({ segment, kept, scope, again }: Node): Standing => ({
    segment,
    kept,
    scope,
    again: again && ({ of: again.of, after: placeOf(again.after) } satisfies Again),
  });
  /** The stored values of a tensor, widened where a reader stands. */
  const stored = (tensor: Tensor, reader: Node): Tensor => {
    const place = placeOf(tensor);
    if (tensor.dtype !== "f32" || policy.isWidened(place)) return place;
    const { node } = tensor;
    const [source] = node.inputs;
    const [segment, again] = [reader.segment, reader.again?.after].map(numberOf);
    const key = [numberOf(tensor), segment, again, reader.kept].join();
    let wide = widened.get(key);
    if (!wide) {
      wide = standing(withOriginal(standingOf(reader)), () =>
        source && policy.isView(node.op)
          ? repeated(node, [stored(source, reader)]).outputs[0]!
          : policy.widen(narrow(tensor)),
      );
      widened.set(key, wide);
    }
    return wide;
  };
  /** A value as a factor, rounded once for all products that stand alike; a weight once for all. */
  const factor = (tensor: Tensor, { name, round }: FactorCast, reader: Node): Tensor => {
    const isWeight = stateOf(tensor) !== undefined;
    const [segment, again] = [reader.segment, reader.again?.after].map(numberOf);
    const key = [name, numberOf(tensor), ...(isWeight ? [] : [segment, again, reader.kept])].join();
    let rounded = factors.get(key);
    if (!rounded) {
      const x = isWeight ? tensor : stored(tensor, reader);
      const place = isWeight
        ? { ...standingOf(tensor.node), scope: stateOf(tensor)!.name }
        : withOriginal(standingOf(reader));
      rounded = standing(place, () => round(x));
      factors.set(key, rounded);
    }
    return rounded;
  };
  /** Standing beside the replacement of the node that is computed again. */
  const withOriginal = (place: Standing): Standing => ({
    ...place,
    again: place.again && { ...place.again, of: made.get(place.again.of) ?? place.again.of },
  });

  const sums = findSums(nodes, decisions);
  for (const node of nodes) {
    const [first] = node.outputs;
    if (first && stateOf(first)) continue;
    const { takes } = decisions.get(node)!;
    for (const [sum, addend] of sums.get(node) ?? []) if (places.has(addend)) stored(addend, sum);
    const inputs = node.inputs.map((input, index) => {
      if (takes[index] === "exact" || input.dtype !== "f32") return placeOf(input);
      const cast =
        takes[index] === "factor" ? policy.factor?.(node, index, node.inputs.map(decisions.kindOf)) : undefined;
      return cast ? factor(input, cast, node) : stored(input, node);
    });
    const replacement = standing(withOriginal(standingOf(node)), () => repeated(node, inputs));
    made.set(node, replacement);
    node.outputs.forEach((tensor, index) => places.set(tensor, replacement.outputs[index]!));
    for (const output of node.outputs) if (rounded.has(output)) narrow(output);
  }
  return placeOf;
}

/**
 * The nodes that are added, as they leave their operation, to something stored: that must be widened before them, for
 * a kernel that adds to it.
 */
function findSums(nodes: readonly Node[], decisions: Decisions): Map<Node, (readonly [sum: Node, addend: Tensor])[]> {
  const sums = new Map<Node, (readonly [Node, Tensor])[]>();
  for (const sum of nodes) {
    const takes = decisions.get(sum)?.takes ?? [];
    const [added, addend] = ["exact", "activation"].map((take) => sum.inputs[takes.indexOf(take as Take)]);
    if (takes.length !== 2 || !added || !addend) continue;
    sums.set(added.node, [...(sums.get(added.node) ?? []), [sum, addend]]);
  }
  return sums;
}

interface Decisions {
  get(node: Node): Decision | undefined;
  kindOf(tensor: Tensor): Kind;
}

function decide(nodes: readonly Node[], policy: Policy): Decisions {
  const kinds = new Map<Tensor, Kind>();
  const decisions = new Map<Node, Decision>();
  const kindOf = (tensor: Tensor): Kind => kinds.get(tensor) ?? "exact";
  for (const node of nodes) {
    const [first] = node.outputs;
    const state = first && stateOf(first);
    if (state) {
      if (state.role === "weight" || state.role === "embedding") kinds.set(first, "weight");
      continue;
    }
    const decision = policy.rule(node.op)(node, node.inputs.map(kindOf));
    decisions.set(node, decision);
    node.outputs.forEach((tensor, index) => kinds.set(tensor, decision.gives[index] ?? "exact"));
  }
  return { get: (node) => decisions.get(node), kindOf };
}

/** The computed tensors that somebody takes rounded. They are rounded where they are made. */
function findRounded(nodes: readonly Node[], decisions: Decisions, policy: Policy): Set<Tensor> {
  const rounded = new Set<Tensor>();
  const seen = new Set<Tensor>();
  for (const node of nodes.toReversed()) {
    const takes = decisions.get(node)?.takes ?? [];
    const [source] = node.inputs;
    if (source && policy.isView(node.op) && node.outputs.some((output) => seen.has(output))) seen.add(source);
    node.inputs.forEach((input, index) => {
      if ((takes[index] ?? "exact") !== "exact") seen.add(input);
    });
  }
  for (const tensor of seen) {
    const isPlain = tensor.dtype === "f32" && stateOf(tensor) === undefined;
    if (isPlain && !policy.isView(tensor.node.op) && !policy.isWidened(tensor)) rounded.add(tensor);
  }
  return rounded;
}
