// Question: which kernels does a plan become on a GPU?
//
// A kernel for each call, but a chain of elementwise calls becomes one: each thread computes one element of all of
// them, and a result that nobody else reads is never stored.

import type { Buffer, Call, CompiledPlan } from "../plan/calls.ts";
import type { ElementWork, GpuWork, IndexCheck, KernelWork } from "./work.ts";
import { WIDTH } from "./rows.ts";

/** A kernel and what it is called with. */
export interface Dispatch {
  readonly label: string;
  readonly kernel: KernelWork;
  /** In the order of the kernel's operands. */
  readonly buffers: readonly Buffer[];
  readonly written: ReadonlySet<Buffer>;
  readonly calls: readonly Call[];
  readonly check?: IndexCheck;
}

/**
 * @param plan of a machine that `gpuMachine` made
 * @param mostOperands how many buffers a kernel may have
 */
export function dispatchesOf(plan: CompiledPlan, mostOperands: number): Dispatch[] {
  const groups = plan.phases.flat().flatMap((group) => partition(group.calls, mostOperands));
  const readers = new Map<Buffer, Set<readonly Call[]>>();
  for (const group of groups) {
    for (const { operands } of group) {
      for (const operand of operands) {
        if (operand?.access !== "read") continue;
        const found = readers.get(operand.buffer);
        if (found) found.add(group);
        else readers.set(operand.buffer, new Set([group]));
      }
    }
  }
  const kept = new Set(plan.outputs.values());
  return groups.map((group) => {
    const [first] = group;
    if (first === undefined) throw new Error("dispatchesOf: a group without calls is given.");
    const work = workOf(first);
    if (work.kind === "elements") {
      const stored = (buffer: Buffer): boolean =>
        kept.has(buffer) ||
        plan.arena.sharing.get(buffer)?.state !== undefined ||
        [...(readers.get(buffer) ?? [])].some((reader) => reader !== group);
      return fused(group, stored);
    }
    const buffers = first.operands.flatMap((operand) => operand?.buffer ?? []);
    const written = new Set(first.operands.flatMap((operand) => (operand?.access === "write" ? operand.buffer : [])));
    const { check } = work;
    return { label: first.label, kernel: work, buffers, written, calls: group, ...(check && { check }) };
  });
}

function workOf({ work, label }: Call): GpuWork {
  if (work && "kind" in work) return work as GpuWork;
  throw new Error(`dispatchesOf: ${label} has no work for a GPU.`);
}

/** Calls in order, cut where a kernel ends: elementwise calls of one size stay together. */
function partition(calls: readonly Call[], mostOperands: number): (readonly Call[])[] {
  const parts: Call[][] = [];
  let buffers = new Set<Buffer>();
  for (const call of calls) {
    const last = parts.at(-1);
    const own = call.operands.flatMap((operand) => operand?.buffer ?? []);
    const together = new Set([...buffers, ...own]);
    const work = workOf(call);
    const before = last?.[0] && workOf(last[0]);
    const joins =
      last &&
      before?.kind === "elements" &&
      work.kind === "elements" &&
      before.size === work.size &&
      together.size <= mostOperands;
    if (joins) last.push(call);
    else parts.push([call]);
    buffers = joins ? together : new Set(own);
  }
  return parts;
}

/** One kernel for elementwise calls of one size. */
function fused(calls: readonly Call[], stored: (buffer: Buffer) => boolean): Dispatch {
  const names = new Map<Buffer, { name: string; type: ElementWork["type"] }>();
  const nameOf = (buffer: Buffer, type: ElementWork["type"]): string => {
    const known = names.get(buffer);
    if (known) return known.name;
    const name = `p${names.size}`;
    names.set(buffer, { name, type });
    return name;
  };
  const results = new Map<Buffer, string>();
  const functions = new Set<string>();
  const written = new Set<Buffer>();
  const lines: string[] = [];
  let size = 0;
  for (const [at, call] of calls.entries()) {
    const work = workOf(call);
    if (work.kind !== "elements") throw new Error(`fused: ${call.label} is not elementwise.`);
    size = work.size;
    for (const text of work.functions) functions.add(text);
    const loads = work.reads.map(({ name, type, index }, k) => {
      const { buffer } = call.operands[k]!;
      const known = index === "i" ? results.get(buffer) : undefined;
      return `let ${name}: ${type} = ${known ?? `${nameOf(buffer, type)}[${index}]`};`;
    });
    const { buffer } = call.operands[work.reads.length]!;
    const result = `r${at}`;
    lines.push(`    var ${result}: ${work.type};`, `    { ${[...loads, `${result} = ${work.value};`].join(" ")} }`);
    results.set(buffer, result);
    if (!stored(buffer)) continue;
    written.add(buffer);
    lines.push(`    ${nameOf(buffer, work.type)}[i] = ${result};`);
  }
  const labels = [...new Set(calls.map(({ label }) => label))];
  return {
    label: labels.length > 1 ? `${labels[0]} to ${labels.at(-1)}` : (labels[0] ?? ""),
    kernel: {
      kind: "kernel",
      operands: [...names.values()],
      functions: [...functions],
      body: `
  let i: u32 = group * ${WIDTH}u + lane;
  if (i < ${size}u) {
${lines.join("\n")}
  }`,
      width: WIDTH,
      groups: Math.ceil(size / WIDTH),
    },
    buffers: [...names.keys()],
    written,
    calls,
  };
}
