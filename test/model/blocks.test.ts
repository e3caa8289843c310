// Texts that share blocks of a cache: what a text finds at its places is what it would have read itself.

import { expect, test } from "vitest";
import { createBlocks, type Place } from "../../src/model/blocks.ts";
import { uniform } from "../ops/harness.ts";

const [SLOTS, SIZE, LENGTH] = [5, 4, 30];
const COUNT = SLOTS * Math.ceil(LENGTH / SIZE);

interface Text {
  readonly place: Place;
  readonly tokens: readonly number[];
  /** Tokens in the cache; undefined while others read what it has in common with them. */
  read: number | undefined;
}

test("texts come, read, wait for each other and go, and none sees another's tokens in place of its own", () => {
  const random = uniform(4);
  const draw = (below: number): number => Math.floor(below * random());
  const blocks = createBlocks(SLOTS, COUNT, SIZE);
  /** What the cache holds at each position of each block, with all tokens before it. */
  const cells = Array.from({ length: COUNT }, () => Array.from({ length: SIZE }, () => ""));
  const active = new Set<Text>();
  const totals = { shared: 0, waited: 0, whole: 0, wrong: 0 };
  const seen = ({ place, tokens, read }: Text): void => {
    for (let at = 0; at < read!; at++) {
      const block = place.reach(at)[Math.floor(at / SIZE)]!;
      if (cells[block]![at % SIZE] !== tokens.slice(0, at + 1).join()) totals.wrong++;
    }
  };
  for (let turn = 0; turn < 2000; turn++) {
    while (blocks.free > 0 && random() < 0.5) {
      // Texts of few kinds at a time: many begin alike.
      const [kind, length] = [(turn >> 3) + draw(2), 1 + draw(LENGTH)];
      const tokens = Array.from({ length }, (_, at) => (at < 9 ? kind : at < 17 ? kind + 5 * draw(2) : draw(9)));
      const firsts = tokens.slice(0, 1 + draw(length));
      active.add({ place: blocks.take(firsts), tokens, read: undefined });
    }
    for (const text of active) {
      const { place, tokens } = text;
      if (text.read === undefined) {
        if (!place.isReady()) {
          totals.waited++;
          continue;
        }
        text.read = place.known;
        totals.shared += place.known;
        seen(text);
      }
      const end = Math.min(tokens.length, text.read + 1 + draw(6));
      for (let at = text.read; at < end; at++)
        cells[place.reach(at)[Math.floor(at / SIZE)]!]![at % SIZE] = tokens.slice(0, at + 1).join();
      text.read = end;
      place.note(end);
    }
    for (const text of active) {
      if (text.read !== undefined) seen(text);
      const whole = text.read === text.tokens.length;
      if (!whole && random() > 0.05) continue;
      text.place.leave(text.tokens.slice(0, text.read ?? 0));
      active.delete(text);
      if (whole) totals.whole++;
    }
  }
  expect(totals.wrong).toBe(0);
  expect(Math.min(totals.shared / SIZE, totals.waited, totals.whole)).toBeGreaterThan(50);
  for (const { place, tokens, read } of active) place.leave(tokens.slice(0, read ?? 0));
  // All of it can be had again.
  const places = Array.from({ length: SLOTS }, (_, index) => blocks.take([100 + index]));
  expect(new Set(places.flatMap((place) => place.reach(LENGTH - 1))).size).toBe(COUNT);
});
