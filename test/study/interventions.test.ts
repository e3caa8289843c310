// What an intervention does to coefficients, which sublayers a text means, and what is planned.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  coefficientMap,
  type Intervention,
  interventionName,
  type MapIntervention,
  type MixedSublayers,
  parseIntervention,
  planInterventions,
  ranges,
  sublayerSets,
} from "../../src/study/interventions.ts";

/** h A + s. */
function changed(intervention: MapIntervention | undefined, h: readonly number[], n: number, mean = h): number[] {
  const { matrix, shift } = coefficientMap(intervention, n, mean);
  return Array.from(shift, (value, m) => h.reduce((sum, x, k) => sum + x * matrix[k * h.length + m]!, value));
}

// n = 2: pre | post | res.
const h = [1, 2, 3, 4, 5, 6, 7, 8];
const mean = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5];
const map = (name: string): number[] => changed(parseIntervention(name) as MapIntervention, h, 2, mean);

describe("the coefficients of two streams", () => {
  test("each intervention by hand", () => {
    expect(changed(undefined, h, 2)).toEqual(h);
    expect(map("identity")).toEqual([1, 2, 3, 4, 1, 0, 0, 1]);
    expect(map("uniform")).toEqual([1, 2, 3, 4, 0.5, 0.5, 0.5, 0.5]);
    expect(map("mean")).toEqual([1, 2, 3, 4, 4.5, 5.5, 6.5, 7.5]);
    expect(map("freeze")).toEqual(mean);
    expect(map("drop:0")).toEqual([0, 2, 0, 4, 0, 0, 0, 8]);
    expect(map("drop:1")).toEqual([1, 0, 3, 0, 5, 0, 0, 0]);
    expect(map("swap:0-1")).toEqual([2, 1, 3, 4, 6, 5, 8, 7]);
  });

  test("a stream that is not there is refused", () => {
    expect(() => map("drop:2")).toThrow("drop:2: the sublayer has streams 0 to 1.");
    expect(() => map("swap:0-5")).toThrow("swap:0-5: the sublayer has streams 0 to 1.");
  });
});

test("twice is once, but for a swap: there twice is nothing", () => {
  const kinds = fc.constantFrom("identity", "uniform", "mean", "freeze", "drop:1", "swap:0-2");
  const tokens = fc.array(fc.float({ noNaN: true, min: -4, max: 4 }), { minLength: 24, maxLength: 24 });
  fc.assert(
    fc.property(kinds, tokens, tokens, (name, token, average) => {
      const intervention = parseIntervention(name) as MapIntervention;
      const once = changed(intervention, token, 4, average);
      const twice = changed(intervention, once, 4, average);
      // -0 and 0 are the same coefficient.
      expect(twice.map((x) => x + 0)).toEqual((intervention.kind === "swap" ? token : once).map((x) => x + 0));
    }),
  );
});

describe("names", () => {
  test("a name is parsed to what has that name", () => {
    for (const name of ["identity", "mean", "uniform", "freeze", "drop:3", "swap:3-0", "iterations:50"])
      expect(interventionName(parseIntervention(name))).toBe(name);
  });
  test.each(["", "Identity", "drop", "drop:1-2", "drop:-1", "swap:1", "swap:1-1", "iterations:0", "iterations:1.5"])(
    "%j is refused, with what there is",
    (name) => {
      expect(() => parseIntervention(name)).toThrow(
        `"${name}" is not an intervention. Give one of identity, mean, uniform, freeze, drop:STREAM`,
      );
    },
  );
});

const whole: MixedSublayers = Array.from({ length: 5 }, () => ({ streams: 4, iterations: 20 }));
/** Streams in sublayers 1, 2 and 4 of six, two of them unlike. */
const partly: MixedSublayers = [
  undefined,
  { streams: 4, iterations: 20 },
  { streams: 2 },
  undefined,
  { streams: 4, iterations: 7 },
  undefined,
];

describe("which sublayers", () => {
  const of = (text: string, network = whole): readonly (readonly number[])[] =>
    sublayerSets(text, network).map(({ sublayers }) => sublayers);
  test("halves, each, lists and ranges", () => {
    expect(of("all")).toEqual([[0, 1, 2, 3, 4]]);
    expect(of("early")).toEqual([[0, 1]]);
    expect(of("late")).toEqual([[2, 3, 4]]);
    expect(of("each")).toEqual([[0], [1], [2], [3], [4]]);
    expect(of("3-last,0, 3")).toEqual([[0, 3, 4]]);
    expect(of("last")).toEqual([[4]]);
  });
  test("only those that mix streams", () => {
    expect(of("all", partly)).toEqual([[1, 2, 4]]);
    expect(of("early", partly)).toEqual([[1]]);
    expect(of("0-3", partly)).toEqual([[1, 2]]);
    expect(() => of("1,3", partly)).toThrow('sublayers "1,3": no streams are mixed in 3, only in 1-2,4.');
  });
  test.each(["", "x", "1-", "-1", "1,,2", "1.5", "middle"])("%j is refused, with what there is", (text) => {
    expect(() => of(text)).toThrow('Give all, early, late, each, or a list such as "0-5,8,10-last".');
  });
  test.each(["5", "3-5", "4-3"])("%j is outside of five sublayers or empty", (text) => {
    expect(() => of(text)).toThrow(`"${text}" must lie within 0 to 4 (the model has 5 sublayers`);
  });
  test("ranges are what a list of them means", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(30), { minLength: 1 }), (found) => {
        const network = Array.from({ length: 31 }, () => ({ streams: 2 }));
        const sorted = found.toSorted((a, b) => a - b);
        expect(of(ranges(sorted), network)).toEqual([sorted]);
      }),
    );
  });
});

describe("what is planned", () => {
  const names = (network: MixedSublayers, interventions?: Intervention[], sets?: string[]): string[] =>
    planInterventions(network, interventions, sets).map(
      ({ intervention, set }) => `${interventionName(intervention)} ${ranges(set.sublayers)}`,
    );
  test("by default everything, where it can be done", () => {
    const planned = names(partly);
    const sets = ["1-2,4", "1", "2,4", "1", "2", "4"];
    expect(planned.slice(0, 24)).toEqual(
      ["identity", "mean", "uniform", "freeze"].flatMap((kind) => sets.map((set) => `${kind} ${set}`)),
    );
    expect(planned.slice(24)).toEqual([
      "drop:0 1-2,4",
      "drop:1 1-2,4",
      "drop:2 1,4",
      "drop:3 1,4",
      "swap:0-1 2",
      "swap:1-2 4",
      "swap:2-3 4",
      "swap:3-0 4",
      ...[1, 2, 5, 7, 10, 20, 50, 100].map((count) => `iterations:${count} 1,4`),
    ]);
  });
  test("what a sublayer has not got is refused when it is asked for", () => {
    expect(() => names(partly, [{ kind: "iterations", iterations: 5 }], ["2"])).toThrow(
      "iterations:5 changes nothing in sublayers 2: their H_res does not come from Sinkhorn-Knopp.",
    );
    expect(() => names(partly, [{ kind: "drop", stream: 3 }], ["2"])).toThrow(
      "drop:3 changes nothing in sublayers 2: they have streams 0 to 1.",
    );
  });
  test("one stream is neither dropped nor swapped, two are swapped once", () => {
    const kinds = (streams: number): string[] => [...new Set(names([{ streams }]).map((name) => name.split(" ")[0]!))];
    expect(kinds(1)).toEqual(["identity", "mean", "uniform", "freeze"]);
    expect(kinds(2).slice(4)).toEqual(["drop:0", "drop:1", "swap:0-1"]);
  });
});
