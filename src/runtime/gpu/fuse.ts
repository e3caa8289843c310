// Question: which kernels does a plan become on a GPU?
//
// A kernel for each call, but a chain of elementwise calls becomes one: each thread computes one element of all of
// them, and a result that nobody else reads is never stored.

import { type Buffer, type Call, type CompiledPlan, reads, writes } from "../plan/calls.ts";
import type { ElementWork, GpuWork, IndexCheck, KernelWork } from "./work.ts";
import { WIDTH } from "./rows.ts";

/** A kernel and what it is called with; W is work of one machine alone, which stays as it is. */
export interface Dispatch<W extends OwnWork = never> {
  readonly label: string;
  readonly kernel: KernelWork | W;
  /** In the order of the kernel's operands. */
  readonly buffers: readonly Buffer[];
  readonly written: ReadonlySet<Buffer>;
  readonly calls: readonly Call[];
  readonly check?: IndexCheck;
}

/** Work of a kind that only one machine has. */
export interface OwnWork {
  readonly kind: string;
}

/**
 * @param plan of a machine that `gpuMachine` made
 * @param mostOperands how many buffers a kernel may have
 */
export function dispatchesOf<W extends OwnWork = never>(plan: CompiledPlan, mostOperands: number): Dispatch<W>[] {
  const readers = new Map<Buffer, Set<Call>>();
  for (const call of plan.calls) {
    for (const { buffer } of reads(call)) {
      const found = readers.get(buffer);
      if (found) found.add(call);
      else readers.set(buffer, new Set([call]));
    }
  }
  const kept = new Set(plan.outputs.values());
  /** Whether a result must lie in memory when these calls have run. */
  const stored = (buffer: Buffer, own: readonly Call[]): boolean =>
    kept.has(buffer) ||
    plan.arena.sharing.get(buffer)?.state !== undefined ||
    [...(readers.get(buffer) ?? [])].some((reader) => !own.includes(reader));
  return plan.phases
    .flat()
    .flatMap((group) => partition(group.calls, mostOperands, stored))
    .map((calls): Dispatch<W> => {
      const [first] = calls;
      if (first === undefined) throw new Error("dispatchesOf: a part without calls is given.");
      const work: GpuWork | W = workOf(first);
      if (isElements(work)) return fused(calls, (buffer) => stored(buffer, calls));
      const buffers = first.operands.flatMap((operand) => operand?.buffer ?? []);
      const written = new Set(writes(first).map(({ buffer }) => buffer));
      const check = "check" in work ? work.check : undefined;
      return { label: first.label, kernel: work, buffers, written, calls, ...(check && { check }) };
    });
}

function workOf({ work, label }: Call): GpuWork {
  if (work && "kind" in work) return work as GpuWork;
  throw new Error(`dispatchesOf: ${label} has no work for a GPU.`);
}

const isElements = (work: OwnWork): work is ElementWork => work.kind === "elements";

type Stored = (buffer: Buffer, own: readonly Call[]) => boolean;

/** Calls in order, cut where a kernel ends: elementwise calls of one size stay together while their buffers suffice. */
function partition(calls: readonly Call[], mostOperands: number, stored: Stored): (readonly Call[])[] {
  const parts: (readonly Call[])[] = [];
  for (const call of calls) {
    const last = parts.at(-1);
    const joined = last && sizeOfElements(last[0]) === sizeOfElements(call) ? [...last, call] : undefined;
    if (joined && sizeOfElements(call) !== undefined && countOperands(joined, stored) <= mostOperands)
      parts[parts.length - 1] = joined;
    else parts.push([call]);
  }
  return parts;
}

/** How many elements the work is cut into; undefined for other work. */
function sizeOfElements(call: Call | undefined): number | undefined {
  const work = call && workOf(call);
  return work?.kind === "elements" ? work.size : undefined;
}

/** The buffers that a kernel of these calls needs: what it is given, and what it stores. */
function countOperands(calls: readonly Call[], stored: Stored): number {
  const made = new Set(calls.flatMap(writes).map(({ buffer }) => buffer));
  const given = calls.flatMap(reads).filter(({ buffer, aligned }) => !aligned || !made.has(buffer));
  return new Set([...given.map(({ buffer }) => buffer), ...[...made].filter((buffer) => stored(buffer, calls))]).size;
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
