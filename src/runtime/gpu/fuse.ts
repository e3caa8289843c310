// Question: which kernels does a plan become on a GPU?
//
// A kernel for each call, but a chain of elementwise calls becomes one: each thread computes one element of all of
// them, and a result that nobody else reads is never stored. And calls of one phase whose bodies are the same but for
// a few numbers, such as AdamW of every parameter, become one kernel with many members.

import { type Buffer, type Call, type CompiledPlan, reads, writes } from "../plan/calls.ts";
import type { ElementWork, GpuWork, IndexCheck, KernelWork, ManyWork } from "./work.ts";
import { functionsFor } from "./functions.ts";
import { WIDTH } from "./rows.ts";

/** A kernel and what it is called with; W is work of one machine alone, which stays as it is. */
export interface Dispatch<W extends OwnWork = never> {
  readonly label: string;
  readonly kernel: KernelWork | W;
  /** In the order of the kernel's operands; of all members, where there are some. */
  readonly buffers: readonly Buffer[];
  readonly written: ReadonlySet<Buffer>;
  readonly calls: readonly Call[];
  readonly check?: IndexCheck;
  /**
   * The sets of operands that the kernel works on, one after the other: the first `groups` groups are the first
   * member's. The body knows the numbers of the member, and `group` counts its own groups.
   */
  readonly members?: readonly Member[];
}

export interface Member {
  /** In the order of the kernel's operands. */
  readonly buffers: readonly Buffer[];
  readonly numbers: Readonly<Record<string, number>>;
  readonly groups: number;
}

/** Work of a kind that only one machine has. */
export interface OwnWork {
  readonly kind: string;
}

/** What becomes a kernel, alone or with others. */
interface Part<W extends OwnWork> extends Omit<Dispatch, "kernel" | "members"> {
  readonly work: KernelWork | ManyWork | W;
}

export interface DispatchOptions {
  /** Whether calls with the same body become members of one kernel. Default true. */
  readonly joins?: boolean;
}

/**
 * @param plan of a machine that `gpuMachine` made
 * @param mostOperands how many buffers a kernel may have
 */
export function dispatchesOf<W extends OwnWork = never>(
  plan: CompiledPlan,
  mostOperands: number,
  { joins = true }: DispatchOptions = {},
): Dispatch<W>[] {
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
  const partOf = (calls: readonly Call[]): Part<W> => {
    const [first] = calls;
    if (first === undefined) throw new Error("dispatchesOf: a part without calls is given.");
    const work: GpuWork | W = workOf(first);
    if (isElements(work)) return fused(calls, (buffer) => stored(buffer, calls));
    const buffers = first.operands.flatMap((operand) => operand?.buffer ?? []);
    const written = new Set(writes(first).map(({ buffer }) => buffer));
    const check = "check" in work ? work.check : undefined;
    return { label: first.label, work, buffers, written, calls, ...(check && { check }) };
  };
  const distinct = ({ buffers }: Part<W>): number =>
    new Set(buffers.map((buffer) => plan.arena.sharing.get(buffer) ?? buffer)).size;
  /** What the calls of one kernel have in common; undefined for what cannot join others. */
  const common = (part: Part<W>): string | undefined => {
    const { work } = part;
    // The table of places takes a buffer, too.
    if (!joins || !isMany(work) || distinct(part) >= mostOperands) return undefined;
    const { operands, functions, body, width } = work;
    const types = new Set(operands.map(({ type }) => type));
    return types.size > 1 ? undefined : JSON.stringify([operands, functions, body, width]);
  };
  return plan.phases.flatMap((groups) => {
    const kernels: Part<W>[][] = [];
    const joined = new Map<string, Part<W>[]>();
    for (const group of groups) {
      const parts = partition(group.calls, mostOperands, stored).map(partOf);
      for (const part of parts) {
        // A part that follows others of its chain waits for them.
        const key = parts.length === 1 ? common(part) : undefined;
        const others = key === undefined ? undefined : joined.get(key);
        if (others) others.push(part);
        else {
          const own = [part];
          kernels.push(own);
          if (key !== undefined) joined.set(key, own);
        }
      }
    }
    return kernels.map((parts) => {
      const [first] = parts as [Part<W>];
      const crowded = joins && isMany(first.work) && distinct(first) > mostOperands;
      return parts.length > 1 || crowded ? together(parts) : alone(first);
    });
  });
}

/** The kernel of a part, with its numbers as constants. */
function alone<W extends OwnWork>({ work, ...part }: Part<W>): Dispatch<W> {
  if (!isMany(work)) return { ...part, kernel: work };
  const { numbers, operands, functions, width, groups } = work;
  const constants = Object.entries(numbers).map(([name, value]) => `\n  let ${name}: u32 = ${value}u;`);
  const body = `${constants.join("")}${work.body}`;
  return { ...part, kernel: { kind: "kernel", operands, functions, body, width, groups } };
}

