// Question: what is gained where the parameters stay the same from run to run?
//
// What calls prepare of parameters alone is kept by the machine (`prepare`), for all programs that need the same: those
// calls leave the program. And such programs have few rows, as a rule: a tile of rows is made smaller where there would
// be fewer tiles than threads, or an uneven number of them. No result of a row depends on its tile.

import { stateOf } from "../../graph/state.ts";
import type { Device } from "../device.ts";
import type { ProgramSpec } from "../program.ts";
import { type Buffer, type Call, type Group, type Phase, reads, writes } from "./calls.ts";

/** Where the result of a preparing call is kept; undefined where there is no room. */
export type Prepare = (call: Call) => Buffer | undefined;

/** The calls without those whose results are kept. */
export function withoutPrepared(calls: readonly Call[], { updates = [] }: ProgramSpec, prepare: Prepare): Call[] {
  const updated = new Set(updates.map(([state]) => stateOf(state)));
  const kept = new Map<Buffer, Buffer>();
  return calls.flatMap((call) => {
    const ofParameters = ({ state }: Buffer): boolean => state?.kind === "parameter" && !updated.has(state);
    if (call.prepares && reads(call).every(({ buffer }) => ofParameters(buffer))) {
      const place = prepare(call);
      if (place) {
        kept.set(writes(call)[0]!.buffer, place);
        return [];
      }
    }
    const operands = call.operands.map((operand) => {
      const place = operand && kept.get(operand.buffer);
      return place ? { ...operand, buffer: place } : operand;
    });
    return [{ ...call, operands }];
  });
}

/** The phases with tiles of rows that all threads have the same share of. */
export function sharedOut(
  phases: readonly Phase[],
  { rowTile, threads }: Pick<Device, "rowTile" | "threads">,
): Phase[] {
  const share = (group: Group): Group => {
    // What is summed over the rows of a tile has a place for each whole tile.
    const isCut = group.calls.every((call) => writes(call).every(({ aligned }) => aligned));
    if (group.grain !== rowTile || !isCut) return group;
    const tiles = threads * Math.ceil(group.domain / threads / rowTile);
    return { ...group, grain: Math.ceil(group.domain / tiles) };
  };
  return phases.map((groups) => groups.map(share));
}
