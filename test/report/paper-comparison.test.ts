// What runs say of the paper's statements, and loss by compute, from runs with known records.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { paperFigures } from "../../src/report/figures/paper.ts";
import { experimentOverSizes, scalingPoints } from "../../src/report/figures/scaling.ts";
import { findings } from "../../src/report/findings.ts";
import { comparePaper, paperTable } from "../../src/report/paper-comparison.ts";
import { readRunData, type RunData } from "../../src/runs/run-data.ts";
import { storeRun } from "./stored-runs.ts";

const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-paper-"));
afterAll(() => fs.rmSync(place, { recursive: true }));

/** Runs whose losses and gradient norms are these, the same at all steps. */
function run(kind: "residual" | "hc" | "mhc", seed: number, loss: number, norm: number, layers = 4): RunData {
  const folder = storeRun(place, { name: `${kind}-${seed}-${layers}`, kind, seed, layers });
  const data = readRunData(folder);
  const metrics = data.metrics.map((record) => ({
    ...record,
    loss,
    gradientNorm: norm,
    ...(record.validationLoss === undefined ? {} : { validationLoss: loss + 0.5 }),
  }));
  return { ...data, metrics };
}

test("a difference is the paper's when every seed has its sign", () => {
  const runs = [
    run("residual", 1, 3, 1),
    run("residual", 2, 3.2, 1),
    run("hc", 1, 2.9, 3),
    run("hc", 2, 3.0, 4),
    run("mhc", 1, 2.95, 2),
    run("mhc", 2, 2.9, 1),
  ];
  const rows = comparePaper(runs);
  const row = (start: string) => rows.find(({ quantity }) => quantity.startsWith(start))!;
  expect(row("Training loss at the end, HC minus mHC")).toMatchObject({
    here: "+0.0250 (−0.0500 to +0.1000)",
    verdict: "not decided: seeds differ in sign",
  });
  expect(row("Training loss at the end, mHC minus residual")).toMatchObject({
    here: "−0.1750 (−0.3000 to −0.0500)",
    verdict: "shows: the same sign in every seed",
  });
  expect(row("Gradient norm")).toMatchObject({
    here: "2.75 (1.50 to 4.00)",
    verdict: "shows: above one in every seed",
  });
  expect(String(paperTable(runs))).toContain("not decided");
});

test("the other way is said, and of one seed that it is one", () => {
  const rows = comparePaper([run("residual", 1, 3, 1), run("hc", 1, 3.1, 1), run("mhc", 1, 3.2, 2)]);
  const verdicts = rows.map(({ verdict }) => verdict);
  expect(verdicts).toContain("does not show: the other sign, of one seed");
  expect(verdicts).not.toContain("shows: the same sign in every seed");
});

test("runs that ended early decide nothing, and the step is said", () => {
  const [hc, mhc] = [run("hc", 1, 2.9, 1), run("mhc", 1, 3, 1)];
  const cut = { ...hc, metrics: hc.metrics.slice(0, -3) };
  const row = (runs: readonly RunData[]) =>
    comparePaper(runs).find(({ quantity }) => quantity.startsWith("Training loss"))!;
  expect(row([hc, mhc]).verdict).toContain("the other sign");
  expect(row([cut, mhc])).toMatchObject({
    quantity: `Training loss at step ${cut.metrics.at(-1)!.step}, HC minus mHC`,
    verdict: "not decided: not all runs reached the end",
  });
});

test("a gain that only some seeds show is not decided", () => {
  const runs = [1, 2].map((seed) => run("hc", seed, 3, 1));
  const gains = (largest: number) => [
    { step: 1, composite: { forward: [1, largest], backward: [1, 1] }, single: { forward: [1, 1], backward: [1, 1] } },
  ];
  const verdict = (...largest: number[]): string =>
    comparePaper(runs.map((data, index) => ({ ...data, gains: gains(largest[index]!) })))[0]!.verdict;
  expect(verdict(20, 30)).toBe("shows: the product amplifies");
  expect(verdict(2, 30)).toBe("not decided: seeds differ");
  expect(verdict(2, 3)).toBe("does not show: the product stays small");
});

