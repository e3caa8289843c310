// A sweep's grid: as many points as the product of its axes, each with a name of its own that more values do
// not change; and mistakes that are told by the name of the field.

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  fieldOf,
  parseSweep,
  sweepDifferences,
  sweepPoints,
  type SweepValue,
} from "../../../src/runs/sweep/definition.ts";

const paths = ["model.layers", "model.width", "learningRate", "connection", "seed", "optimizer.clip", "steps"];
const value = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (Object.is(x, -0) ? 0 : x)),
  fc.boolean(),
  fc.string({ maxLength: 80 }),
  fc.constantFrom("1", "a:b", "a-b", "a+b", "a_b", "a/b", "a,b", "..", "é"),
  fc.array(fc.integer(), { maxLength: 3 }),
);
/** Values with the same key are the same connection: spaces around a name do not count. */
const keyOf = (one: SweepValue): string => JSON.stringify(typeof one === "string" ? one.trim() : one);
const axes = fc.dictionary(
  fc.constantFrom(...paths),
  fc.uniqueArray(value, { minLength: 1, maxLength: 5, selector: keyOf }),
  { minKeys: 1, maxKeys: 4, noNullPrototype: true },
);

test("there are as many points as the axes' lengths multiply to, and their names differ and are plain", () => {
  fc.assert(
    fc.property(axes, (given) => {
      const points = sweepPoints(parseSweep({ name: "x", axes: given }));
      expect(points).toHaveLength(Object.values(given).reduce((product, { length }) => product * length, 1));
      expect(new Set(points.map(({ name }) => name)).size).toBe(points.length);
      for (const { name } of points) expect(name).toMatch(/^[\w.=+,~-]+$/);
    }),
  );
});

test("more values on an axis leave the names of the points that were there", () => {
  fc.assert(
    fc.property(axes, value, (given, more) => {
      const [axis] = Object.keys(given);
      const values = given[axis!]!.filter((one) => keyOf(one) !== keyOf(more));
      if (values.length === 0) return;
      const before = parseSweep({ name: "x", axes: { ...given, [axis!]: values } });
      const after = parseSweep({ name: "x", axes: { ...given, [axis!]: [more, ...values] } });
      const names = new Set(sweepPoints(after).map(({ name }) => name));
      for (const { name } of sweepPoints(before)) expect(names).toContain(name);
      expect(sweepDifferences(before, after)).toEqual([]);
      expect(sweepDifferences(after, before)).toHaveLength(1);
    }),
  );
});

test("names are readable, and paths are cut where that is clear", () => {
  const { name } = sweepPoints(
    parseSweep({
      name: "x",
      axes: { "optimizer.learningRate": [3e-3], "model.layers": [12], connection: ["mhc:streams=2"], seed: [1] },
    }),
  )[0]!;
  expect(name).toBe("learningRate=0.003,layers=12,connection=mhc+streams=2,seed=1");
});

test("fields by their older names mean the same, and name their runs as before", () => {
  const named = (...axes: string[]): string[] =>
    sweepPoints(parseSweep({ name: "x", axes: Object.fromEntries(axes.map((axis) => [axis, [0.5]])) })).map(
      ({ name }) => name,
    );
  expect(["optimiser.clip", "optimiser.learningRate"].map(fieldOf)).toEqual(["optimizer.clip", "learningRate"]);
  expect(named("optimiser.clip")).toEqual(named("optimizer.clip"));
  expect(() => named("optimiser.clip", "optimizer.clip")).toThrow(/the same field as optimiser\.clip/);
});

test("where keeps and exclude leaves out", () => {
  const names = (more: object): string[] =>
    sweepPoints(parseSweep({ name: "x", axes: { seed: [1, 2], steps: [3, 4] }, ...more })).map(({ name }) => name);
  expect(names({ exclude: [{ seed: 1, steps: [3] }] })).toEqual(["seed=1,steps=4", "seed=2,steps=3", "seed=2,steps=4"]);
  expect(names({ where: [{ seed: 1 }, { steps: [4] }] })).toEqual([
    "seed=1,steps=3",
    "seed=1,steps=4",
    "seed=2,steps=4",
  ]);
});

test.for<[string, Record<string, unknown>, RegExp]>([
  ["an unknown field", { axes: { "modl.layers": [1] } }, /axes\."modl\.layers": no field of a run.*learningRate/],
  ["no values", { axes: { seed: [] } }, /axes\.seed: /],
  ["no axis", { axes: {} }, /axes: a sweep needs at least one axis/],
  ["a value twice", { axes: { seed: [1, 1] } }, /axes\.seed\.1: 1 is there twice/],
  [
    "both in base and axes",
    { base: { learningRate: 1 }, axes: { "optimizer.learningRate": [1] } },
    /base\.learningRate: it is an axis too/,
  ],
  [
    "one field by two names",
    { axes: { learningRate: [1], "optimizer.learningRate": [1] } },
    /the same field as learningRate/,
  ],
  ["an unknown size", { base: { preset: "giant" }, axes: { seed: [1] } }, /base\.preset: "giant" is no size.*nano/],
  [
    "a condition without axis",
    { axes: { seed: [1] }, exclude: [{ steps: 1 }] },
    /exclude\.0\.steps: no axis; there are seed/,
  ],
  ["nothing left", { axes: { seed: [1] }, exclude: [{ seed: 1 }] }, /leave no point/],
  ["a field that is none", { axes: { seed: [1] }, extra: 1 }, /extra/],
])("an error names the field: %s", ([, given, message]) => {
  expect(() => parseSweep({ name: "x", ...given }, "x.json")).toThrow(message);
});

test("another base is a difference that is named", () => {
  const make = (base: Record<string, SweepValue>) => parseSweep({ name: "x", base, axes: { seed: [1] } });
  expect(sweepDifferences(make({ steps: 3 }), make({ steps: 4 }))).toEqual(["  base.steps: 3 in the folder, 4 now"]);
});

test("an older name of a connection is the same value as today's", () => {
  for (const [one, other] of [
    ["mhc", "manifold"],
    ["hyper:streams=2", "hc:streams=2"],
    ["mHC", "mhc"],
  ])
    for (const axis of ["connection", "model.connection"])
      expect(() => parseSweep({ name: "s", axes: { [axis]: [one, other] } })).toThrow(
        `${JSON.stringify(other)} is the same connection as ${JSON.stringify(one)}; each is trained once`,
      );
  expect(parseSweep({ name: "s", axes: { connection: ["manifold", "mhc:streams=2"] } }).axes.connection).toHaveLength(
    2,
  );
});

test("what is wrong is told in the words of every configuration", () => {
  const given = { name: 3, axes: { seed: 4, "model.layers": [] }, where: {}, keepCheckpoints: 1, x: 2 };
  expect(() => parseSweep(given)).toThrow(
    [
      "the sweep is not valid:",
      "  name: 3 is given; it must be a text",
      "  axes.seed: 4 is given; it must be a list",
      '  axes."model.layers": [] is given; it must have at least 1 value',
      "  where: {} is given; it must be a list",
      "  keepCheckpoints: 1 is given; it must be true or false",
      "  (all): there is no field x here; there are name, base, axes, where, exclude, keepCheckpoints",
    ].join("\n"),
  );
});