/** One kernel for parts with the same body. */
function together<W extends OwnWork>(parts: readonly Part<W>[]): Dispatch<W> {
  const works = parts.map(({ work }) => work).filter(isMany);
  const [work, part] = [works[0], parts[0]];
  if (!work || !part) throw new Error("together: work that cannot be joined is given.");
  const { operands, functions, body, width } = work;
  const groups = works.reduce((sum, member) => sum + member.groups, 0);
  return {
    label: parts.length > 1 ? `${part.label} and ${parts.length - 1} more` : part.label,
    kernel: { kind: "kernel", operands, functions, body, width, groups },
    buffers: parts.flatMap(({ buffers }) => buffers),
    written: new Set(parts.flatMap(({ written }) => [...written])),
    calls: parts.flatMap(({ calls }) => calls),
    members: works.map((member, at) => ({
      buffers: parts[at]?.buffers ?? [],
      numbers: member.numbers,
      groups: member.groups,
    })),
  };
}

function workOf({ work, label }: Call): GpuWork {
  if (work && "kind" in work) return work as GpuWork;
  throw new Error(`dispatchesOf: ${label} has no work for a GPU.`);
}

const isElements = (work: OwnWork): work is ElementWork => work.kind === "elements";
const isMany = (work: OwnWork): work is ManyWork => work.kind === "many";

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

/** What a value of an operand is in a kernel. */
const valueType = (type: ElementWork["type"]): string => (type === "bf16" ? "f32" : type);

/** One kernel for elementwise calls of one size. */
function fused(calls: readonly Call[], stored: (buffer: Buffer) => boolean): Part<never> {
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
  /** The narrow results that are stored, by the names of their words. */
  const words = new Map<string, string>();
  let size = 0;
  for (const [at, call] of calls.entries()) {
    const work = workOf(call);
    if (work.kind !== "elements") throw new Error(`fused: ${call.label} is not elementwise.`);
    size = work.size;
    for (const text of work.functions) functions.add(text);
    const loads = work.reads.map(({ name, type, index, narrow }, k) => {
      const { buffer } = call.operands[k]!;
      const known = index === "i" ? results.get(buffer) : undefined;
      if (known !== undefined) return `let ${name}: ${narrow ? "f32" : valueType(type)} = ${known};`;
      const from = nameOf(buffer, type);
      if (!narrow) return `let ${name}: ${valueType(type)} = ${from}[${index}];`;
      for (const text of functionsFor("widened(")) functions.add(text);
      return `let ${name}: f32 = widened(${from}[(${index}) / 2u], ${index});`;
    });
    const { buffer } = call.operands[work.reads.length]!;
    const result = `r${at}`;
    const type = work.narrow ? "f32" : valueType(work.type);
    lines.push(`    var ${result}: ${type};`, `    { ${[...loads, `${result} = ${work.value};`].join(" ")} }`);
    results.set(buffer, result);
    if (!stored(buffer)) continue;
    written.add(buffer);
    const name = nameOf(buffer, work.type);
    if (work.narrow) {
      words.set(`word${at}`, name);
      lines.push(`    word${at} = word${at} | ((bitcast<u32>(${result}) >> 16u) << (16u * half));`);
    } else lines.push(`    ${name}[i] = ${result};`);
  }
  const text = lines.join("\n");
  /** A thread makes both values of a word. */
  const inPairs = `
  let pair: u32 = group * ${WIDTH}u + lane;
  if (2u * pair < size) {
${[...words.keys()].map((word) => `    var ${word}: u32 = 0u;`).join("\n")}
    for (var half: u32 = 0u; half < 2u; half += 1u) {
    let i: u32 = 2u * pair + half;
    if (i < size) {
${text}
    }
    }
${[...words].map(([word, name]) => `    ${name}[pair] = ${word};`).join("\n")}
  }`;
  const one = `
  let i: u32 = group * ${WIDTH}u + lane;
  if (i < size) {
${text}
  }`;
  const labels = [...new Set(calls.map(({ label }) => label))];
  return {
    label: labels.length > 1 ? `${labels[0]} to ${labels.at(-1)}` : (labels[0] ?? ""),
    work: {
      kind: "many",
      operands: [...names.values()],
      functions: [...functions],
      numbers: { size },
      body: words.size > 0 ? inPairs : one,
      width: WIDTH,
      groups: Math.ceil((words.size > 0 ? Math.ceil(size / 2) : size) / WIDTH),
    },
    buffers: [...names.keys()],
    written,
    calls,
  };
}