test("nothing is compared without HC or mHC", () => {
  expect(comparePaper([run("residual", 1, 3, 1)])).toEqual([]);
  expect(paperTable([])).toBeUndefined();
});

test("loss by compute: a point a size, against the residual model of the size and seed", () => {
  const small = [
    run("residual", 1, 3, 1, 2),
    run("residual", 2, 3.2, 1, 2),
    run("mhc", 1, 2.9, 1, 2),
    run("mhc", 2, 2.8, 1, 2),
    run("mhc", 3, 3.2, 1, 2),
  ];
  const large = [run("residual", 1, 2, 1, 8), run("mhc", 1, 1.8, 1, 8)];
  const points = scalingPoints([...large, ...small]);
  expect(points.map(({ name, label, kind, seeds }) => [name, label, kind, seeds])).toEqual([
    ["2 layers of width 128", "mhc", "mhc", 3],
    ["8 layers of width 128", "mhc", "mhc", 1],
  ]);
  // Validation losses are 0.5 above; the third seed has no twin and stands against the mean of the others.
  const { gap, relative } = points[0]!;
  expect(gap.mean).toBeCloseTo((-0.1 - 0.4 + 0.1) / 3, 12);
  expect([gap.least, gap.largest]).toEqual([expect.closeTo(-0.4, 12), expect.closeTo(0.1, 12)]);
  expect(relative.least).toBeCloseTo((100 * 3.3) / 3.7, 10);
  // Head, projections and SwiGLU at two operations a weight, scores and sums, three times for training, by hand.
  const layer = 2 * (4 * 128 * 128 + 3 * 128 * 384) + 4 * 2 * 32 * 129;
  const tokens = 200 * 16 * 128;
  expect(points[0]!.flops).toBe(3 * tokens * (2 * layer + 2 * 128 * 1024));
  expect(points[1]!.flops).toBe(3 * tokens * (8 * layer + 2 * 128 * 1024));
  expect(paperFigures([...large, ...small]).map(({ name }) => name)).toEqual(["figure-6"]);
  expect(paperFigures(small).map(({ name }) => name)).not.toContain("figure-6");
  const [figure] = paperFigures([...large, ...small]);
  expect(figure!.caption).toContain("over up to 3 seeds the mean, with a band");
  expect(findings([...large, ...small]).slice(0, 2)).toEqual([
    "mhc minus residual, final validation losses in nats a token: −0.1333 (−0.4000 to +0.1000) at 2 layers of width 128 and −0.2000 at 8 layers of width 128. In every seed it ends below at 1 of 2 sizes, above at 0.",
    "Means over 1 to 3 seeds, each against the residual model of its seed, or the mean of all where that is missing; in brackets the smallest and the largest.",
  ]);
});

test("two connections of a kind are two curves; several runs of one and a size are no experiment over sizes", () => {
  const two = [1, 8].flatMap((layers) => {
    const mine = run("mhc", 1, 1.9, 1, layers);
    const { config } = mine;
    const connection = { ...config!.model.connection, iterations: 5 } as NonNullable<
      typeof config
    >["model"]["connection"];
    const other = {
      ...mine,
      name: `mhc-short-S${layers}`,
      config: { ...config!, model: { ...config!.model, connection } },
    };
    return [run("residual", 1, 2, 1, layers), { ...mine, name: `mhc-S${layers}` }, other];
  });
  expect(experimentOverSizes(two).map(({ label }) => label)).toEqual(expect.arrayContaining(["mhc", "mhc-short"]));
  const clipped = two.map((one) => ({ ...one, config: { ...one.config!, evaluateBatches: 3 } }));
  expect(experimentOverSizes([...two, ...clipped])).toEqual([]);
});

test("unfinished runs are no points", () => {
  const half = run("mhc", 1, 2.9, 1, 2);
  const points = scalingPoints([run("residual", 1, 3, 1, 2), { ...half, metrics: half.metrics.slice(0, 100) }]);
  expect(points).toEqual([]);
});
