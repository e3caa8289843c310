// Laws of the plan of the arena over random programs.
//
// Two buffers may share bytes only if one is done with before the other is written. "Before" is what the
// runtime guarantees: an earlier phase, or the same group earlier on the same rows (then both must lie
// at the same place, or the rows would not match), or the very call that may write over its operand.
// A local buffer lies in the memory of the thread that has the tile, where the calls of a chain simply
// follow one another.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ArenaPlan,
  type Buffer,
  type Call,
  type Group,
  type Operand,
  type Phase,
} from "../../../src/runtime/plan/calls.ts";
import { planArena } from "../../../src/runtime/plan/arena.ts";
import { schedule } from "../../../src/runtime/plan/schedule.ts";
import { device, randomProgram, type RandomProgram } from "./random-calls.ts";

interface Access {
  readonly call: Call;
  readonly operand: Operand;
  readonly phase: number;
  readonly group: Group;
  readonly position: number;
}

/** Where a buffer lies: an address in the arena, a state's own place, or the rows of a tile in a chain's local memory. */
interface Storage {
  readonly space: Buffer | Group | "arena";
  readonly begin: number;
  readonly end: number;
}

function storageOf(
  buffer: Buffer,
  { locals, offsets, sharing }: ArenaPlan,
  accesses: ReadonlyMap<Buffer, Access[]>,
): Storage {
  const root = sharing.get(buffer) ?? buffer;
  if (root.state) return { space: root, begin: 0, end: buffer.bytes };
  const local = locals.get(root);
  if (local)
    return {
      space: accesses.get(buffer)![0]!.group,
      begin: local.offset,
      end: local.offset + device.rowTile * local.rowBytes,
    };
  const begin = offsets.get(root)!;
  return { space: "arena", begin, end: begin + buffer.bytes };
}

function accessesOf(phases: readonly Phase[]): Map<Buffer, Access[]> {
  const accesses = new Map<Buffer, Access[]>();
  phases.forEach((groups, phase) =>
    groups.forEach((group) =>
      group.calls.forEach((call, position) => {
        for (const operand of call.operands) {
          if (!operand) continue;
          const list = accesses.get(operand.buffer) ?? [];
          accesses.set(operand.buffer, [...list, { call, operand, phase, group, position }]);
        }
      }),
    ),
  );
  return accesses;
}

function before(a: Access, b: Access, samePlace: boolean): boolean {
  if (a.phase !== b.phase) return a.phase < b.phase;
  if (a.group !== b.group || !samePlace || !a.operand.aligned || !b.operand.aligned) return false;
  if (a.call !== b.call) return a.position < b.position;
  const [from, to] = [a.call.operands.indexOf(a.operand), a.call.operands.indexOf(b.operand)];
  return a.call.inPlace.some(([read, write]) => read === from && write === to);
}

/** Whether all that is done with `a` is done before `b` is first touched. */
function done(
  a: Buffer,
  b: Buffer,
  accesses: ReadonlyMap<Buffer, Access[]>,
  outputs: ReadonlySet<Buffer>,
  samePlace: boolean,
): boolean {
  return (
    !outputs.has(a) &&
    (accesses.get(a) ?? []).every((earlier) =>
      accesses
        .get(b)!
        .every(
          (later) =>
            before(earlier, later, samePlace) || (later.operand.access === "read" && earlier.call === later.call),
        ),
    )
  );
}

function plan({ calls, outputs, updates }: RandomProgram): {
  phases: Phase[];
  memory: ArenaPlan;
  accesses: Map<Buffer, Access[]>;
} {
  const phases = schedule(calls, device, new Set([...outputs, ...updates.values()]));
  return { phases, memory: planArena(phases, device, outputs, updates), accesses: accessesOf(phases) };
}

