// Question: in which order do calls run, and where must the threads wait for each other?
//
// Greedy list scheduling. A group starts with the first call that is left; later calls over the same
// domain join it when everything they need is done or lies in the group on the same rows (a chain).
// What cannot join waits for its own group. A group opens a new phase (a barrier) only when it needs
// a result of the current one. Calls that need nothing but state (weight packing) are hoisted into
// the phase before their first use, so they never cut a chain, unless they are to stay in one. Calls that shrink their inputs
// (reductions, weight gradients) run as early as they can: they free memory and fill idle threads.
// Lazy calls do the opposite and join the chain of their first reader. What is computed again waits for
// the phase after the gradient that asks for it. Repeated calls are not placed: see repeated.ts.

import type { Device } from "../device.ts";
import { type Buffer, type Call, type Group, type Operand, type Phase, reads, writes } from "./calls.ts";
import { hideRepeated } from "./repeated.ts";

interface OpenGroup {
  domain: number | undefined;
  grain: number;
  readonly calls: Call[];
  readonly written: Map<Buffer, Operand>;
}

/**
 * @param all the calls, each after those it reads from
 * @param kept buffers that outlive the program
 */
export function schedule(
  all: readonly Call[],
  { rowTile, elementBlock }: Pick<Device, "rowTile" | "elementBlock">,
  kept: ReadonlySet<Buffer> = new Set(),
): Phase[] {
  const { calls, reveal } = hideRepeated(all, rowTile, kept);
  const producer = new Map<Buffer, Call>();
  for (const call of calls) for (const { buffer } of writes(call)) producer.set(buffer, call);

  const phaseOf = new Map<Call, number>();
  const phases: OpenGroup[][] = [];
  const isRoot = (call: Call): boolean => !call.stays && reads(call).every(({ buffer }) => !producer.has(buffer));
  const roots = new Set(calls.filter(isRoot));
  const inner = calls.filter((call) => !roots.has(call));
  const left = new Set([...inner.filter(({ lazy }) => !lazy), ...inner.filter(({ lazy }) => lazy)]);
  const shrinking = new Set(inner.filter((call) => !call.lazy && shrinks(call, rowTile)));

  const place = (group: OpenGroup, phase: number): void => {
    (phases[phase] ??= []).push(group);
    for (const call of group.calls) phaseOf.set(call, phase);
  };
  const dependencies = (call: Call): Call[] =>
    [...reads(call).map(({ buffer }) => buffer), ...(call.after ? [call.after] : [])].flatMap(
      (buffer) => producer.get(buffer) ?? [],
    );

  /** Whether a buffer is written in an earlier phase, or will be. */
  const placed = (buffer: Buffer): boolean => {
    const source = producer.get(buffer);
    return !source || roots.has(source) || phaseOf.has(source);
  };

  const placeShrinking = (): void => {
    for (const call of shrinking) {
      const needs = dependencies(call);
      if (!needs.every((need) => phaseOf.has(need))) continue;
      const phase = Math.max(...needs.map((need) => phaseOf.get(need)!)) + 1;
      if (phase >= phases.length) continue;
      place(open([call]), phase);
      shrinking.delete(call);
      left.delete(call);
    }
  };

  /** What must join a group for a call to join it: the lazy calls it asks for, then itself; undefined when it cannot. */
  const company = (call: Call, group: OpenGroup): Call[] | undefined => {
    if (!fits(call, group, rowTile) || (call.after && !placed(call.after))) return undefined;
    const asked: Call[] = [];
    for (const { buffer, aligned } of reads(call)) {
      const inGroup = group.written.get(buffer);
      if (inGroup ? inGroup.aligned && aligned : placed(buffer)) continue;
      const source = producer.get(buffer)!;
      const rows = group.domain !== undefined && source.domain === group.domain;
      if (inGroup || !source.lazy || !rows || !aligned || !writesAligned(source, buffer)) return undefined;
      const others = company(source, group);
      if (!others) return undefined;
      asked.push(...others);
    }
    return [...new Set([...asked, call])];
  };

  /** The calls that have no place yet and that a call needs, those that need none of the others first. */
  const missing = (call: Call): Call[] => {
    const depths = new Map<Call, number>();
    const depthOf = (other: Call): number => {
      const known = depths.get(other);
      if (known !== undefined) return known;
      const depth = Math.max(
        0,
        ...dependencies(other)
          .filter(isMissing)
          .map((need) => 1 + depthOf(need)),
      );
      depths.set(other, depth);
      return depth;
    };
    for (const need of dependencies(call)) if (isMissing(need)) depthOf(need);
    return [...depths].sort(([, a], [, b]) => a - b).map(([other]) => other);
  };
  const isMissing = (call: Call): boolean => !roots.has(call) && !phaseOf.has(call);

  const start = (first: Call): void => {
    // Only what is lazy can be missing: it opens the group, or has one of its own before.
    const group = open([]);
    if (first.domain !== undefined && first.grain === rowTile) group.domain = first.domain;
    group.grain = first.grain;
    let members = company(first, group);
    if (!members) {
      for (const call of missing(first)) if (!phaseOf.has(call)) start(call);
      if (!left.has(first)) return; // it joined one of them
      members = [first];
    }
    for (const call of members) join(call, group);
    for (const call of left) {
      if (call.lazy || group.calls.includes(call) || !reads(call).some(({ buffer }) => group.written.has(buffer)))
        continue;
      for (const member of company(call, group) ?? []) join(member, group);
    }
    for (const call of group.calls) {
      left.delete(call);
      shrinking.delete(call);
    }

    const own = new Set(group.calls);
    const outside = group.calls.flatMap(dependencies).filter((call) => !own.has(call));
    const unplacedRoots = new Set(outside.filter((call) => roots.has(call) && !phaseOf.has(call)));
    const current = Math.max(phases.length - 1, 0);
    const last = Math.max(-1, ...outside.map((call) => phaseOf.get(call) ?? -1));
    let phase = last >= current ? last + 1 : current;
    if (phase === 0 && unplacedRoots.size > 0) phase = 1;
    for (const root of unplacedRoots) place(open([root]), phase - 1);
    place(group, phase);
  };

  for (const first of left) {
    placeShrinking();
    if (left.has(first)) start(first);
  }
  for (const root of roots) if (!phaseOf.has(root)) place(open([root]), Math.max(phases.length - 1, 0));
  return phases.map((groups) => groups.map((group) => reveal(close(group, elementBlock))));
}

