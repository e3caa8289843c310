// Every reader of a run's records takes NaN and the infinities for what they are: no reader fails, hides or invents.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { csvTables } from "../../src/interop/csv.ts";
import { prometheusText } from "../../src/interop/prometheus.ts";
import { exportTensorBoard } from "../../src/interop/tensorboard.ts";
import { findings, runNumbers } from "../../src/report/findings.ts";
import { reportHtml } from "../../src/report/report-page.ts";
import type { Curves, RunCard } from "../../src/report/server/messages.ts";
import { liveRow } from "../../src/report/server/records.ts";
import { createRoutes } from "../../src/report/server/routes.ts";
import { drawCurves, summaryTable } from "../../src/report/summary.ts";
import { sweepTable } from "../../src/report/sweep-table.ts";
import { formatJson, formatRecord, parseJson } from "../../src/files/json.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { readMetrics } from "../../src/runs/run-folder.ts";
import { parseSweep } from "../../src/runs/sweep/definition.ts";
import { summariseSweep, writeOutcome } from "../../src/runs/sweep/folder.ts";
import { curves } from "../../src/training/scalars.ts";
import type { MetricRecord } from "../../src/training/records.ts";
import { run } from "../e2e/cli.ts";
import { makeRuns, metric } from "./run-folders.ts";

const place = makeRuns();
afterAll(() => place.remove());

const BAD = [21, 22, 23, 24, 25];
/** Thirty steps; some have a loss and a gradient norm that are not finite. */
const recordsWith = (value: number, bad: readonly number[]): MetricRecord[] =>
  Array.from({ length: 30 }, (_, index) => {
    const more =
      index % 10 === 9 ? { validationLoss: bad.length > 9 ? value : 2, bitsPerByte: bad.length > 9 ? value : 1.5 } : {};
    return metric(index + 1, bad.includes(index + 1) ? { ...more, loss: value, gradientNorm: value } : more);
  });

const all = Array.from({ length: 30 }, (_, index) => index + 1);
const kinds: Readonly<Record<string, readonly [value: number, bad: readonly number[]]>> = {
  "NaN in the middle": [NaN, BAD],
  "Infinity in the middle": [Infinity, BAD],
  "-Infinity in the middle": [-Infinity, BAD],
  "NaN at the end": [NaN, [30]],
  "one Infinity at the beginning": [Infinity, [1]],
  "nothing but NaN": [NaN, all],
  "nothing but Infinity": [Infinity, all],
};
let number = 0;