/** Every way in which two buffers that are needed at the same time share bytes. */
function conflicts(program: RandomProgram): string[] {
  const { memory, accesses } = plan(program);
  // At the end a state holds its new value where that was written over it, else its own (to be copied to).
  const updated = [...program.updates].filter(([state, value]) => memory.sharing.get(value) === state);
  const states = [...accesses.keys()].filter((buffer) => buffer.state && !updated.some(([state]) => state === buffer));
  const lasting = new Set([...program.outputs, ...updated.map(([, value]) => value), ...states]);
  const buffers = [...accesses.keys()].map((buffer) => ({ buffer, storage: storageOf(buffer, memory, accesses) }));
  const found: string[] = [];
  buffers.forEach(({ buffer: a, storage: s }, index) => {
    for (const { buffer: b, storage: t } of buffers.slice(index + 1)) {
      if (s.space !== t.space || s.end <= t.begin || t.end <= s.begin) continue;
      const samePlace = (s.begin === t.begin && s.end === t.end) || (s.space !== "arena" && "calls" in s.space);
      if (done(a, b, accesses, lasting, samePlace) || done(b, a, accesses, lasting, samePlace)) continue;
      found.push(`${a.name} and ${b.name} at ${s.begin}-${s.end} and ${t.begin}-${t.end}`);
    }
  });
  return found;
}

