// Question: in a step that stores the state before every sublayer, what lives in memory on whose account?
//
// Read off the graph and its plan: the state x that a sublayer starts from, what is computed again beside
// it, and the most bytes that live while the backward pass is in the sublayer. That is all the formula in
// recomputation.ts needs to tell the memory of a step that stores the state less often.
//
// A sublayer is a segment of the graph (see `checkpoint`). In the plan its backward pass begins with the
// first phase that computes a value of it again and ends where that of the sublayer before it begins.

import { stateOf } from "../graph/state.ts";
import { ancestors, type Node, type Segment, type Tensor } from "../graph/tensor.ts";
import {
  type ArenaPlan,
  type Buffer,
  type Call,
  type CompiledPlan,
  type Phase,
  reads,
  writes,
} from "../runtime/plan/calls.ts";
import { type ProgramSpec, resultsOf } from "../runtime/program.ts";

type Buffers = ReadonlySet<Buffer>;

/** What one sublayer has in memory; letters as in recomputation.ts. */
export interface Sublayer {
  /** x: what must be stored to start from here. */
  readonly state: Buffers;
  /** h: what else is there once the state that follows has been computed again. */
  readonly rest: Buffers;
  /** y: kept results that would be stored only for the state that follows, because no gradient reads them. */
  readonly result: Buffers;
  /** P: most bytes live in a phase of its backward pass. */
  readonly peak: number;
}

/**
 * All sublayers in order, and one more: the forward pass and the head, before the backward pass begins.
 *
 * @param spec a step built with `storeEvery` 1
 */
export function planSublayers(spec: ProgramSpec, { phases, arena, bufferOf }: CompiledPlan): Sublayer[] {
  const nodes = ancestors(resultsOf(spec));
  const firstAgain = nodes.findIndex(({ again }) => again);
  const [forward, backward] = [nodes.slice(0, firstAgain), nodes.slice(firstAgain)];
  const segments = [...new Set(forward.flatMap(({ segment }) => segment ?? []))];
  const states = segments.map((segment) => statesOf(segment, forward));

  const buffersOf = (tensors: readonly Tensor[]): Set<Buffer> => new Set(tensors.map(bufferOf));
  const outputsOf = (some: readonly Node[]): Tensor[] => some.flatMap(({ outputs }) => outputs);
  const stored = buffersOf(outputsOf(forward));
  const tensors = buffersOf(outputsOf(nodes));
  const readInBackward = new Set(backward.flatMap(({ inputs }) => inputs));
  const readByGradients = new Set(backward.flatMap(({ again, inputs }) => (again ? [] : inputs)));

  const writer = writers(phases);
  const writerOf = (tensor: Tensor): Writer | undefined => writer.get(bufferOf(tensor));
  const live = liveBytes(phases, arena);
  const highest = (begin: number, end: number): number => Math.max(0, ...live.slice(begin, end));

  // Positions are assigned from the first sublayer, whose backward pass comes last.
  let end = live.length;
  const sublayers = segments.map((segment, index): Sublayer => {
    const copies = outputsOf(backward.filter((node) => node.again && node.segment === segment));
    const computed = copies.filter((tensor) => !stored.has(bufferOf(tensor)) && writerOf(tensor));
    const begin = Math.min(...computed.map((tensor) => writerOf(tensor)!.phase));
    const peak = highest(begin, end);
    end = Math.min(begin, end);

    const made = states.flat().filter(({ node }) => node.segment === segment);
    const chain = chainOf(made);
    const again = computed.filter((tensor) => {
      const { of } = tensor.node.again!;
      return chain.has(of) && !made.includes(of.outputs[tensor.index]!);
    });
    const packed = again.flatMap((tensor) => reads(writerOf(tensor)!.call).map(({ buffer }) => buffer));
    const results = [...chain].flatMap(({ inputs }) => inputs).filter(({ node }) => node.kept);
    return {
      state: buffersOf(states[index]!),
      rest: new Set([
        ...buffersOf(again.filter((tensor) => readByGradients.has(tensor))),
        ...packed.filter((buffer) => arena.offsets.has(buffer) && !tensors.has(buffer)),
      ]),
      result: buffersOf(results.filter((tensor) => !readInBackward.has(tensor))),
      peak,
    };
  });

  // Where the most is live before the backward pass, the forward pass still reads a state. One made in
  // the same phase lives only in its chain.
  const peak = highest(0, end);
  const phase = live.indexOf(peak);
  const running = forward.filter(({ outputs: [first] }) => writerOf(first!)?.phase === phase);
  const inputs = new Set(running.flatMap((node) => node.inputs));
  const read = states.flat().filter((tensor) => inputs.has(tensor) && writerOf(tensor)?.phase !== phase);
  return [...sublayers, { state: buffersOf(read), rest: new Set(), result: new Set(), peak }];
}

/** What must be stored for a segment to be computed again on its own: what it reads of others, but for kept results. */
function statesOf(segment: Segment, nodes: readonly Node[]): Tensor[] {
  const recomputed = nodes.filter((node) => node.segment === segment && !node.kept);
  const inputs = new Set(recomputed.flatMap((node) => node.inputs));
  return [...inputs].filter((tensor) => {
    const { node } = tensor;
    return node.segment !== segment && !node.kept && stateOf(tensor) === undefined;
  });
}

/** The nodes that are computed again for the states a segment makes. */
function chainOf(states: readonly Tensor[]): Set<Node> {
  const chain = new Set(states.map(({ node }) => node));
  for (const { segment, inputs } of chain)
    for (const { node } of inputs) if (node.segment === segment && !node.kept) chain.add(node);
  return chain;
}

/** Bytes live in each phase. */
function liveBytes(phases: readonly Phase[], { lives }: ArenaPlan): number[] {
  const live = phases.map(() => 0);
  for (const [{ bytes }, { first, last }] of lives)
    for (let phase = first; phase <= Math.min(last, live.length - 1); phase++) live[phase]! += bytes;
  return live;
}

interface Writer {
  readonly call: Call;
  readonly phase: number;
}

/** The call that writes each buffer, and its phase. */
function writers(phases: readonly Phase[]): Map<Buffer, Writer> {
  const found = new Map<Buffer, Writer>();
  for (const [phase, groups] of phases.entries())
    for (const call of groups.flatMap(({ calls }) => calls))
      for (const { buffer } of writes(call)) found.set(buffer, { call, phase });
  return found;
}
