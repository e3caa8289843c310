// A trained residual model becomes one with streams: the same function, which then learns with all it has.

import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { presets } from "../../src/model/config.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { type Checkpoint, latestCheckpoint, loadCheckpoint } from "../../src/runs/checkpoint.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { openRunFolder } from "../../src/runs/run-folder.ts";
import { openRun, type Run } from "../../src/runs/run.ts";
import { compareLogits, upcycle, type UpcycledConnection, upcycledConnections } from "../../src/interop/upcycle.ts";
import { hashOf, losses, makeWorkplace } from "../e2e/cli.ts";
import { type Changes, tinyTraining } from "../training/tiny.ts";

const place = makeWorkplace();
const STEP = 12;
let runtime: WasmRuntime;
let data: PreparedData;
let residual: TrainingConfig;
/** What the residual model loses on the validation text, and in the steps it does next. */
let evaluated: number;
let next: number[];

beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
  data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
  residual = configOf("residual", { name: "residual", batch: 2, steps: 40, model: { ...presets.nano, context: 32 } });
  const run = await train(residual, "residual", STEP);
  evaluated = (await run.trainer.evaluate()).loss;
  run.close();
  fs.cpSync(place.at("residual"), place.at("on"), { recursive: true });
  const on = await openRun(runtime, residual, data, place.at("on"), { existing: "resume" });
  next = [(await on.advance()).loss, (await on.advance()).loss];
  on.close();
});
afterAll(() => {
  data.close();
  runtime.close();
  place.remove();
});

function configOf(kind: "residual" | "mhc", { model, ...changes }: Changes = {}): TrainingConfig {
  return tinyTraining(kind, { ...changes, model: { ...model, vocabulary: data.tokenizer.vocabularySize } });
}

async function train(config: TrainingConfig, folder: string, until: number): Promise<Run> {
  const run = await openRun(runtime, config, data, place.at(folder));
  while (run.trainer.step < until) await run.advance();
  return run;
}

const sameBytes = (a: Float32Array, b: Float32Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));
const checkpointOf = (folder: string): Checkpoint => loadCheckpoint(latestCheckpoint(place.at(folder))!.folder);
const resume = async (folder: string): Promise<Run> =>
  await openRun(runtime, openRunFolder(place.at(folder)).config as TrainingConfig, data, place.at(folder), {
    existing: "resume",
  });
