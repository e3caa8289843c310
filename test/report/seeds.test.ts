// What figures show of several seeds: medians with their range, and of matrices the seed in the middle.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gainProfileFigure, gainMapFigure } from "../../src/report/figures/gains.ts";
import { interventionsFigure } from "../../src/report/figures/interventions.ts";
import { mixingFigure } from "../../src/report/figures/mixing.ts";
import { measuredAt } from "../../src/report/figures/seeds.ts";
import { seriesOf, spreadOf } from "../../src/report/figures/series.ts";
import { saturationFigure } from "../../src/report/figures/streams.ts";
import { renderSvg } from "../../src/report/render.ts";
import type { InterventionsData } from "../../src/runs/interventions-data.ts";
import { readRunData, type RunData } from "../../src/runs/run-data.ts";
import type { GainPair } from "../../src/stability/gains.ts";
import { storeRun } from "./stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "seeds-"));
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));

/** Three seeds of HC whose gains, matrices and logits are those of one, times 10, 1 and 2. */
const factors = [10, 1, 2];
let runs: RunData[];
let single: RunData;
beforeAll(() => {
  runs = factors.map((factor, index) => {
    const run = readRunData(storeRun(parent, { name: `hc-seed${index + 1}`, kind: "hc", seed: index + 1 }));
    const times = (values: readonly number[]): number[] => values.map((value) => factor * value);
    const pair = ({ forward, backward }: GainPair): GainPair => ({
      forward: times(forward),
      backward: times(backward),
    });
    return {
      ...run,
      gains: run.gains.map((record) => ({
        ...record,
        composite: pair(record.composite!),
        mixing: record.mixing!.map(times),
        columnError: times(record.columnError!),
      })),
      interventions: interventions([
        ["identity, all", factor],
        ["uniform, all", -factor],
      ]),
    };
  });
  single = runs[1]!;
});

function interventions(changes: readonly (readonly [name: string, change: number])[]): InterventionsData {
  return {
    step: 200,
    loss: 3,
    rows: changes.map(([name, change]) => ({ name, change, loss: 3 + change, sublayers: [0, 1] })),
  };
}

test("a spread has mean, median and ends", () => {
  expect(spreadOf([10, 1, 2])).toEqual({ mean: 13 / 3, median: 2, least: 1, largest: 10 });
  expect(spreadOf([4, 1])).toEqual({ mean: 2.5, median: 2.5, least: 1, largest: 4 });
});

test("gains by sublayer are the median, in a band from the smallest to the largest", async () => {
  const { spec, caption } = gainProfileFigure(runs)!;
  const own = single.gains.at(-1)!.composite!.backward;
  const shown = valuesOf(spec).filter(({ direction, largest }) => direction === "backward" && largest! > 12);
  expect(shown.length).toBeGreaterThan(0);
  for (const { sublayer, gain, least, largest } of shown) {
    expect(gain).toBeCloseTo(2 * own[sublayer! - 1]!, 3);
    expect(least).toBeCloseTo(own[sublayer! - 1]!, 3);
    expect(largest).toBeCloseTo(10 * own[sublayer! - 1]!, 3);
  }
  expect(caption).toContain("the median, with a band");
  expect((await renderSvg(spec)).includes("mark-area")).toBe(true);
});

test("of one seed there is neither a band nor a word of it", async () => {
  const { spec, caption } = gainProfileFigure([single])!;
  expect(caption).not.toContain("seeds");
  expect((await renderSvg(spec)).includes("mark-area")).toBe(false);
  expect(mixingFigure([single])!.caption).not.toContain("seed");
});

test("a map of gains and the column errors show medians too", () => {
  const step = single.gains.at(-1)!;
  const mapped = valuesOf(gainMapFigure(runs)!.spec).filter((value) => value.step === step.step);
  expect(mapped.map(({ gain }) => gain)).toEqual(
    step.composite!.backward.map((gain) => Number((2 * gain).toPrecision(6))),
  );
  const errors = valuesOf(saturationFigure(runs)!.spec);
  expect(errors[0]!.value! / errors[0]!.least!).toBeCloseTo(2, 4);
  expect(errors[0]!.largest! / errors[0]!.value!).toBeCloseTo(5, 4);
});

test("matrices are those of the seed whose largest composite gain is the median, and its name is told", () => {
  const { spec, caption } = mixingFigure(runs)!;
  expect(JSON.stringify(spec)).toContain("HC (3 seeds), step 200, seed 3");
  expect(caption).toContain("the median");
  const first = 2 * single.gains.at(-1)!.mixing![0]![0]!;
  expect(valuesOf(spec)[0]!.value).toBeCloseTo(first, 5);
});

test("seeds that have not measured the newest step are left out, and the title says so", () => {
  const early = { ...runs[2]!, gains: runs[2]!.gains.slice(0, -3) };
  const [series] = seriesOf([runs[0]!, runs[1]!, early]);
  const measured = measuredAt(series!, ({ composite }) => composite !== undefined)!;
  expect(measured).toMatchObject({ step: 200, title: "HC (3 seeds), step 200, 2 of them" });
  expect(measuredAt(series!, ({ composite }) => composite !== undefined, 100)!.seeds).toHaveLength(3);
  expect(measuredAt(series!, () => false)).toBeUndefined();
});

test("interventions: the median of what all seeds have, with its range; seeds without any do not count", () => {
  const [first, second, third] = runs as [RunData, RunData, RunData];
  const lacking = { ...third, interventions: interventions([["identity, all", 2]]) };
  const rows = valuesOf(interventionsFigure([first, second, lacking])!.spec);
  expect(rows).toMatchObject([{ name: "identity, all", change: 2, least: 1, largest: 10 }]);
  const none = { ...third, interventions: undefined };
  expect(valuesOf(interventionsFigure([first, none])!.spec).map(({ series }) => series)).toEqual([
    "HC-seed1",
    "HC-seed1",
  ]);
});

interface Value {
  readonly name?: string;
  readonly series?: string;
  readonly direction?: string;
  readonly step?: number;
  readonly sublayer?: number;
  readonly gain?: number;
  readonly value?: number;
  readonly change?: number;
  readonly least?: number;
  readonly largest?: number;
}

/** All data of a specification. */
function valuesOf(spec: unknown): Value[] {
  if (typeof spec !== "object" || spec === null) return [];
  if (Array.isArray(spec)) return spec.flatMap(valuesOf);
  return Object.entries(spec).flatMap(([key, inner]) => (key === "values" ? (inner as Value[]) : valuesOf(inner)));
}
