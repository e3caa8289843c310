// Question: how does a graph become a list of kernel calls?
//
// What the machine has no kernel for is composed of simpler operations first (graph/compose.ts), and pairs of operations
// that it has one kernel for become one (fusions.ts). Then nodes are lowered in order of construction. Two more fusions
// happen here: add(x, f(...)) where f's kernel can accumulate becomes one call that starts from x, so residual sums and
// gradient sums cost nothing; and a rounding to bfloat16 is done by the kernel that made the value, where it can. A
// machine whose kernels have operands of bfloat16 takes and stores all values in that form (stored.ts).

import { addOperation } from "../../ops/elementwise.ts";
import { composed } from "../../graph/compose.ts";
import { withoutIncluded } from "../../graph/included.ts";
import { stateOf, stateOperation } from "../../graph/state.ts";
import {
  ancestors,
  byteSize,
  flopsOf,
  type Node,
  type Operation,
  operandsOf,
  type Tensor,
} from "../../graph/tensor.ts";
import { expectSpec, type ProgramSpec, resultsOf, tensorsOf } from "../program.ts";
import { planArena } from "./arena.ts";
import { type Buffer, type Call, type CompiledPlan, reads, writes } from "./calls.ts";
import { fused } from "./fusions.ts";
import type { LoweringContext, Machine, Stored } from "./machine.ts";
import { schedule } from "./schedule.ts";
import { type Prepare, sharedOut, withoutPrepared } from "./steady.ts";
import { narrowSource, roundings } from "./stored.ts";

export interface CompileOptions {
  /** Keep every buffer to the end of the program, so that each can be looked at. */
  readonly keepAll?: boolean;
  /** The buffer of a state tensor, the same for all programs of a runtime. */
  stateBuffer(tensor: Tensor): Buffer;
  /** Of a machine that keeps what is prepared of steady parameters. */
  readonly prepare?: Prepare;
}

/** Options to compile with when nothing is to run: states get buffers without memory, all of them in `states`. */
export function withoutMemory(): CompileOptions & { states: ReadonlyMap<Tensor, Buffer> } {
  const states = new Map<Tensor, Buffer>();
  const stateBuffer = (tensor: Tensor): Buffer => {
    const made = states.get(tensor);
    if (made) return made;
    const state = stateOf(tensor);
    if (!state)
      throw new Error(`withoutMemory: ${tensor.node.op.name} is given; only states have buffers of their own.`);
    const buffer = { name: state.name, bytes: byteSize(tensor), state };
    states.set(tensor, buffer);
    return buffer;
  };
  return { states, stateBuffer };
}

/** Plan a program for a machine. Nothing is allocated or run. */
export function compilePlan(spec: ProgramSpec, machine: Machine, options: CompileOptions): CompiledPlan {
  expectSpec(spec);
  const { device } = machine;
  const prepare = spec.steady && !options.keepAll ? options.prepare : undefined;
  const { calls: all, bufferOf } = lowerGraph(spec, machine, { ...options, steady: prepare !== undefined });
  const calls = prepare ? withoutPrepared(all, spec, prepare) : all;
  const changed = (spec.updates ?? [])
    .map(([state, value]) => [bufferOf(state), bufferOf(value)] as const)
    .filter(([state, value]) => state !== value);
  const states = new Set(changed.map(([state]) => state));
  const snapshots = new Map<Buffer, Buffer>();
  /** The buffer itself, or for a state that an update changes a copy from before. */
  const unchanged = (buffer: Buffer): Buffer => {
    if (!states.has(buffer)) return buffer;
    let copy = snapshots.get(buffer);
    if (!copy) snapshots.set(buffer, (copy = { name: `${buffer.name} before`, bytes: buffer.bytes }));
    return copy;
  };
  const outputs = new Map(tensorsOf(spec.outputs).map((tensor) => [tensor, unchanged(bufferOf(tensor))]));
  const updates = new Map(changed.map(([state, value]) => [state, unchanged(value)]));
  for (const [state, copy] of snapshots) calls.push(machine.copy(`copy ${state.name}`, state, copy));

  const kept = new Set(outputs.values());
  const passing = new Set((spec.passing ?? []).map(bufferOf));
  if (options.keepAll)
    for (const call of calls) for (const operand of call.operands) if (operand) kept.add(operand.buffer);

  const wanted = new Set([...kept, ...passing, ...updates.values()]);
  const scheduled = schedule(withoutUnread(calls, wanted), device, wanted);
  const phases = prepare ? sharedOut(scheduled, device) : scheduled;
  let arena = planArena(phases, device, kept, options.keepAll ? new Map() : updates, passing);
  const copies = [...updates].filter(([state, value]) => arena.sharing.get(value) !== state);
  if (copies.length > 0) {
    phases.push(
      copies.map(([state, value]) => ({
        domain: 1,
        grain: 1,
        calls: [machine.copy(`update ${state.name}`, value, state)],
      })),
    );
    arena = planArena(phases, device, kept, updates, passing);
  }
  return { phases, calls: phases.flat().flatMap((group) => group.calls), arena, outputs, bufferOf };
}

