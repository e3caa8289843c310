// A run on generated tasks: prepared, opened again and resumed it is the same run, and it learns.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPrepared, prepareData } from "../../src/data/prepare.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { openRun } from "../../src/runs/run.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { makeWorkplace } from "../e2e/cli.ts";
import { tinyTraining } from "../training/tiny.ts";

const place = makeWorkplace();
const source = "generated:recall:2-3";
let runtime: WasmRuntime;
let data: PreparedData;
let config: TrainingConfig;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  data = await prepareData({ source, vocabularySize: 280, cacheFolder: place.at("cache") });
  config = tinyTraining("mhc", {
    data: { source, vocabulary: 280, splitSeed: 0, loss: "answers" },
    model: { vocabulary: data.tokenizer.vocabularySize, context: 48 },
    steps: 40,
    evaluateEvery: 20,
    checkpointEvery: 20,
  });
});
afterAll(() => {
  data.close();
  runtime.close();
  place.remove();
});

test("what was prepared is opened again with its tasks", async () => {
  expect(data.generated).toEqual([{ name: "recall", from: 2, to: 3 }]);
  const again = await prepareData({ source, vocabularySize: 280, cacheFolder: place.at("cache") });
  expect(again.summary.reused).toBe(true);
  expect(again.generated).toEqual(data.generated);
  again.close();
  const opened = openPrepared(data.summary.folder);
  expect(opened.generated).toEqual(data.generated);
  opened.close();
});

test("without the names of its tasks it is no text of another kind, but made again", async () => {
  const options = { source, vocabularySize: 280, cacheFolder: place.at("second-cache") };
  const first = await prepareData(options);
  first.close();
  fs.rmSync(path.join(first.summary.folder, "generated.json"));
  const again = await prepareData(options);
  expect([again.summary.reused, again.generated]).toEqual([false, data.generated]);
  again.close();
});

test("a resumed run has the same losses, and the loss falls", async () => {
  const run = await openRun(runtime, config, data, place.at("whole"));
  while (!run.finished) await run.advance();
  const whole = run.metrics.map(({ loss, validationLoss }) => [loss, validationLoss]);
  run.close();

  const begun = await openRun(runtime, config, data, place.at("halves"));
  while (begun.trainer.step < 20) await begun.advance();
  begun.close();
  const resumed = await openRun(runtime, config, data, place.at("halves"), { existing: "resume" });
  while (!resumed.finished) await resumed.advance();
  expect(resumed.metrics.map(({ loss, validationLoss }) => [loss, validationLoss])).toEqual(whole);
  resumed.close();

  expect(whole.at(-1)![1]).toBeLessThan(whole[0]![0]! - 1);
});