describe("over random programs", () => {
  test("no two buffers that are needed at the same time share bytes", () => {
    fc.assert(
      fc.property(randomProgram, (program) => {
        expect(conflicts(program)).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });
  test("every computed buffer has a place inside the arena, 64 bytes aligned and with room to read past its end", () => {
    fc.assert(
      fc.property(randomProgram, (program) => {
        const { memory, accesses } = plan(program);
        for (const buffer of accesses.keys()) {
          const { space, begin, end } = storageOf(buffer, memory, accesses);
          if (space !== "arena") continue;
          expect(begin % 64).toBe(0);
          expect(end + 64).toBeLessThanOrEqual(memory.bytes);
        }
      }),
      { numRuns: 300 },
    );
  });
  test("in an arena of pages no buffer crosses from one to the next, and none meets another", () => {
    const arenaPage = 2 ** 14;
    let crossings = 0;
    fc.assert(
      fc.property(randomProgram, ({ calls, outputs, updates }) => {
        const paged = { ...device, localBytes: 0, arenaPage };
        const phases = schedule(calls, paged, new Set([...outputs, ...updates.values()]));
        const { offsets, lives, sharing } = planArena(phases, paged, outputs, updates);
        const whole = planArena(phases, { ...device, localBytes: 0 }, outputs, updates);
        const placed = [...offsets].filter(([buffer]) => !sharing.has(buffer));
        for (const [buffer, offset] of placed) {
          if (buffer.bytes + device.padding > arenaPage) continue;
          const end = (whole.offsets.get(buffer) ?? 0) + buffer.bytes;
          if (Math.floor((end - 1) / arenaPage) > Math.floor((end - buffer.bytes) / arenaPage)) crossings++;
          expect(Math.floor((offset + buffer.bytes - 1) / arenaPage)).toBe(Math.floor(offset / arenaPage));
        }
        for (const [a, from] of placed)
          for (const [b, to] of placed) {
            const [s, t] = [lives.get(a)!, lives.get(b)!];
            if (a === b || s.first > t.last || t.first > s.last) continue;
            expect(from + a.bytes <= to || to + b.bytes <= from, `${a.name} and ${b.name}`).toBe(true);
          }
      }),
      { numRuns: 300 },
    );
    expect(crossings, "without pages some would").toBeGreaterThan(0);
  });
  test("a local buffer is touched by one chain of tiles, row by row, and is gone after it", () => {
    let seen = 0;
    fc.assert(
      fc.property(randomProgram, (program) => {
        const { memory, accesses } = plan(program);
        for (const [buffer, list] of accesses) {
          const local = memory.locals.get(memory.sharing.get(buffer) ?? buffer);
          if (!local) continue;
          seen++;
          const [{ group }] = list as [Access];
          expect(list.every((access) => access.group === group && access.operand.aligned)).toBe(true);
          expect([group.grain, group.domain * local.rowBytes, local.offset % device.localAlignment]).toEqual([
            device.rowTile,
            buffer.bytes,
            0,
          ]);
          expect(local.offset + device.rowTile * local.rowBytes).toBeLessThanOrEqual(device.localBytes);
          expect(buffer.state ?? program.outputs.has(buffer)).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
    expect(seen).toBeGreaterThan(100);
  });
  test("only its own new value is written over a state", () => {
    fc.assert(
      fc.property(randomProgram, (program) => {
        const { memory } = plan(program);
        for (const [buffer, root] of memory.sharing) if (root.state) expect(program.updates.get(root)).toBe(buffer);
      }),
      { numRuns: 300 },
    );
  });
  test("the programs do share memory, in place and by turns", () => {
    const programs = fc.sample(randomProgram, { numRuns: 200, seed: 1 });
    const plans = programs.map((program) => ({ program, ...plan(program) }));
    const ofState = ({ memory }: { memory: ArenaPlan }): number =>
      [...memory.sharing.values()].filter(({ state }) => state).length;
    const total = (count: (entry: (typeof plans)[number]) => number): number =>
      plans.reduce((sum, entry) => sum + count(entry), 0);
    expect(total(ofState)).toBeGreaterThan(20);
    expect(total((entry) => entry.memory.sharing.size - ofState(entry))).toBeGreaterThan(100);
    const unshared = total(({ accesses }) =>
      [...accesses.keys()].filter(({ state }) => !state).reduce((sum, { bytes }) => sum + bytes + 64, 0),
    );
    expect(total(({ memory }) => memory.bytes)).toBeLessThan(0.9 * unshared);
  });
});

describe("in place", () => {
  const ROWS = 96;
  const buffer = (name: string): Buffer => ({ name, bytes: 4 * ROWS * 8 });
  const state: Buffer = {
    ...buffer("state"),
    state: { kind: "parameter", name: "state", shape: [ROWS, 8], dtype: "f32" },
  };
  const rows = (from: readonly Buffer[], to: Buffer, whole: readonly Buffer[] = []): Call => ({
    kernel: "none",
    label: to.name,
    domain: ROWS,
    grain: device.rowTile,
    words: [],
    flops: 0,
    inPlace: [[0, from.length + whole.length]],
    operands: [
      ...from.map((source): Operand => ({ buffer: source, access: "read", aligned: true })),
      ...whole.map((source): Operand => ({ buffer: source, access: "read", aligned: false })),
      { buffer: to, access: "write", aligned: true },
    ],
  });
  const group = (...calls: Call[]): Group => ({ domain: ROWS, grain: device.rowTile, calls });
  const [a, b, c] = [buffer("a"), buffer("b"), buffer("c")] as const;
  const rootOf = (
    phases: Phase[],
    of: Buffer,
    outputs: Buffer[] = [],
    updates: [Buffer, Buffer][] = [],
  ): Buffer | undefined => planArena(phases, device, new Set(outputs), new Map(updates)).sharing.get(of);

  test("over an operand that nobody needs afterwards", () => {
    expect(rootOf([[group(rows([state], a), rows([a], b))]], b)).toBe(a);
    expect(rootOf([[group(rows([state], a))], [group(rows([a], b))]], b)).toBe(a);
  });
  test("not while another reads it: later in the chain, in another group, or past its row", () => {
    expect(rootOf([[group(rows([state], a), rows([a], b), rows([a, b], c))]], b)).toBeUndefined();
    expect(rootOf([[group(rows([state], a))], [group(rows([a], b)), group(rows([a], c))]], b)).toBeUndefined();
    expect(rootOf([[group(rows([state], a))], [group(rows([a], b, [a]))]], b)).toBeUndefined();
  });
  test("not over an output, nor over a state but for its new value", () => {
    expect(rootOf([[group(rows([state], a), rows([a], b))]], b, [a])).toBeUndefined();
    expect(rootOf([[group(rows([state], a))]], a)).toBeUndefined();
    expect(rootOf([[group(rows([state], a))]], a, [], [[state, a]])).toBe(state);
    expect(rootOf([[group(rows([state], a), rows([state, a], b))]], a, [], [[state, a]])).toBeUndefined();
  });
  test("along a chain of three, all share one place", () => {
    const phases = [[group(rows([state], a), rows([a], b), rows([b], c))]];
    expect(rootOf(phases, b)).toBe(a);
    expect(rootOf(phases, c)).toBe(a);
    expect(planArena(phases, device, new Set([c]), new Map()).bytes).toBe(a.bytes + 64);
  });
});
