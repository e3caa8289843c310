// Which rows a run of the model has, and which program reads them.

import { expect, test } from "vitest";
import { planTick, type Wishing } from "../../src/model/tick.ts";
import { KEPT_PROGRAMS } from "../../src/model/decoder.ts";
import { shapesFor } from "../../src/serving/engine.ts";
import { servingShapes, type TimedShape } from "../../src/serving/shapes.ts";

/** Runs of 1, 2, 4, … 64 rows; those of more than 16 give scores for 16 or for all. */
const shapesOf = (msOf: (rows: number) => number): TimedShape[] =>
  [1, 2, 4, 8, 16, 32, 64].flatMap((size) =>
    [...(size > 16 ? [16] : []), size].map((wanted) => ({ size, wanted, ms: msOf(size) })),
  );
test("a decoder keeps a program of every shape, however many texts a server writes", () => {
  for (let slots = 1; slots <= 256; slots++) {
    const shapes = shapesFor(slots);
    expect(shapes.length).toBeLessThanOrEqual(KEPT_PROGRAMS);
    expect(shapes.at(-1)).toEqual({ size: shapes.at(-1)!.size, wanted: shapes.at(-1)!.size });
    expect(shapes.some(({ size, wanted }) => size >= slots && wanted >= slots)).toBe(true);
    for (const [index, { size }] of shapes.entries())
      if (index > 0) expect(size).toBeGreaterThanOrEqual(shapes[index - 1]!.size);
  }
});

const linear = servingShapes(
  shapesOf((rows) => 0.5 + 0.35 * rows),
  1.6,
);

/** A text that has so many rows left, of which the last `wanted` give scores. */
const text = (rows: number, { wanted = 1, done = 0 } = {}): Wishing => ({
  wish: { rows: Array.from({ length: done + rows }, (_, position) => ({ position, token: position })), wanted },
  done,
});

test("prompts make a run of texts that are written as much longer as is allowed, and go on in any case", () => {
  // 4 rows take 1.9 ms, 8 take 3.3.
  expect([0, 1, 2, 3, 4, 5, 15, 16].map((writing) => linear.room(writing, 0))).toEqual([64, 2, 4, 4, 8, 8, 16, 32]);
  // Of 16 texts that are asked for at once, the first that are written wait no longer than all of them will.
  expect([1, 8, 15].map((writing) => linear.room(writing, 16 - writing))).toEqual([16, 16, 16]);
  const patient = servingShapes(
    shapesOf((rows) => 0.5 + 0.35 * rows),
    4,
  );
  expect([1, 4, 16].map((writing) => patient.room(writing, 0))).toEqual([8, 16, 64]);
  // Where rows cost nothing, as on a large GPU, a prompt is read at once.
  expect(
    servingShapes(
      shapesOf(() => 3),
      1.2,
    ).room(1, 1),
  ).toBe(64);
});

test("texts that are written come first, then prompts, the oldest first, and scored rows last", () => {
  const [oldest, written, judged] = [text(5), text(1, { done: 9 }), text(9, { wanted: 9 })];
  const { rows, scored, shape } = planTick([oldest, written, judged], { ...linear, room: () => 8 });
  expect(rows.map(({ text: of, position }) => [of, position])).toEqual([
    ...[0, 1, 2, 3].map((position) => [oldest, position]),
    [written, 9],
    [oldest, 4],
    ...[0, 1].map((position) => [judged, position]),
  ]);
  expect(scored).toEqual(rows.slice(4));
  expect(shape).toMatchObject({ size: 8, wanted: 8 });
});
