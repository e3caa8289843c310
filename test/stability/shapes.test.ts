// Shapes of fields: the quick checks say what the schemas say.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Shape } from "../../src/stability/fields.ts";
import { checkOf, schemaOf } from "../../src/stability/shapes.ts";

/** A value of each shape. */
const sound: Readonly<Record<Shape, unknown>> = {
  number: NaN,
  count: 3,
  text: "gain",
  counts: [0, 2],
  list: [1, -Infinity],
  gaps: [null, 0.5],
  vectors: [[1, 2], [3]],
  matrices: [[1, 0, 0, NaN], [], [7]],
  pair: { forward: [1], backward: [2] },
  groups: { weight: { gradient: 1, weight: 2, update: Infinity } },
  action: "stop",
  rollback: { step: 4, rateFactor: 0.5 },
};
const shapes = Object.keys(sound) as Shape[];

const number = fc.oneof(fc.double(), fc.integer({ min: -2, max: 9 }), fc.constantFrom(2 ** 53, 0.5));
const leaf = fc.oneof({ weight: 5, arbitrary: number }, fc.constantFrom(null, undefined, "stop", "", true));
const list = fc.array(fc.oneof({ weight: 9, arbitrary: number }, leaf), { maxLength: 5 });
const lists = fc.array(fc.oneof({ weight: 9, arbitrary: fc.array(number, { maxLength: 5 }) }, list), { maxLength: 3 });
const norms = fc.record({ gradient: leaf, weight: number, update: number }, { requiredKeys: [] });
const value = fc.oneof(
  leaf,
  list,
  lists,
  fc.record({ forward: list, backward: list }, { requiredKeys: ["forward"] }),
  fc.record({ step: leaf, rateFactor: leaf }),
  fc.dictionary(fc.string(), fc.oneof(norms, leaf), { maxKeys: 2, noNullPrototype: true }),
);

test.each(shapes)("%s: a value of that shape has it", (shape) => {
  expect(checkOf(shape)(sound[shape])).toBe(true);
  expect(schemaOf(shape).safeParse(sound[shape]).success).toBe(true);
});

test("check and schema agree on any value", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...shapes),
      fc.oneof(value, fc.constantFrom(...Object.values(sound))),
      (shape, given) => {
        expect(checkOf(shape)(given)).toBe(schemaOf(shape).safeParse(given).success);
      },
    ),
    { numRuns: 3000 },
  );
});

test("shapes refuse what is near them", () => {
  const wrong: readonly (readonly [Shape, unknown])[] = [
    ["number", "NaN"],
    ["count", 1.5],
    ["count", -1],
    ["list", [1, null]],
    ["gaps", [undefined]],
    ["vectors", [[]]],
    ["matrices", [[1, 2, 3]]],
    ["pair", { forward: [1], backward: [] }],
    ["groups", [1]],
    ["groups", { weight: { gradient: 1, weight: 2 } }],
    ["action", "wait"],
    ["rollback", { step: 1 }],
  ];
  expect(wrong.filter(([shape, given]) => checkOf(shape)(given))).toEqual([]);
});
