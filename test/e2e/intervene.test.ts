// `birkhoff intervene` as a person uses it: the table, JSON, the file in the run folder, the chart, mistakes.

import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InterventionReport } from "../../src/study/intervene.ts";
import { losses, makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

beforeAll(async () => {
  const shared = ["--data", "text.txt", ...tiny, "--checkpoint-every", "3", "--evaluate-every", "3"];
  for (const [kind, steps] of [
    ["mhc", "6"],
    ["residual", "3"],
  ] as const) {
    const args = ["train", "--connection", kind, "--out", `runs/${kind}`, "--steps", steps, ...shared];
    const { code, stderr } = await run(place.folder, args);
    expect(code, stderr).toBe(0);
  }
});

const intervene = async (...args: string[]): Promise<string> => {
  const all = ["intervene", "runs/mhc", "--cache", "cache", "--threads", "1", ...args];
  const { code, stdout, stderr } = await run(place.folder, all);
  expect(code, stderr).toBe(0);
  return stdout;
};
const kept = (): InterventionReport =>
  JSON.parse(fs.readFileSync(place.at("runs", "mhc", "interventions.json"), "utf8")) as InterventionReport;
const validationLosses = (): (number | undefined)[] =>
  (losses(place.at("runs", "mhc")) as { validationLoss?: number }[]).map(({ validationLoss }) => validationLoss);

describe("birkhoff intervene", () => {
  test("everything, on the last checkpoint: a table, a file and a chart", async () => {
    const table = await intervene("--svg", "chart.svg");
    for (const text of ["maps become", "early 0-1", "3 feed-forward", "stream 2", "1 and 2", "20 iterations"])
      expect(table).toContain(text);
    expect(table).toMatch(/DeepSeek-V4-Flash on C4 \(arXiv 2609\.05309\).*\n.*early → identity \+41% \(here /);
    expect(
      Math.max(
        ...table
          .split("\n")
          .slice(2, 12)
          .map((line) => line.length),
      ),
    ).toBeLessThan(80);
    const report = kept();
    expect(report.step).toBe(6);
    // What the trainer said, to the last bit.
    expect(report.loss).toBe(validationLosses()[5]);
    expect(report.rows).toHaveLength(4 * 7 + 4 + 4 + 7);
    expect(report.rows.find(({ name }) => name === "iterations:20, all")!.change).toBe(0);
    const svg = fs.readFileSync(place.at("chart.svg"), "utf8");
    expect(svg.match(/<path[^>]*fill-opacity="(1|0\.3)"/g)).toHaveLength(report.rows.length);
  });

  test("an earlier checkpoint, chosen sublayers, other batches, as JSON", async () => {
    const args = ["identity", "swap:0-3", "--step", "3", "--sublayers", "0,2-last", "--sublayers", "late"];
    const report = JSON.parse(await intervene(...args, "--json")) as InterventionReport;
    expect(report).toEqual(kept());
    expect(report.loss).toBe(validationLosses()[2]);
    expect(report.rows.map(({ name, sublayers }) => [name, sublayers])).toEqual([
      ["identity, 0,2-last", [0, 2, 3]],
      ["identity, late", [2, 3]],
      ["swap:0-3, 0,2-last", [0, 2, 3]],
      ["swap:0-3, late", [2, 3]],
    ]);
    const fewer = JSON.parse(await intervene("mean", "--batches", "1", "--json")) as InterventionReport;
    expect(fewer.tokens).toBe(48);
    expect(fewer.rows[0]).not.toHaveProperty("error");
  });

  test.each([
    [["runs/mhc", "invert"], '"invert" is not an intervention. Give one of identity, mean,'],
    [["runs/mhc", "--sublayers", "2-9"], '"2-9" must lie within 0 to 3 (the model has 4 sublayers'],
    [["runs/mhc", "drop:4"], "drop:4 changes nothing in sublayers all: they have streams 0 to 3."],
    [["runs/mhc", "--step", "5"], "runs/mhc has no checkpoint of step 5; it has those of 3, 6."],
    [["runs/mhc", "mean", "--svg", "no/such/c.svg"], "the chart cannot be written to no/such/c.svg"],
    [["runs/residual"], "the model mixes no streams (its connection is residual)"],
    [["runs"], "there is no run in runs"],
  ])("%j is refused", async (args, message) => {
    const { code, stdout, stderr } = await run(place.folder, ["intervene", ...args, "--cache", "cache"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(message);
  });
});
