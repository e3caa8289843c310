// Question: how does a graph become a list of kernel calls?
//
// Nodes are lowered in order of construction. One fusion happens here: add(x, f(...)) where f's kernel
// can accumulate becomes one call that starts from x, so residual sums and gradient sums cost nothing.

import { addOperation } from "../../ops/elementwise.ts";
import { stateOf } from "../../graph/state.ts";
import { ancestors, byteSize, flopsOf, type Node, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, Call, Phase } from "../plan/calls.ts";
import { type MemoryPlan, planMemory } from "../plan/memory.ts";
import { schedule } from "../plan/schedule.ts";
import type { ProgramSpec } from "../program.ts";
import type { LoweringContext } from "./lowering.ts";
import { implementations } from "./ops/table.ts";

export interface CompiledPlan {
  readonly phases: readonly Phase[];
  readonly memory: MemoryPlan;
  readonly outputs: ReadonlyMap<string, Buffer>;
  /** Where a tensor of the graph is. */
  bufferOf(tensor: Tensor): Buffer;
}

export interface CompileOptions {
  readonly panelWidth: number;
  readonly threads: number;
  /** Keep every buffer to the end of the program, so that each can be looked at. */
  readonly keepAll?: boolean;
  /** The buffer of a state tensor, the same for all programs of a runtime. */
  stateBuffer(tensor: Tensor): Buffer;
}

export function compilePlan(spec: ProgramSpec, options: CompileOptions): CompiledPlan {
  const { calls, bufferOf } = lowerGraph(spec, options);
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
  const outputs = new Map(Object.entries(spec.outputs).map(([name, tensor]) => [name, unchanged(bufferOf(tensor))]));
  const updates = new Map(changed.map(([state, value]) => [state, unchanged(value)]));
  for (const [state, copy] of snapshots) calls.push(copyCall(`copy ${state.name}`, state, copy));

  const kept = new Set(outputs.values());
  if (options.keepAll)
    for (const call of calls) for (const operand of call.operands) if (operand) kept.add(operand.buffer);

  const phases = schedule(calls, new Set([...kept, ...updates.values()]));
  let memory = planMemory(phases, kept, options.keepAll ? new Map() : updates);
  const copies = [...updates].filter(([state, value]) => memory.sharing.get(value) !== state);
  if (copies.length > 0) {
    phases.push(
      copies.map(([state, value]) => ({
        domain: 1,
        grain: 1,
        calls: [copyCall(`update ${state.name}`, value, state)],
      })),
    );
    memory = planMemory(phases, kept, updates);
  }
  return { phases, memory, outputs, bufferOf };
}

function lowerGraph(spec: ProgramSpec, options: CompileOptions): { calls: Call[]; bufferOf(tensor: Tensor): Buffer } {
  const results = [...Object.values(spec.outputs), ...(spec.updates ?? []).map(([, value]) => value)];
  const nodes = ancestors([...results, ...(spec.updates ?? []).map(([state]) => state)]);
  const absorbed = findAbsorbed(nodes, new Set(results));
  const buffers = new Map<Tensor, Buffer>();
  const calls: Call[] = [];

  const bufferOf = (tensor: Tensor): Buffer => {
    const sum = absorbed.get(tensor.node);
    if (sum && tensor.index === 0) return bufferOf(sum.add.outputs[0]!);
    let buffer = buffers.get(tensor);
    if (!buffer) {
      buffer = stateOf(tensor) ? options.stateBuffer(tensor) : { name: labelOf(tensor.node), bytes: byteSize(tensor) };
      buffers.set(tensor, buffer);
    }
    return buffer;
  };

  const adds = new Set([...absorbed.values()].map(({ add }) => add));
  for (const node of nodes) {
    const [first] = node.outputs;
    if ((first && stateOf(first)) || adds.has(node)) continue;
    const rule = implementations.get(node.op);
    if (!rule) throw new Error(`compile: the CPU runtime has no kernel for ${labelOf(node)}.`);
    let flops = flopsOf(node);
    const context: LoweringContext = {
      panelWidth: options.panelWidth,
      threads: options.threads,
      buffer: bufferOf,
      temporary: (name, bytes) => ({ name: `${labelOf(node)}/${name}`, bytes }),
      alias: (view, source) => void buffers.set(view, bufferOf(source)),
      emit(call) {
        calls.push({
          inPlace: [],
          flops,
          label: labelOf(node),
          after: node.again && bufferOf(node.again.after),
          ...call,
        });
        if (call.flops === undefined) flops = 0;
      },
    };
    rule.lower(node, context, absorbed.get(node)?.addend);
  }
  return { calls, bufferOf };
}

interface Absorbed {
  readonly add: Node;
  readonly addend: Tensor;
}

/** Nodes that take over an add: their kernel accumulates, the add is their only reader, the other operand is older. */
function findAbsorbed(nodes: readonly Node[], results: ReadonlySet<Tensor>): Map<Node, Absorbed> {
  const uses = new Map<Tensor, number>();
  for (const node of nodes) for (const input of node.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  const found = new Map<Node, Absorbed>();
  for (const add of nodes) {
    if (add.op.name !== addOperation.name) continue;
    const [a, b] = add.inputs as [Tensor, Tensor];
    for (const [sum, addend] of [
      [b, a],
      [a, b],
    ] as const) {
      const fitting = implementations.get(sum.node.op)?.accumulates && sum.index === 0 && uses.get(sum) === 1;
      if (fitting && !results.has(sum) && addend.node.id < sum.node.id && !found.has(sum.node)) {
        found.set(sum.node, { add, addend });
        break;
      }
    }
  }
  return found;
}

function labelOf(node: Node): string {
  return node.scope === "" ? node.op.name : `${node.scope}:${node.op.name}`;
}

function copyCall(label: string, from: Buffer, to: Buffer): Call {
  return {
    kernel: "copy",
    label,
    domain: 1,
    grain: 1,
    inPlace: [],
    flops: 0,
    operands: [
      { buffer: from, access: "read", aligned: false },
      { buffer: to, access: "write", aligned: false },
    ],
    words: [{ i32: from.bytes }],
  };
}