function lowerGraph(
  spec: ProgramSpec,
  machine: Machine,
  options: CompileOptions & { readonly steady: boolean },
): { calls: Call[]; bufferOf(tensor: Tensor): Buffer } {
  const targets = [...resultsOf(spec), ...(spec.updates ?? []).map(([state]) => state)];
  const needed = withoutIncluded(targets);
  const has = (op: Operation): boolean => {
    const found = machine.implementationOf(op);
    // What fits some operands only is left to the fusions, which ask.
    return op === stateOperation || (found !== undefined && found.fits === undefined);
  };
  const made = composed(targets.map(needed), { name: machine.name, has });
  const joined = fused(targets.map(needed).map(made), new Set(resultsOf(spec).map(needed).map(made)), machine);
  const place = (tensor: Tensor): Tensor => joined(made(needed(tensor)));
  const results = resultsOf(spec).map(place);
  const nodes = ancestors(targets.map(place));
  const takesStored = machine.takesStored === true;
  const narrowOf = roundings(nodes, new Set(results));
  /** Where a value is read: what it is widened from, or the value itself. */
  const sourceOf = (tensor: Tensor): Tensor => (takesStored && narrowSource(tensor)) || tensor;
  const absorbed = findAbsorbed(nodes, new Set(results), machine, sourceOf);
  const casts = takesStored ? new Map<Tensor, Node>() : findCasts(nodes, absorbed, machine, narrowOf);
  const buffers = new Map<Tensor, Buffer>();
  const calls: Call[] = [];

  const bufferOf = (original: Tensor): Buffer => {
    const tensor = place(original);
    const sum = absorbed.get(tensor.node);
    if (sum && tensor.index === 0) return bufferOf(sum.add.outputs[0]!);
    const cast = casts.get(tensor);
    if (cast) return bufferOf(cast.outputs[0]!);
    let buffer = buffers.get(tensor);
    if (!buffer) {
      buffer = stateOf(tensor) ? options.stateBuffer(tensor) : { name: labelOf(tensor.node), bytes: byteSize(tensor) };
      buffers.set(tensor, buffer);
    }
    return buffer;
  };

  /** What a gradient that another node waits for is written to. */
  const afterOf = (tensor: Tensor): Buffer => {
    const source = sourceOf(place(tensor));
    const sum = source.index === 0 ? absorbed.get(source.node)?.add.outputs[0] : undefined;
    return bufferOf((takesStored && narrowOf(sum ?? source)) || source);
  };

  const done = new Set([...[...absorbed.values()].map(({ add }) => add), ...casts.values()]);
  const lowered = new Set<Node>();
  /** Roundings that the call before them has done. */
  const rounded = new Set<Tensor>();
  const lower = (node: Node): void => {
    const [first] = node.outputs;
    if (!first || stateOf(first) || done.has(node) || lowered.has(node) || rounded.has(first)) return;
    lowered.add(node);
    let flops = flopsOf(node);
    const stored = (original: Tensor): Stored => {
      const tensor = place(original);
      if (tensor.node === node) {
        const sum = tensor.index === 0 ? absorbed.get(node)?.add.outputs[0] : undefined;
        const narrow = takesStored ? narrowOf(sum ?? tensor) : undefined;
        if (narrow) rounded.add(narrow);
        return { buffer: bufferOf(narrow ?? tensor), dtype: (narrow ?? tensor).dtype };
      }
      const source = sourceOf(tensor);
      return source === tensor
        ? { buffer: read(tensor), dtype: tensor.dtype }
        : { buffer: bufferOf(source), dtype: source.dtype };
    };
    /** A buffer; the sum that a call absorbs may read what is widened only after it. */
    const read = (tensor: Tensor): Buffer => {
      if (sourceOf(place(tensor)) !== place(tensor)) lower(place(tensor).node);
      return bufferOf(tensor);
    };
    const context: LoweringContext = {
      panelWidth: machine.device.panelWidth,
      threads: machine.device.threads,
      steady: options.steady,
      buffer: read,
      stored,
      isRounded: (tensor) => casts.has((tensor.index === 0 && absorbed.get(tensor.node)?.add.outputs[0]) || tensor),
      temporary: (name, bytes) => ({ name: `${labelOf(node)}/${name}`, bytes }),
      alias: (view, source) => void buffers.set(view, read(source)),
      emit(call) {
        calls.push({
          inPlace: [],
          flops,
          label: labelOf(node),
          after: node.again && afterOf(node.again.after),
          ...call,
        });
        if (call.flops === undefined) flops = 0;
      },
    };
    machine.implementationOf(node.op)?.lower(node, context, absorbed.get(node)?.addend);
  };
  for (const node of nodes) lower(node);
  return { calls, bufferOf };
}

