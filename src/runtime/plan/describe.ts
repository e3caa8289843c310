// Question: what did the compiler decide?
// A plan as text: what runs in which phase, and what lives where in the arena.

import { alignCells } from "../../basics/table.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Buffer, CompiledPlan } from "./calls.ts";

/** A plan in numbers: how much runs, between how many barriers, in how much memory. */
export interface PlanSummary {
  readonly phases: number;
  readonly groups: number;
  readonly calls: number;
  readonly flops: number;
  readonly arenaBytes: number;
  /** Buffers that live only within a chain, a tile of them in each thread's own memory. */
  readonly localBuffers: number;
  readonly stateBytes: number;
  /** Bytes all computed buffers would need without sharing. */
  readonly unsharedBytes: number;
}

/** The numbers of a plan, such as `program.plan`. */
export function summarise({ phases, calls, arena }: CompiledPlan): PlanSummary {
  const buffers = new Set(calls.flatMap((call) => call.operands.flatMap((operand) => operand?.buffer ?? [])));
  const states = [...buffers].flatMap(({ state }) => state ?? []);
  const total = (list: readonly Buffer[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    phases: phases.length,
    groups: phases.flat().length,
    calls: calls.length,
    flops: calls.reduce((sum, call) => sum + call.flops, 0),
    arenaBytes: arena.bytes,
    localBuffers: arena.locals.size,
    stateBytes: states.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0),
    unsharedBytes: total([...buffers].filter(({ state }) => state === undefined)),
  };
}

/**
 * A table of the arena: MiB, offset in MiB, life in phases, name; largest first.
 *
 * @param plan such as `program.plan`
 * @param rows how many buffers at most; all unless given
 */
export function describeArena({ arena }: CompiledPlan, rows: number = Number.POSITIVE_INFINITY): string {
  const entries = [...arena.lives].sort(([a], [b]) => b.bytes - a.bytes).slice(0, rows);
  const lines = entries.map(([buffer, { first, last }]) => [
    mebibytes(buffer.bytes),
    mebibytes(arena.offsets.get(buffer) ?? 0),
    `${first}-${Number.isFinite(last) ? last : "end"}`,
    buffer.name,
  ]);
  return table([["MiB", "offset", "phases", "buffer"], ...lines]);
}

/**
 * A table of the schedule: one line a group, calls of a chain joined.
 *
 * @param plan such as `program.plan`
 */
export function describeSchedule({ phases }: CompiledPlan): string {
  const lines = phases.flatMap((groups, phase) =>
    groups.map(({ domain, grain, calls }) => [
      String(phase),
      String(Math.ceil(domain / grain)),
      calls.map((call) => `${call.label}${call.label.endsWith(call.kernel) ? "" : `/${call.kernel}`}`).join(" → "),
    ]),
  );
  return table([["phase", "tasks", "calls"], ...lines]);
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(2);
}

/** Numbers right; the last column, which is text, left. */
function table(rows: readonly (readonly string[])[]): string {
  const last = Math.max(...rows.map((row) => row.length)) - 1;
  return alignCells(rows, (column) => (column === last ? "left" : "right")).join("\n");
}
