// Laws of the schedule over random programs, and the chains and barriers of known ones.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Buffer, type Call, type Group, type Operand, reads, writes } from "../../../src/runtime/plan/calls.ts";
import { schedule } from "../../../src/runtime/plan/schedule.ts";
import { device, randomProgram } from "./random-calls.ts";

interface Place {
  readonly call: Call;
  readonly phase: number;
  readonly group: Group;
  readonly position: number;
}

/** Where each call stands, by its label: a repeated call stands in several groups, as copies. */
function placesOf(phases: readonly (readonly Group[])[]): Map<string, Place[]> {
  const places = phases.flatMap((groups, phase) =>
    groups.flatMap((group) => group.calls.map((call, position): Place => ({ call, phase, group, position }))),
  );
  return Map.groupBy(places, ({ call }) => call.label);
}

function producersOf(calls: readonly Call[]): Map<string, Call> {
  return new Map(calls.flatMap((call) => writes(call).map(({ buffer }) => [buffer.name, call])));
}

describe("over random programs", () => {
  test("every call has one place, a repeated one at least one, and reads and writes what it should", () => {
    fc.assert(
      fc.property(randomProgram, ({ calls }) => {
        const places = placesOf(schedule(calls, device));
        expect(places.size).toBe(calls.length);
        const names = (call: Call): (string | undefined)[] => call.operands.map((operand) => operand?.buffer.name);
        for (const call of calls) {
          const found = places.get(call.label)!;
          if (!call.repeated) expect(found.length).toBe(1);
          for (const place of found) expect(names(place.call)).toEqual(names(call));
        }
      }),
      { numRuns: 500 },
    );
  });
  test("what a call reads is written in an earlier phase, or on the same rows earlier in its group", () => {
    fc.assert(
      fc.property(randomProgram, ({ calls }) => {
        const placed = [...placesOf(schedule(calls, device)).values()].flat();
        const writers = new Map(
          placed.flatMap((place) => writes(place.call).map((operand) => [operand.buffer, { place, operand }])),
        );
        for (const place of placed) {
          for (const operand of reads(place.call)) {
            const writer = writers.get(operand.buffer);
            expect(writer !== undefined || operand.buffer.state !== undefined).toBe(true);
            if (!writer) continue;
            const { place: source } = writer;
            const chained =
              source.group === place.group &&
              source.position < place.position &&
              writer.operand.aligned &&
              operand.aligned;
            expect(source.phase < place.phase || chained, `${place.call.label} reads ${operand.buffer.name}`).toBe(
              true,
            );
          }
        }
      }),
      { numRuns: 500 },
    );
  });
  test("a recomputed call stands in a later phase than the gradient it waits for", () => {
    fc.assert(
      fc.property(randomProgram, ({ calls }) => {
        const places = placesOf(schedule(calls, device));
        const producers = producersOf(calls);
        for (const call of calls) {
          // What needs nothing but state may be prepared early; copies of repeated calls follow their source.
          const fromState = (buffer: Buffer): boolean => {
            const writer = producers.get(buffer.name);
            return !writer || (writer.repeated === true && reads(writer).every((operand) => fromState(operand.buffer)));
          };
          const root = reads(call).every(({ buffer }) => fromState(buffer));
          const source = call.after && producers.get(call.after.name)!;
          if (!source || root || source.repeated) continue;
          expect(places.get(source.label)![0]!.phase).toBeLessThan(places.get(call.label)![0]!.phase);
        }
      }),
      { numRuns: 500 },
    );
  });
  test("the calls of a chain can be cut alike", () => {
    fc.assert(
      fc.property(randomProgram, ({ calls }) => {
        for (const { domain, grain, calls: chain } of schedule(calls, device).flat()) {
          expect(domain).toBeGreaterThan(0);
          expect(grain).toBeGreaterThan(0);
          for (const call of chain) {
            if (call.domain !== undefined) {
              expect(call.domain).toBe(domain);
              if (chain.length > 1) expect([call.grain, grain]).toEqual([device.rowTile, device.rowTile]);
              continue;
            }
            const floats = writes(call)[0]!.buffer.bytes / 4;
            const rows = chain.some((other) => other.domain !== undefined);
            if (rows) expect(floats % domain).toBe(0);
            else expect(floats).toBe(writes(chain[0]!)[0]!.buffer.bytes / 4);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
  test("no phase is empty", () => {
    fc.assert(
      fc.property(randomProgram, ({ calls }) => {
        for (const groups of schedule(calls, device)) expect(groups.length).toBeGreaterThan(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe("of known programs", () => {
  const state = (name: string): Buffer => ({
    name,
    bytes: 4 * 96 * 8,
    state: { kind: "parameter", name, shape: [96, 8], dtype: "f32" },
  });
  const buffer = (name: string): Buffer => ({ name, bytes: 4 * 96 * 8 });
  const call = (
    label: string,
    from: readonly Buffer[],
    to: Buffer,
    { whole = false, domain = 96, after }: { whole?: boolean; domain?: number | undefined; after?: Buffer } = {},
  ): Call => ({
    kernel: "none",
    label,
    domain,
    grain: device.rowTile,
    words: [],
    inPlace: [],
    flops: 0,
    after,
    operands: [
      ...from.map((source): Operand => ({ buffer: source, access: "read", aligned: !whole })),
      { buffer: to, access: "write", aligned: true },
    ],
  });
  const lazily = (one: Call): Call => ({ ...one, lazy: true });
  const repeatedly = (one: Call): Call => ({ ...one, repeated: true });
  const labels = (calls: readonly Call[]): string[][][] =>
    schedule(calls, device).map((groups) => groups.map((group) => group.calls.map(({ label }) => label)));
  const [x, a, b, c, d] = [state("x"), buffer("a"), buffer("b"), buffer("c"), buffer("d")] as const;

  test("rows chain, whole reads wait for a barrier", () => {
    expect(
      labels([call("a", [x], a), call("b", [a], b), call("c", [b], c), call("d", [c], d, { whole: true })]),
    ).toEqual([[["a"]], [["b", "c"]], [["d"]]]);
  });
  test("independent work shares a phase", () => {
    expect(
      labels([
        call("a", [x], a),
        call("b", [a], b),
        call("c", [a], c, { domain: 48 }),
        call("d", [b, c], d, { whole: true }),
      ]),
    ).toEqual([[["a"]], [["b"], ["c"]], [["d"]]]);
  });
  test("a lazy call joins the chain of its first reader", () => {
    const [e] = [buffer("e")];
    const calls = [call("a", [x], a), call("b", [a], b), call("c", [b], c), call("d", [c], d, { whole: true })];
    expect(labels([...calls, call("e", [d, b], e)])).toEqual([[["a"]], [["b", "c"]], [["d", "e"]]]);
    const late = [calls[0]!, calls[2]!, calls[3]!].map((one) => (one.label === "c" ? call("c", [a], c) : one));
    expect(labels([...late, lazily(call("b", [a], b)), call("e", [d, b], e)])).toEqual([
      [["a"]],
      [["c"]],
      [["d", "b", "e"]],
    ]);
  });
  test("a lazy call that nobody asks for runs in the end", () => {
    expect(labels([call("a", [x], a), lazily(call("b", [a], b)), call("c", [a], c)])).toEqual([
      [["a"]],
      [["c"], ["b"]],
    ]);
  });
  test("every chain makes its own copy of a repeated call, and who wants all rows of it gets one as late as can be", () => {
    const calls = [
      call("a", [x], a),
      repeatedly(call("b", [a], b)),
      call("c", [b], c),
      call("d", [c], d, { whole: true }),
    ];
    const [e] = [buffer("e")];
    expect(labels([...calls, call("e", [d, b], e)])).toEqual([[["a"]], [["b", "c"]], [["d", "b", "e"]]]);
    expect(labels([...calls, call("e", [d, b], e, { whole: true })])).toEqual([
      [["a"]],
      [["b", "c"]],
      [["d"], ["b"]],
      [["e"]],
    ]);
  });
  test("a call that waits is not drawn into the chain that holds what it reads", () => {
    const [e] = [buffer("e")];
    const forward = [call("a", [x], a), call("b", [a], b), call("c", [b], c)];
    expect(labels([...forward, call("d", [b], d), call("e", [d, c], e)])).toEqual([[["a"]], [["b", "c", "d", "e"]]]);
    expect(labels([...forward, call("d", [b], d, { after: c }), call("e", [d, c], e)])).toEqual([
      [["a"]],
      [["b", "c"]],
      [["d", "e"]],
    ]);
  });
});
