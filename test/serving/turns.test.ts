import { expect, test } from "vitest";
import { createTurns } from "../../src/serving/turns.ts";

test("of many requests one has its turn in each round of the event loop, the first first", async () => {
  const turn = createTurns();
  let round = 0;
  const had: { readonly request: number; readonly round: number }[] = [];
  const all = Promise.all(
    Array.from({ length: 5 }, (_, request) => turn().then(() => void had.push({ request, round }))),
  );
  const count = (): void => {
    round++;
    if (had.length < 5) setImmediate(count);
  };
  setImmediate(count);
  await all;
  expect(had.map(({ request }) => request)).toEqual([0, 1, 2, 3, 4]);
  expect(new Set(had.map((each) => each.round)).size).toBe(5);
});
