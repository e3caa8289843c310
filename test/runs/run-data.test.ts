import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { readRunData } from "../../src/runs/run-data.ts";
import { storeRun, writeLines } from "../report/stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "run-data-"));
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));

test("a sound run is read whole and without a problem", () => {
  const run = readRunData(storeRun(parent, { name: "sound", kind: "mhc" }));
  expect(run.problems).toEqual([]);
  expect(run.metrics).toHaveLength(200);
  expect(run.gains.at(-1)!.mixing).toHaveLength(8);
  expect(run.config!.model.connection).toMatchObject({ kind: "mhc" });
});

test("fields of the wrong type are taken out and named, the others stay", () => {
  const folder = storeRun(parent, { name: "wrong", kind: "mhc" });
  writeLines(folder, "metrics.jsonl", [
    { step: 1, loss: "high", gradientNorm: 1, learningRate: 1, tokensPerSecond: 1, seconds: 1 },
    { step: 2, loss: "NaN", gradientNorm: "Infinity", learningRate: 1, tokensPerSecond: 1, seconds: 1 },
    { step: 3, loss: 3, gradientNorm: 1, learningRate: 1, tokensPerSecond: 1, seconds: 1, expertLoad: [[1, "x"]] },
  ]);
  writeLines(folder, "gains.jsonl", [
    {
      step: 1,
      single: { forward: [1, 1], backward: [1, 1] },
      composite: { forward: [1], backward: [1] },
      mixing: [
        [1, 0, 0, 1],
        [1, 2, 3],
      ],
      largestLogit: [null, 2],
      streamCosine: "all",
    },
  ]);
  const run = readRunData(folder);
  expect(run.metrics.map(({ loss }) => loss)).toEqual([undefined, Number.NaN, 3]);
  expect(run.metrics[1]!.gradientNorm).toBe(Infinity);
  expect(run.metrics[2]).not.toHaveProperty("expertLoad");
  expect(Object.keys(run.gains[0]!).sort()).toEqual(["largestLogit", "single", "step"]);
  expect(run.problems.join("\n")).toMatch(/metrics.jsonl, line 1: not of its type: loss/);
  expect(run.problems.join("\n")).toMatch(/gains.jsonl, line 1: .*mixing.*streamCosine.*composite/);
});

test("matrices are found in either file; those of no measured step, or of other sublayers, are left out", () => {
  const folder = storeRun(parent, { name: "apart", kind: "mhc" });
  const single = { forward: [1, 1], backward: [1, 1] };
  const [old, now] = [
    [[1], [2]],
    [[3], [4]],
  ];
  writeLines(folder, "gains.jsonl", [
    { step: 1, single, mixing: old },
    { step: 2, single },
    { step: 3, single },
  ]);
  writeLines(folder, "mixing.jsonl", [
    { step: 2, mixing: now, product: now },
    { step: 3, mixing: [[1]], product: [[1]] },
    { step: 4, mixing: now },
  ]);
  const { gains, problems } = readRunData(folder);
  expect(gains.map(({ step, mixing }) => [step, mixing])).toEqual([
    [1, old],
    [2, now],
    [3, undefined],
  ]);
  expect(problems).toEqual(["mixing.jsonl, step 3: not of as many sublayers as gains.jsonl: mixing, product"]);
});

test("interventions are read; what is no table is said", () => {
  const folder = storeRun(parent, { name: "interventions", kind: "mhc" });
  const file = path.join(folder, "interventions.json");
  fs.writeFileSync(
    file,
    JSON.stringify({
      step: 200,
      loss: 2,
      rows: [{ name: "mean", change: 0.1, loss: 2.1, sublayers: [1] }, { name: 7 }],
    }),
  );
  expect(readRunData(folder).interventions!.rows).toEqual([{ name: "mean", change: 0.1, loss: 2.1, sublayers: [1] }]);
  fs.writeFileSync(file, "[1]");
  expect(readRunData(folder)).toMatchObject({ interventions: undefined });
  expect(readRunData(folder).problems.join()).toMatch(/interventions.json/);
});

test("a folder that holds nothing, and many bad lines, throw nothing", () => {
  const empty = path.join(parent, "empty");
  fs.mkdirSync(path.join(empty, "metrics.jsonl"), { recursive: true });
  expect(readRunData(empty)).toMatchObject({ config: undefined, metrics: [], gains: [], checkpoints: [] });
  const bad = path.join(parent, "bad");
  fs.mkdirSync(bad);
  fs.writeFileSync(path.join(bad, "metrics.jsonl"), "{\n".repeat(1000));
  expect(readRunData(bad).problems.length).toBeLessThan(10);
});