/** The calls whose results somebody reads: a kernel may look past a call to what it was given, such as a weight that it rounds itself. */
function withoutUnread(calls: readonly Call[], wanted: ReadonlySet<Buffer>): Call[] {
  const read = new Set(wanted);
  const needed = calls.toReversed().filter((call) => {
    const isRead = writes(call).some(({ buffer }) => buffer.state !== undefined || read.has(buffer));
    if (isRead) for (const { buffer } of reads(call)) read.add(buffer);
    return isRead;
  });
  return needed.toReversed();
}

interface Absorbed {
  readonly add: Node;
  readonly addend: Tensor;
}

/** Nodes that take over an add: their kernel accumulates, the add is their only reader, the other operand is older. */
function findAbsorbed(
  nodes: readonly Node[],
  results: ReadonlySet<Tensor>,
  { implementationOf }: Machine,
  sourceOf: (tensor: Tensor) => Tensor,
): Map<Node, Absorbed> {
  const uses = new Map<Tensor, number>();
  for (const node of nodes) for (const input of node.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  const found = new Map<Node, Absorbed>();
  for (const add of nodes) {
    if (add.op !== addOperation) continue;
    const { a, b } = operandsOf(addOperation, add);
    for (const [sum, addend] of [
      [b, a],
      [a, b],
    ] as const) {
      const fitting = implementationOf(sum.node.op)?.accumulates && sum.index === 0 && uses.get(sum) === 1;
      if (fitting && !results.has(sum) && sourceOf(addend).node.id < sum.node.id && !found.has(sum.node)) {
        found.set(sum.node, { add, addend });
        break;
      }
    }
  }
  return found;
}

/** Roundings that the kernel which makes the value does, by that value. */
function findCasts(
  nodes: readonly Node[],
  absorbed: ReadonlyMap<Node, Absorbed>,
  { implementationOf }: Machine,
  narrowOf: (tensor: Tensor) => Tensor | undefined,
): Map<Tensor, Node> {
  const sums = new Set([...absorbed.values()].map(({ add }) => add));
  const found = new Map<Tensor, Node>();
  for (const maker of nodes) {
    const value = (absorbed.get(maker)?.add ?? maker).outputs[0];
    const narrow = value && !sums.has(maker) ? narrowOf(value) : undefined;
    if (value && narrow && implementationOf(maker.op)?.rounds?.(maker)) found.set(value, narrow.node);
  }
  return found;
}

function labelOf(node: Node): string {
  return node.scope === "" ? node.op.name : `${node.scope}:${node.op.name}`;
}
