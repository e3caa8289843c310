// Training on WebGPU: steps are submitted before the loss of the one before has come back, and the records are those of a
// run that waits.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PreparedData } from "../../../src/data/prepared-files.ts";
import { prepareData } from "../../../src/data/prepare.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { readGains, readMetrics } from "../../../src/runs/run-folder.ts";
import { openRun } from "../../../src/runs/run.ts";
import { makeWorkplace } from "../../e2e/cli.ts";
import { tinyTraining } from "../../training/tiny.ts";
import { hasWebgpu } from "./here.ts";

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 300_000 }, () => {
  const place = makeWorkplace();
  let runtime: WebgpuRuntime;
  let data: PreparedData;
  beforeAll(async () => {
    runtime = await createWebgpuRuntime();
    data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
  });
  afterAll(() => {
    data.close();
    runtime.close();
    place.remove();
  });

  /** Train in a folder; returns what WebGPU was asked for, and when each step began. */
  const train = async (folder: string, asynchronous: boolean): Promise<string> => {
    const log: string[] = [];
    const watched: Runtime = {
      ...runtime,
      asynchronous,
      compile(spec) {
        const program = runtime.compile(spec);
        if (!("clip" in spec.outputs)) return program;
        const run = program.run.bind(program);
        return Object.assign(program, { run: () => (log.push("step"), run()) });
      },
    };
    const { submit } = GPUQueue.prototype;
    const { mapAsync } = GPUBuffer.prototype;
    GPUQueue.prototype.submit = function (...given) {
      log.push("submit");
      return submit.apply(this, given);
    };
    GPUBuffer.prototype.mapAsync = async function (...given) {
      await mapAsync.apply(this, given);
      log.push("mapped");
    };
    try {
      const vocabulary = data.tokenizer.vocabularySize;
      const config = tinyTraining("residual", { steps: 8, model: { vocabulary } });
      const run = await openRun(watched, config, data, place.at(folder));
      while (!run.finished) await run.advance();
      run.close();
    } finally {
      GPUQueue.prototype.submit = submit;
      GPUBuffer.prototype.mapAsync = mapAsync;
    }
    return log.join(" ");
  };

  test("step k + 1 is submitted before the loss of step k is mapped; records are those of a run that waits", async () => {
    const begunEarly = /step (submit )+step (submit )+mapped/;
    expect(await train("ahead", true)).toMatch(begunEarly);
    expect(await train("waits", false)).not.toMatch(begunEarly);
    const untimed = (folder: string): object =>
      readMetrics(place.at(folder)).map((record) => ({ ...record, seconds: 0, tokensPerSecond: 0, memory: 0 }));
    expect(untimed("ahead")).toEqual(untimed("waits"));
    expect(readGains(place.at("ahead"))).toEqual(readGains(place.at("waits")));
  });
});
