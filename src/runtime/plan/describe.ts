// Question: what did the compiler decide?
// A plan as text: what runs in which phase, and what lives where in the arena.

import { alignCells } from "../../basics/table.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Buffer, Phase } from "./calls.ts";
import type { MemoryPlan } from "./memory.ts";

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

/**
 * The numbers of a plan.
 *
 * @param phases `WasmProgram.plan.phases`
 * @param memory `WasmProgram.plan.memory`
 */
export function summarise(phases: readonly Phase[], memory: MemoryPlan): PlanSummary {
  const groups = phases.flat();
  const calls = groups.flatMap((group) => group.calls);
  const buffers = new Set(calls.flatMap((call) => call.operands.flatMap((operand) => operand?.buffer ?? [])));
  const states = [...buffers].filter(({ state }) => state !== undefined);
  const total = (list: Iterable<Buffer>): number => [...list].reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    phases: phases.length,
    groups: groups.length,
    calls: calls.length,
    flops: calls.reduce((sum, call) => sum + call.flops, 0),
    arenaBytes: memory.arenaBytes,
    localBuffers: memory.locals.size,
    stateBytes: states.reduce((sum, { state }) => sum + 4 * sizeOf(state!.shape), 0),
    unsharedBytes: total(buffers) - total(states),
  };
}

/**
 * A table of the arena: MiB, offset in MiB, life in phases, name; largest first.
 *
 * @param memory `WasmProgram.plan.memory`
 * @param rows how many buffers at most; all unless given
 */
export function describeMemory(memory: MemoryPlan, rows: number = Number.POSITIVE_INFINITY): string {
  const entries = [...memory.lives].sort(([a], [b]) => b.bytes - a.bytes).slice(0, rows);
  const lines = entries.map(([buffer, { first, last }]) => [
    mebibytes(buffer.bytes),
    mebibytes(memory.offsets.get(buffer)!),
    `${first}-${Number.isFinite(last) ? last : "end"}`,
    buffer.name,
  ]);
  return table([["MiB", "offset", "phases", "buffer"], ...lines]);
}

/**
 * A table of the schedule: one line a group, calls of a chain joined.
 *
 * @param phases `WasmProgram.plan.phases`
 */
export function describeSchedule(phases: readonly Phase[]): string {
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
