// Every example runs and does what it says.

import { mkdtempSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test, vi } from "vitest";
import type { GainPair } from "birkhoff";
import type { Accuracies } from "../../examples/classify.ts";

test("wrap-a-block: the loss falls by at least ten times, and the mixing amplifies nothing", async () => {
  const log = vi.spyOn(console, "log").mockReturnValue();
  await import("../../examples/wrap-a-block.ts");
  const [loss, gains] = log.mock.calls[0] as [number, GainPair];
  log.mockRestore();
  // An untrained stack hands x on: its loss is the mean of (x - x²)² over uniform x, 1/30.
  expect(loss).toBeLessThan(1 / 300);
  expect(gains.forward).toHaveLength(6);
  for (const gain of gains.forward) expect(gain).toBeCloseTo(1, 5);
  for (const gain of gains.backward) expect(gain).toBeLessThan(1.2);
});

test.for(["vision-transformer", "mlp-mixer"])(
  "%s: more than 95 % of held-out images, a linear model under 40 %",
  { timeout: 240_000 }, // patience for a machine that others use too
  async (name) => {
    const { accuracies } = (await import(`../../examples/${name}.ts`)) as { accuracies: Accuracies };
    expect(accuracies.mhc).toBeGreaterThan(0.95);
    expect(accuracies.residual).toBeGreaterThan(0.95);
    expect(accuracies.linear).toBeLessThan(0.4);
  },
);

test("stability: 64 random mixing matrices amplify with HC and do not with mHC", async () => {
  const { hc, mhc } = (await import("../../examples/stability.ts")).gains;
  expect(Math.max(...hc.composite.forward)).toBeGreaterThan(10);
  expect(Math.max(...hc.composite.backward)).toBeGreaterThan(10);
  for (const gain of mhc.composite.forward) expect(gain).toBeCloseTo(1, 4);
  for (const gain of mhc.composite.backward) expect(gain).toBeCloseTo(1, 1);
});

test("sinkhorn: doubly stochastic at first, the cheapest assignment at last", async () => {
  const { first, last, cost } = await import("../../examples/sinkhorn.ts");
  for (const row of first) expect(sumOf(row)).toBeCloseTo(1, 12);
  for (const j of [0, 1, 2, 3]) expect(sumOf(first.map((row) => row[j]!))).toBeCloseTo(1, 6);
  expect(last.map((row) => row.indexOf(Math.max(...row)))).toEqual([0, 2, 1, 3]);
  expect(cost).toBeCloseTo(11, 1);
});

test(
  "encoder-decoder: sorts words with Sinkhorn attention, and goes on from a checkpoint",
  { timeout: 240_000 },
  async () => {
    const { train } = await import("../../examples/encoder-decoder.ts");
    const folder = path.join(mkdtempSync(path.join(os.tmpdir(), "encoder-decoder-")), "run");
    const first = await train(5, 300, 1, folder);
    // A word of the list at each place, drawn at random, would be right in one place of eight.
    expect(first.words).toBeGreaterThan(0.35);
    expect(await train(5, 300, 1, folder)).toEqual(first);
  },
);

const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");

test("the README shows the example as it is", () => {
  expect(read("README.md")).toContain(`\`\`\`ts\n${read("examples/wrap-a-block.ts").trimEnd()}\n\`\`\``);
});