/** Whether a call that cannot join a chain of rows writes much less than it reads. */
function shrinks(call: Call, rowTile: number): boolean {
  const bytes = (operands: Operand[]): number => operands.reduce((sum, { buffer }) => sum + buffer.bytes, 0);
  return call.grain !== rowTile && bytes(writes(call)) * 2 <= bytes(reads(call));
}

function writesAligned(call: Call, buffer: Buffer): boolean {
  return writes(call).some((operand) => operand.buffer === buffer && operand.aligned);
}

function open(calls: readonly Call[]): OpenGroup {
  const group: OpenGroup = { domain: undefined, grain: calls[0]?.grain ?? 1, calls: [], written: new Map() };
  for (const call of calls) join(call, group);
  return group;
}

function join(call: Call, group: OpenGroup): void {
  if (group.domain === undefined && call.domain !== undefined) {
    group.domain = call.domain;
    group.grain = call.grain;
  }
  group.calls.push(call);
  for (const operand of writes(call)) group.written.set(operand.buffer, operand);
}

/** Only tiles of rows chain; elementwise calls take any domain that divides all their buffers into whole floats. */
function fits(call: Call, group: OpenGroup, rowTile: number): boolean {
  if (group.domain !== undefined && group.grain !== rowTile) return false;
  if (call.domain === undefined) return group.domain === undefined ? sameCut(call, group) : divides(group.domain, call);
  if (call.grain !== rowTile) return group.calls.length === 0 && group.domain === undefined;
  if (group.domain !== undefined) return call.domain === group.domain;
  return group.calls.every((member) => divides(call.domain!, member));
}

function divides(domain: number, call: Call): boolean {
  return call.operands.every((operand) => !operand?.aligned || operand.buffer.bytes % (4 * domain) === 0);
}

function elements(call: Call): number {
  return call.elements ?? writes(call)[0]!.buffer.bytes / 4;
}

function sameCut(call: Call, group: OpenGroup): boolean {
  return group.calls.every((member) => elements(member) === elements(call));
}

function close({ domain, grain, calls }: OpenGroup, elementBlock: number): Group {
  if (domain !== undefined) return { domain, grain, calls };
  return { domain: Math.ceil(elements(calls[0]!) / elementBlock), grain: 1, calls };
}
