// Question: how much memory does a program take that stores what every so many of its segments start from?
//
// A segment is what `checkpoint` computes again for the gradients, such as a sublayer of a model. All is read off
// one plan, that of the program which stores the state x before every segment: in it the backward pass of a
// segment begins with the first phase that computes a value of it again, and ends where that of the segment
// before it begins. P_l is the most bytes live in segment l, when x_1 .. x_l are stored. With r segments in a
// group, L_r, of which only the first state is stored, and l in the group that starts at segment s,
//
//   arena(L_r) = max over l of   P_l − Σ {x_j : j < s starts no group} + Σ {h_j : s ≤ j < l}
//
// since x_s .. x_l are there either way, stored or computed again; h is what else is there once the state that
// follows has been computed again. Results y that no gradient reads, as those of a plain residual, come on top
// where an x is computed from them. Segments that differ, states of several tensors and tensors of several
// states count as they are. See docs/recomputation.md.

import { stateOf } from "../../graph/state.ts";
import { ancestors, type Node, type Segment, type Tensor } from "../../graph/tensor.ts";
import {
  type ArenaPlan,
  type Buffer,
  type Call,
  type CompiledPlan,
  type Phase,
  reads,
  sumBytes,
  writes,
} from "./calls.ts";
import { type ProgramSpec, resultsOf } from "../program.ts";

type Buffers = ReadonlySet<Buffer>;

/** What one segment has in memory; letters as above. */
export interface SegmentMemory {
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
 * All segments in order, and one more: the forward pass and the head, before the backward pass begins.
 *
 * @param spec a program that stores the state before every segment
 */
export function planSegments(spec: ProgramSpec, { phases, arena, bufferOf }: CompiledPlan): SegmentMemory[] {
  const nodes = ancestors(resultsOf(spec));
  const firstAgain = nodes.findIndex(({ again }) => again);
  const [forward, backward] = [nodes.slice(0, firstAgain), nodes.slice(firstAgain)];
  const segments = [...new Set(forward.flatMap(({ segment }) => segment ?? []))];
  const parts = segments.map((segment) => ({ segment, starts: statesOf(segment, forward) }));
  const states = parts.flatMap(({ starts }) => starts);

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

  // Positions are assigned from the first segment, whose backward pass comes last.
  let end = live.length;
  const memories = parts.map(({ segment, starts }): SegmentMemory => {
    const copies = backward.flatMap(({ again, segment: of, outputs }) =>
      again && of === segment ? outputs.map((tensor, index) => ({ tensor, of: again.of, index })) : [],
    );
    const computed = copies.flatMap(({ tensor, ...copy }) => {
      const written = stored.has(bufferOf(tensor)) ? undefined : writerOf(tensor);
      return written ? [{ tensor, written, ...copy }] : [];
    });
    const begin = Math.min(...computed.map(({ written }) => written.phase));
    const peak = highest(begin, end);
    end = Math.min(begin, end);

    const made = states.filter(({ node }) => node.segment === segment);
    const chain = chainOf(made);
    const isMade = (of: Node, index: number): boolean =>
      made.some((tensor) => tensor.node === of && tensor.index === index);
    const again = computed.filter(({ of, index }) => chain.has(of) && !isMade(of, index));
    const packed = again.flatMap(({ written }) => reads(written.call).map(({ buffer }) => buffer));
    const results = [...chain].flatMap(({ inputs }) => inputs).filter(({ node }) => node.kept);
    return {
      state: buffersOf(starts),
      rest: new Set([
        ...buffersOf(again.map(({ tensor }) => tensor).filter((tensor) => readByGradients.has(tensor))),
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
  const running = forward.filter(({ outputs: [first] }) => first && writerOf(first)?.phase === phase);
  const inputs = new Set(running.flatMap((node) => node.inputs));
  const read = states.filter((tensor) => inputs.has(tensor) && writerOf(tensor)?.phase !== phase);
  return [...memories, { state: buffersOf(read), rest: new Set(), result: new Set(), peak }];
}

/**
 * The formula at the head of this file; segments count from 0 here.
 *
 * @param storeEvery L_r: segments between stored states
 */
export function peakBytes(segments: readonly SegmentMemory[], storeEvery: number): number {
  const last = segments.length - 1;
  const bytes = segments.map(({ peak }, l) => {
    const s = l === last ? l : l - (l % storeEvery);
    const there = segments.slice(0, l + 1).filter((_, j) => j % storeEvery === 0 || j >= s);
    const kept = new Set(there.flatMap(({ state }) => [...state]));
    const saved = new Set(segments.slice(0, s).flatMap(({ state }) => [...state].filter((x) => !kept.has(x))));
    const more = new Set(segments.slice(s, l).flatMap(({ rest }) => [...rest]));
    const results = new Set(
      segments.slice(0, s).flatMap(({ result }, j) => ((j + 1) % storeEvery === 0 ? [] : [...result])),
    );
    return peak - sumBytes(saved) + sumBytes(results) + sumBytes(more);
  });
  return Math.max(...bytes);
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
  const live = new Float64Array(phases.length);
  for (const [{ bytes }, { first, last }] of lives)
    for (let phase = first; phase <= Math.min(last, live.length - 1); phase++) live[phase] = (live[phase] ?? 0) + bytes;
  return [...live];
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