const errorOf = async (action: () => unknown): Promise<string> => {
  try {
    await action();
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
};

const targets: readonly UpcycledConnection[] = [
  ...[1, 2, 4, 8].map(upcycledConnections.mhc),
  ...[1, 4].map(upcycledConnections.hc),
];

describe.each(targets)("$kind, $streams streams", (connection) => {
  const { kind, streams } = connection;
  const name = `${kind}-${streams}`;

  test("computes what the residual model does", async () => {
    const { difference, largestLogit, addedParameters, step, config } = await upcycle(
      runtime,
      place.at("residual"),
      place.at(name),
      connection,
    );
    expect(difference).toBeLessThan(1e-5);
    expect(largestLogit).toBeGreaterThan(0.1);
    expect(step).toBe(STEP);
    const [n, C] = [streams, residual.model.width];
    const rows = kind === "mhc" ? (n * n + 2 * n) * n * C : (n + 2) * C;
    expect(addedParameters).toBe(2 * residual.model.layers * (rows + n * n + 2 * n + 3));
    expect(config).toMatchObject({ name, steps: 40, upcycledFrom: { run: place.at("residual"), step: STEP } });
    expect(openRunFolder(place.at(name)).config).toEqual(config);
    // In float64, on a shorter text: nothing but the rounding of the old weights, which both have.
    const exact = await compareLogits(createReferenceRuntime(), [
      { config: { ...residual.model, context: 5 }, tensors: checkpointOf("residual").model },
      { config: { ...config.model, context: 5 }, tensors: checkpointOf(name).model },
    ]);
    expect(exact.difference).toBeLessThan(1e-9);
  });
  test("keeps weights and moments, and adds moments of zero", () => {
    const [old, made] = [checkpointOf("residual"), checkpointOf(name)];
    expect(made.step).toBe(STEP);
    // What the checkpoint knows of its run differs: the connection, and the files of records.
    expect({ ...made.state, identity: undefined }).toEqual({ ...old.state, identity: undefined });
    const stored = new Map([...made.model, ...made.optimizer].map((tensor) => [tensor.name, tensor]));
    for (const { name, shape, data } of [...old.model, ...old.optimizer]) {
      expect(stored.get(name)!.shape).toEqual(shape);
      expect(sameBytes(stored.get(name)!.data, data), name).toBe(true);
      stored.delete(name);
    }
    for (const { name, data } of stored.values()) {
      expect(name).toContain(".connection.");
      if (/\.[mv]$/.test(name)) expect(data.every((value) => value === 0)).toBe(true);
    }
  });
  test("goes on from the same loss, which falls, and every new parameter moves", async () => {
    const start = new Map(checkpointOf(name).model.map((tensor) => [tensor.name, tensor.data]));
    const run = await resume(name);
    expect(run.trainer.step).toBe(STEP);
    expect(run.metrics).toEqual([]);
    expect(Math.abs((await run.trainer.evaluate()).loss - evaluated)).toBeLessThan(1e-5);
    expect(Math.abs((await run.advance()).loss - next[0]!)).toBeLessThan(1e-5);
    // The second step's loss is after an update that the residual model does not have.
    expect(Math.abs((await run.advance()).loss - next[1]!)).toBeLessThan(0.2);
    while (!run.finished) await run.advance();
    expect((await run.trainer.evaluate()).loss).toBeLessThan(evaluated - 0.1);
    const dead = (await run.trainer.save()).model
      .filter(({ name: parameter, data: values }) => values.every((value, i) => value === start.get(parameter)![i]))
      .map(({ name: parameter }) => parameter);
    expect(dead).toEqual([]);
    run.close();
    expect(losses(place.at(name))).toHaveLength(40 - STEP);
  });
  test("its streams become different in what they read and write", () => {
    const biases = checkpointOf(name).model.filter(({ name: parameter }) => parameter.endsWith("bias"));
    // All streams are the embedding where the first sublayer reads, and the mean is all that follows the last.
    const read = biases.slice(1).map(({ data: bias }) => bias.subarray(0, streams));
    const written = biases.slice(0, -1).map(({ data: bias }) => bias.subarray(streams, 2 * streams));
    for (const values of [...read, ...written]) expect(new Set(values).size).toBe(streams);
  });
});

test("a finished run gets as many steps again; a number of steps must lie ahead", async () => {
  const run = await train(configOf("residual", { name: "short", steps: 4 }), "short", 4);
  run.close();
  const connection = upcycledConnections.mhc(4);
  expect((await upcycle(runtime, place.at("short"), place.at("longer"), connection)).config.steps).toBe(8);
  expect((await upcycle(runtime, place.at("short"), place.at("given"), connection, { steps: 5 })).config.steps).toBe(5);
  expect(
    await errorOf(async () => await upcycle(runtime, place.at("short"), place.at("past"), connection, { steps: 4 })),
  ).toBe("the new run must end after step 4, where the old one is, but it would end at step 4; give more steps");
  const on = await resume("longer");
  while (!on.finished) await on.advance();
  on.close();
  expect(checkpointOf("longer").step).toBe(8);
});

test("an upcycled run resumes bit for bit", async () => {
  const connection = upcycledConnections.mhc(4);
  for (const name of ["whole", "parts"])
    await upcycle(runtime, place.at("residual"), place.at(name), connection, { steps: 24 });
  for (const parts of [[24], [18, 24]]) {
    const name = parts.length === 1 ? "whole" : "parts";
    for (const until of parts) {
      const run = await resume(name);
      while (run.trainer.step < until) await run.advance();
      await run.checkpoint();
      run.close();
    }
  }
  const hashes = (name: string): string[] =>
    ["model", "optimizer"].map((file) => hashOf(place.at(name, "checkpoints", "step-24", `${file}.safetensors`)));
  expect(hashes("parts")).toEqual(hashes("whole"));
});

describe("refused", () => {
  const connection = upcycledConnections.mhc(4);

  test("a run that is not residual", async () => {
    (await train(configOf("mhc", { name: "streams" }), "streams", 4)).close();
    expect(await errorOf(async () => await upcycle(runtime, place.at("streams"), place.at("no"), connection))).toBe(
      `${place.at("streams")} is a mhc model already; upcycling starts from a residual one (birkhoff train --connection residual)`,
    );
  });
  test("a run without a checkpoint, the same folder, a folder with a run", async () => {
    (await train(configOf("residual"), "fresh", 1)).close();
    expect(await errorOf(async () => await upcycle(runtime, place.at("fresh"), place.at("no"), connection))).toContain(
      "has no checkpoint",
    );
    expect(
      await errorOf(async () => await upcycle(runtime, place.at("residual"), place.at("residual"), connection)),
    ).toContain("give it another");
    expect(
      await errorOf(async () => await upcycle(runtime, place.at("residual"), place.at("fresh"), connection)),
    ).toContain("there is a run in");
  });
  test("a start that computes something else, before anything is written", async () => {
    const { initialisation: _start, ...other } = { ...upcycledConnections.mhc(4), initialisation: undefined };
    expect(
      await errorOf(
        async () => await upcycle(runtime, place.at("residual"), place.at("no"), other as UpcycledConnection),
      ),
    ).toMatch(/^the mhc model would not compute what .* does: a logit differs by \d/);
    expect(fs.existsSync(place.at("no"))).toBe(false);
  });
});
