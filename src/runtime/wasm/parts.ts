// Question: where may a program be cut, and what is done at each cut?
//
// At barriers between phases: the groups of a part are a program of their own, a header that points to the same groups.
// A state is done when the last phase that writes to it is, and so is a value that is to be looked at.

import { stateOf } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { type Buffer, type CompiledPlan, writes } from "../plan/calls.ts";
import type { ProgramSpec } from "../program.ts";
import { HEADER_WORDS } from "./encode.ts";

/** A row of phases. */
export interface Cut {
  /** The first group, and the one after the last, counted through all phases. */
  readonly groups: readonly [first: number, end: number];
  readonly updated: readonly Tensor[];
  /** Indices of the passing values that it makes. */
  readonly passing: readonly number[];
}

/** So many phases at most are one part: messages want to be looked after about every millisecond. */
const MOST_PHASES = 4;

/** The parts of a plan: each ends where a state is done, or after a few phases. */
export function cutPlan(
  { phases, arena, bufferOf }: CompiledPlan,
  { updates = [], passing = [] }: Pick<ProgramSpec, "updates" | "passing">,
): Cut[] {
  const lastWritten = new Map<Buffer, number>();
  phases.forEach((groups, phase) => {
    for (const { calls } of groups)
      for (const call of calls)
        for (const { buffer } of writes(call)) lastWritten.set(arena.sharing.get(buffer) ?? buffer, phase);
  });
  const endOf = (tensor: Tensor): number => {
    const buffer = bufferOf(tensor);
    return lastWritten.get(arena.sharing.get(buffer) ?? buffer) ?? 0;
  };
  const ends = updates.map(([state]) => (stateOf(state) ? endOf(state) : 0));
  const passed = passing.map(endOf);
  const cuts: Cut[] = [];
  let [first, end, since] = [0, 0, 0];
  phases.forEach((groups, phase) => {
    end += groups.length;
    since++;
    const updated = updates.flatMap(([state], index) => (ends[index] === phase ? [state] : []));
    const made = passed.flatMap((end, index) => (end === phase ? [index] : []));
    if (updated.length + made.length === 0 && since < MOST_PHASES && phase < phases.length - 1) return;
    cuts.push({ groups: [first, end], updated, passing: made });
    [first, since] = [end, 0];
  });
  return cuts;
}

/** Words of the headers of all parts. */
export const partWords = (cuts: readonly Cut[]): number =>
  cuts.reduce((sum, { groups: [first, end] }) => sum + HEADER_WORDS + end - first, 0);

/**
 * Write a header for each part.
 *
 * @param program the program's own words
 * @param into room for `partWords`
 * @returns where each lies in `into`, in words
 */
export function writeParts(cuts: readonly Cut[], program: Int32Array, into: Int32Array): number[] {
  let next = 0;
  return cuts.map(({ groups: [first, end] }) => {
    const at = next;
    into[at] = end - first;
    into.set(program.subarray(HEADER_WORDS + first, HEADER_WORDS + end), at + HEADER_WORDS);
    next += HEADER_WORDS + end - first;
    return at;
  });
}