describe.each(Object.entries(kinds))("%s", (_, [value, bad]) => {
  const name = `run-${number++}`;
  let folder: string;
  beforeAll(() => {
    const gains = [10, 20, 30].map((step) => ({
      step,
      single: { forward: [1, value], backward: [1, 1] },
      composite: { forward: [value, 2], backward: [1, value] },
      rowError: [value, 0],
    }));
    folder = place.write(name, { metrics: recordsWith(value, bad), gains, events: [] });
  });
  const read = (): ReturnType<typeof readRunData> => readRunData(folder);
  const app = (): ReturnType<typeof createRoutes> =>
    createRoutes({ root: place.folder, host: "127.0.0.1", page: new Map(), metricsText: prometheusText });
  const ask = async (address: string): Promise<Response> => app().request(address, { headers: { host: "127.0.0.1" } });

  test("readers of records give the values back", () => {
    expect(read().problems).toEqual([]);
    expect(read().metrics).toEqual(recordsWith(value, bad));
    expect(readMetrics(folder)).toEqual(recordsWith(value, bad));
  });

  test("the page's curves have a gap at exactly those steps", async () => {
    const { series } = (await (await ask(`/api/curves?run=${name}&points=900`)).json()) as Curves;
    for (const { step, value: values } of [series.loss, series.gradientNorm]) {
      expect(step).toEqual(all);
      expect(step.filter((_step, index) => values[index] === null)).toEqual(bad);
    }
    const at = 2 + curves.findIndex(({ curve }) => curve.name === "loss");
    for (const record of recordsWith(value, bad))
      expect(liveRow("metrics.jsonl", formatRecord(record))?.[at]).toBe(
        bad.includes(record.step) ? "not finite" : record.loss,
      );
  });

  test("the page's cards and lists are read", async () => {
    const { cards } = (await (await ask("/api/runs")).json()) as { cards: RunCard[] };
    const card = cards.find(({ id }) => id === name)!;
    expect(card.problem).toBeNull();
    // The mean of the last twenty that are finite.
    const last = all.slice(-20).flatMap((step) => (bad.includes(step) ? [] : [4 / step]));
    expect(card.loss).toBe(bad.includes(30) ? null : last.reduce((sum, loss) => sum + loss, 0) / last.length);
    expect(card.validationLoss).toBe(bad.length === 30 ? null : 2);
    for (const route of ["gains", "texts"]) expect((await ask(`/api/${route}?run=${name}`)).status).toBe(200);
  });

  test("Prometheus gets the last values", async () => {
    const text = await (await ask("/metrics")).text();
    const shown = value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : "NaN";
    const loss = text.split("\n").find((line) => line.startsWith("birkhoff_loss") && line.includes(`folder="${name}"`));
    expect(loss?.split(" ").at(-1)).toBe(bad.includes(30) ? shown : String(4 / 30));
  });

  test("CSV has them as text", () => {
    const [header = "", ...rows] = csvTables(read())["metrics.csv"].trim().split("\n");
    const at = header.trim().split(",").indexOf("loss");
    const cells = rows.map((row) => row.split(",")[at]!);
    expect(cells.map(Number)).toEqual(recordsWith(value, bad).map(({ loss }) => loss));
  });

  test("TensorBoard gets a file", () => {
    const out = path.join(place.folder, `board-${name}`);
    expect(exportTensorBoard(folder, out)).toHaveLength(1);
    fs.rmSync(out, { recursive: true });
  });

  test("terminal, report and findings show the rest", async () => {
    const { metrics } = read();
    const drawn = drawCurves([{ name: "loss", values: metrics.map(({ loss }) => loss) }]);
    expect(drawn).toContain(`${bad.length} of 30 steps are not finite`);
    expect(drawn).not.toMatch(/NaN|undefined/);
    const html = await reportHtml([read()]);
    expect(html).not.toContain(">undefined<");
    expect(runNumbers([read()])[0]).toMatchObject({ diverged: true, step: 30 });
    expect(findings([read()]).join()).not.toMatch(/undefined/);
    const worst = Math.max(...metrics.map(({ gradientNorm }) => gradientNorm));
    const row = {
      name,
      parameters: 1,
      bitsPerByte: value,
      tokensPerSecond: value,
      memoryBytes: 1,
      largestGradientNorm: worst,
      largestForwardGain: value,
      largestBackwardGain: value,
      alarms: 0,
      lastAlarm: undefined,
    };
    expect(summaryTable([row])).not.toMatch(/undefined|null/);
  });

  test("a sweep's table and files keep them", () => {
    const sweep = parseSweep({ name: "s", axes: { seed: [5] } });
    const point = path.join(place.folder, `sweep-${name}`, "seed=5");
    fs.cpSync(folder, point, { recursive: true });
    writeOutcome(point, { outcome: "finished", step: 30 });
    const { results, summary } = summariseSweep(path.dirname(point), sweep);
    expect(results[0]!.lossSpikes).toBeGreaterThan(0);
    expect(results[0]!.diverged).toBe(bad.length === 30);
    const written = parseJson(fs.readFileSync(path.join(path.dirname(point), "results.jsonl"), "utf8").trim());
    expect(written).toEqual(parseJson(formatJson(results[0])));
    expect(written).toMatchObject({ largestGradientNorm: results[0]!.largestGradientNorm });
    expect(sweepTable(summary)).not.toMatch(/undefined|null/);
    fs.rmSync(path.dirname(point), { recursive: true });
  });

  test("inspect shows the run", async () => {
    const { code, stdout, stderr } = await run(place.folder, ["inspect", name]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`${bad.length} of 30 steps are not finite`);
    const { stdout: json } = await run(place.folder, ["inspect", name, "--json"]);
    expect((parseJson(json) as { last: MetricRecord }).last).toEqual(recordsWith(value, bad).at(-1));
  });
});

test.each([
  ["the largest", Array<number>(200).fill(Number.MAX_VALUE)],
  ["of both signs", [Number.MAX_VALUE, -Number.MAX_VALUE, 1]],
  ["nearly the same", [1e6, 1e6 + 2 ** -33, 1e6]],
  ["the smallest", [0, Number.MIN_VALUE, 0]],
])("a curve of numbers that are %s is drawn", (_, values) => {
  const drawn = drawCurves([{ name: "loss", values }]);
  expect(drawn).not.toMatch(/NaN|undefined/);
  expect(drawn.split("\n").length).toBeLessThan(20);
});
