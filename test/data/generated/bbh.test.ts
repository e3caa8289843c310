// The solvers against BIG-Bench Hard itself: two items of each task always, and every item where its files are at hand
// (BIRKHOFF_BBH names the folder with boolean_expressions.json and the others).

import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { partOf } from "../../../src/data/generated/held-out.ts";
import { generatedTasks, parseTasks } from "../../../src/data/generated/table.ts";
import kept from "./bbh-items.json" with { type: "json" };

interface Item {
  readonly input: string;
  readonly target: string;
}

const names = parseTasks("bbh").map(({ name }) => name);
const folder = process.env.BIRKHOFF_BBH;
const items: Readonly<Record<string, readonly Item[]>> = kept.items;

test("there are two items of each of the 14 tasks", () => {
  expect(names).toHaveLength(14);
  expect(Object.keys(items).sort()).toEqual([...names].sort());
});

test.each(names)("%s: the solver answers the kept items, and they are never trained on", (name) => {
  const solved = items[name]!.map(({ input }) => [generatedTasks[name]!.solve(input), partOf(input)]);
  expect(solved).toEqual(items[name]!.map(({ target }) => [target, "bbh"]));
});

test.skipIf(folder === undefined)(
  `every item of the 14 files is solved and held out${folder === undefined ? " (skipped: BIRKHOFF_BBH names no folder)" : ""}`,
  () => {
    for (const name of names) {
      const file = path.join(folder!, `${name.slice("bbh_".length)}.json`);
      const { examples } = JSON.parse(fs.readFileSync(file, "utf8")) as { examples: Item[] };
      const solved = examples.filter(({ input, target }) => generatedTasks[name]!.solve(input) === target).length;
      expect([name, solved]).toEqual([name, 250]);
      expect(examples.filter(({ input }) => partOf(input) !== "bbh")).toEqual([]);
    }
  },
);
