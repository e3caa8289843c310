// Question: where may a program be cut, and what is done at each cut?
//
// Between groups: those of a part are a program of their own, a header that points to the same groups. A part never
// reaches over a barrier. Within a phase groups are independent, so those that make what is looked at come first, in the
// order of the program's lists, and a cut follows when enough of it is there: it can be sent while the others compute. A
// state is done when the last group that writes to it is, and so is a value that is to be looked at.

import { stateOf } from "../../graph/state.ts";
import { byteSize, type Tensor } from "../../graph/tensor.ts";
import { type Buffer, type CompiledPlan, reads, writes } from "../plan/calls.ts";
import { type ProgramSpec, statesOf } from "../program.ts";
import { HEADER_WORDS } from "./encode.ts";

/** Some groups of one phase. */
export interface Cut {
  /** Their places in the plan, counted through all phases. */
  readonly groups: readonly number[];
  /** The parameters that they read. */
  readonly reads: readonly Tensor[];
  readonly updated: readonly Tensor[];
  /** Indices of the passing values that it makes. */
  readonly passing: readonly number[];
}

/** So many bytes that are made are worth a cut within a phase. */
const WORTH_BYTES = 2 ** 18;
/** The threads meet at a cut: each must have had so many tasks before one within a phase. */
const TASKS_EACH = 4;

/** What a group makes that is looked at. */
interface Made {
  readonly updated: Tensor[];
  readonly passing: number[];
  bytes: number;
  /** The first place of any of it in the program's lists. */
  place: number;
}

/** The parts of a plan, for so many threads. */
export function cutPlan({ phases, arena, bufferOf }: CompiledPlan, spec: ProgramSpec, threads: number): Cut[] {
  const { updates = [], passing = [] } = spec;
  const parameters = new Map(
    [...statesOf([spec])]
      .filter((state) => stateOf(state)!.kind === "parameter")
      .map((state) => [bufferOf(state), state]),
  );
  const readBy = phases.flat().map(({ calls }) => calls.flatMap(reads).map(({ buffer }) => parameters.get(buffer)));
  const lastWriter = new Map<Buffer, number>();
  for (const [index, { calls }] of phases.flat().entries())
    for (const call of calls)
      for (const { buffer } of writes(call)) lastWriter.set(arena.sharing.get(buffer) ?? buffer, index);
  const made = phases.flat().map((): Made => ({ updated: [], passing: [], bytes: 0, place: Infinity }));
  const madeWith = (tensor: Tensor, place: number): Made | undefined => {
    const buffer = bufferOf(tensor);
    const by = made[lastWriter.get(arena.sharing.get(buffer) ?? buffer) ?? 0];
    if (!by) return undefined;
    by.bytes += byteSize(tensor);
    by.place = Math.min(by.place, place);
    return by;
  };
  for (const [place, [state]] of updates.entries())
    (stateOf(state) ? madeWith(state, place) : made[0])?.updated.push(state);
  for (const [place, tensor] of passing.entries()) madeWith(tensor, place)?.passing.push(place);

  let next = 0;
  return phases.flatMap((groups) => {
    const ordered = groups
      .map((group) => ({ group, index: next++ }))
      .sort((a, b) => compare(made[a.index]!.place, made[b.index]!.place) || a.index - b.index);
    const cuts: number[][] = [];
    let [now, bytes, tasks]: [number[], number, number] = [[], 0, 0];
    for (const [place, { group, index }] of ordered.entries()) {
      const { domain, grain } = group;
      now.push(index);
      bytes += made[index]!.bytes;
      tasks += Math.ceil(domain / grain);
      const worthIt = bytes >= WORTH_BYTES && (threads === 1 || tasks >= TASKS_EACH * threads);
      if (!worthIt && place < ordered.length - 1) continue;
      cuts.push(now);
      [now, bytes, tasks] = [[], 0, 0];
    }
    return cuts.map((own) => ({
      groups: own,
      reads: [...new Set(own.flatMap((index) => readBy[index]!))].filter((state) => state !== undefined),
      updated: own.flatMap((index) => made[index]!.updated),
      passing: own.flatMap((index) => made[index]!.passing),
    }));
  });
}

/** Also of infinities. */
const compare = (a: number, b: number): number => (a === b ? 0 : a - b);

/** Words of the headers of all parts. */
export const partWords = (cuts: readonly Cut[]): number =>
  cuts.reduce((sum, { groups }) => sum + HEADER_WORDS + groups.length, 0);

/**
 * Write a header for each part.
 *
 * @param program the program's own words
 * @param into room for `partWords`
 * @returns where each lies in `into`, in words
 */
export function writeParts(cuts: readonly Cut[], program: Int32Array, into: Int32Array): number[] {
  let next = 0;
  return cuts.map(({ groups }) => {
    const at = next;
    // The host has a turn after each task (kernels/interpreter.ts).
    into.set([groups.length, 1, 0, 0, ...groups.map((index) => program[HEADER_WORDS + index]!)], at);
    next += HEADER_WORDS + groups.length;
    return at;
  });
}
