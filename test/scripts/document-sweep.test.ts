// The page of sweeps takes the table and chart of a sweep, and is held to the sweeps that it describes.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { sweepBlock, withSweep } from "../../scripts/document-sweep.ts";
import { parseSweep, sweepPoints } from "../../src/runs/sweep/definition.ts";
import { summary } from "../report/sweep-summary.ts";

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");

test("the block holds a row a group, and says what is missing", () => {
  const block = sweepBlock(summary, 7200);
  expect(block).toContain("](sweeps/example.svg)");
  expect(block).toMatch(/^\| 24 \| mhc \| 2 \| 0\.003 \|/m);
  expect(block).toContain("7 runs, 2.00 hours");
  expect(block).toContain("1 of 8 runs are missing");
});

test("it replaces its own block alone, as often as one likes", () => {
  const page = "a\n<!-- x -->\n\nold\n\n<!-- end -->\nb\n<!-- y -->\nkept\n<!-- end -->\n";
  const once = withSweep(page, "x", "new");
  expect(once).toBe("a\n<!-- x -->\n\nnew\n\n<!-- end -->\nb\n<!-- y -->\nkept\n<!-- end -->\n");
  expect(withSweep(once, "x", "new")).toBe(once);
  expect(() => withSweep(page, "z", "new")).toThrow("no block <!-- z -->");
  expect(withSweep(read("docs/sweeps.md"), "lr-depth-small", "new")).toContain("\n\nnew\n\n");
});

test.for([
  ["lr-depth-small", 108],
  ["lr-depth", 252],
] as const)("%s has the runs that the page says", ([name, runs]) => {
  const sweep = parseSweep(JSON.parse(read(`examples/sweeps/${name}.json`)));
  expect(sweep.name).toBe(name);
  expect(sweepPoints(sweep)).toHaveLength(runs);
  expect(read("docs/sweeps.md")).toContain(`${runs} runs`);
});
