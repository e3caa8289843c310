// What the page is told of runs beyond their curves: smoothed numbers, seeds of one configuration, the time that is
// left, the newest checkpoint, the best validation, the load of the experts.

import fs from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { imbalance } from "../../../src/stability/extremes.ts";
import { createBests } from "../../../src/report/server/bests.ts";
import { createCards } from "../../../src/report/server/cards.ts";
import { createLoadKeeper } from "../../../src/report/server/expert-load.ts";
import type { RunCard } from "../../../src/report/server/messages.ts";
import { createPace } from "../../../src/report/server/pace.ts";
import { createPlaces } from "../../../src/report/server/places.ts";
import { makeRoot, metricLine, type Workplace, writeRun } from "./runs.ts";

let place: Workplace;
beforeEach(() => {
  place = makeRoot();
});
afterEach(() => place.remove());

function withConfig(run: string, change: (config: Record<string, unknown>) => void): void {
  const file = place.at(run, "config.json");
  const description = JSON.parse(fs.readFileSync(file, "utf8")) as { config: Record<string, unknown> };
  change(description.config);
  fs.writeFileSync(file, JSON.stringify(description));
}
const cardsNow = (): Record<string, RunCard> =>
  Object.fromEntries(
    createCards(createPlaces(place.root))
      .list()
      .map((card) => [card.id, card]),
  );

test("loss and speed of a card are of the last twenty records, and null where the last loss is not finite", () => {
  writeRun(place.at("a"), { done: 0 });
  const line = (step: number): string =>
    metricLine(step, {
      loss: step,
      tokensPerSecond: step === 30 ? 1e6 : 1000 + step,
      bitsPerByte: step === 25 ? 2.5 : undefined,
      validationLoss: step === 25 ? 4 : undefined,
    });
  fs.writeFileSync(place.at("a", "metrics.jsonl"), Array.from({ length: 30 }, (_, index) => line(index + 1)).join(""));
  expect(cardsNow()["a"]).toMatchObject({
    loss: 20.5,
    tokensPerSecond: 1020.5,
    bitsPerByte: 2.5,
    validationLoss: 4,
    saved: null,
  });
  fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(31, { loss: "NaN" }));
  for (const step of [8, 31]) fs.mkdirSync(place.at("a", "checkpoints", `step-${step}`), { recursive: true });
  expect(cardsNow()["a"]).toMatchObject({ loss: null, saved: 31 });
});

test("runs that differ in the seed alone are a family", () => {
  for (const [name, change] of Object.entries<object>({
    one: { seed: 1 },
    two: { seed: 2, sampleEvery: 5 },
    three: { seed: 1, batch: 8 },
    moe: { seed: 1, model: { feedForward: { kind: "moe" } } },
    net: { kind: "net", model: { parameters: 9 } },
  })) {
    writeRun(place.at(name), { done: 3 });
    withConfig(name, (config) => Object.assign(config, change));
  }
  const { one, two, three, moe, net } = cardsNow();
  expect([one!.seed, two!.seed]).toEqual([1, 2]);
  expect(two!.family).toBe(one!.family);
  expect(three!.family).not.toBe(one!.family);
  expect([one!.connection, net!.connection]).toEqual(["mhc", "net"]);
  expect([one!.experts, moe!.experts]).toEqual([false, true]);
});

test("networks of one's own are known as such, and each is a family of its own: only its program tells what it is", () => {
  for (const name of ["one", "two"]) {
    writeRun(place.at(name), { done: 3 });
    const config = { kind: "net", name, steps: 3, model: { parameters: 7, connection: { kind: "hc" } }, optimizer: {} };
    fs.writeFileSync(place.at(name, "config.json"), JSON.stringify({ config }));
  }
  const { one, two } = cardsNow();
  expect(one).toMatchObject({
    net: true,
    connection: "hc",
    size: "",
    step: 3,
    steps: 3,
    state: "finished",
    problem: null,
  });
  expect(two!.family).not.toBe(one!.family);
});

test("the time that is left follows the clock, not the time of the steps, and begins anew where a run goes back", () => {
  let now = 0;
  const pace = createPace(() => now);
  expect(pace.secondsLeft(100, 200)).toBeUndefined();
  now = 1000;
  expect(pace.secondsLeft(110, 200)).toBeUndefined();
  now = 4000;
  expect(pace.secondsLeft(120, 200)).toBe(16);
  // It slows down: after two minutes only the last of them count.
  for (let step = 121; step <= 200; step++) {
    now += 10_000;
    pace.secondsLeft(step, 1000);
  }
  expect(pace.secondsLeft(200, 1000)).toBe(8000);
  expect(pace.secondsLeft(50, 1000)).toBeUndefined();
});

test("the best validation of a run is found once and followed, also over a step back", () => {
  writeRun(place.at("a"), { done: 0 });
  writeRun(place.at("none"), { done: 3 });
  const append = (step: number, validationLoss: unknown): void =>
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(step, { validationLoss, bitsPerByte: 1 }));
  const bests = createBests(createPlaces(place.root));
  append(1, 5);
  append(2, 3);
  append(3, 4);
  expect(bests()).toEqual({ a: { step: 2, validationLoss: 3, bitsPerByte: 1 } });
  append(4, 2.5);
  append(5, "NaN");
  expect(bests()["a"]!.step).toBe(4);
  // The run went back to step 1, and was worse then.
  append(2, 4.5);
  expect(bests()["a"]).toMatchObject({ step: 2, validationLoss: 4.5 });
});

test("loads of experts are kept at even steps, the newest always", () => {
  const keeper = createLoadKeeper(4);
  for (let step = 1; step <= 11; step++) keeper.add(step, [[step, 3 * step]]);
  const { step, shares } = keeper.loads("a");
  expect(step).toEqual([4, 8, 11]);
  expect(shares[0]).toEqual([[0.5, 1.5]]);
  keeper.cut(8);
  expect(keeper.loads("a").step).toEqual([4]);
  keeper.add(9, undefined);
  expect(keeper.loads("a").step).toEqual([4]);
  expect(createLoadKeeper().loads("a")).toEqual({ run: "a", step: [], shares: [] });
});

test("how uneven the experts are is one number", () => {
  expect(
    imbalance([
      [1, 1, 1, 1],
      [0, 4, 0, 0],
    ]),
  ).toBe(4);
  expect(imbalance([[2, 2]])).toBe(1);
  expect(imbalance([[0, 0]])).toBeUndefined();
  expect(imbalance("none")).toBeUndefined();
});
