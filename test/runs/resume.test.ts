// A resumed run is the run that began: what differs is told or refused, what is missing comes back from what is whole.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { PreparedData, PreparedFiles } from "../../src/data/prepared-files.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { readTokenizer } from "../../src/data/tokenizer-file.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { listCheckpoints, loadState } from "../../src/runs/checkpoint.ts";
import { createRunFolder, openRunFolder, type RunFolderOptions } from "../../src/runs/run-folder.ts";
import { describeResumable } from "../../src/runs/description.ts";
import { openRun, type Run, type RunOptions } from "../../src/runs/run.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { hashOf, makeWorkplace } from "../e2e/cli.ts";
import { tinyTraining } from "../training/tiny.ts";

const place = makeWorkplace();
let runtime: WasmRuntime;
let data: PreparedData;
let other: PreparedData;
let config: TrainingConfig;

beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  const text = place.at("text.txt");
  data = await prepareData({ source: text, vocabularySize: 270, cacheFolder: place.at("cache") });
  fs.writeFileSync(place.at("other.txt"), fs.readFileSync(text, "utf8").replaceAll("peace", "keep"));
  other = await prepareData({ source: place.at("other.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
  const made = tinyTraining("mhc", { model: { vocabulary: data.tokenizer.vocabularySize } });
  config = { ...made, optimizer: { ...made.optimizer, schedule: { kind: "constant" } } };
  const run = await openRun(runtime, config, data, place.at("stopped"));
  while (run.trainer.step < 8) await run.advance();
  run.close();
});
afterAll(() => {
  for (const each of [data, other]) each.close();
  runtime.close();
  place.remove();
});

let folder: string;
let count = 0;
beforeEach(() => {
  folder = place.at(`run-${count++}`);
  fs.cpSync(place.at("stopped"), folder, { recursive: true });
});
const inside = (...names: string[]): string => path.join(folder, ...names);

/** Resumes, and what was said meanwhile. */
async function resume(
  options: RunOptions & { config?: TrainingConfig; data?: PreparedFiles; runtime?: WasmRuntime } = {},
): Promise<{ run: Run; warnings: string[]; notes: string[] }> {
  const warnings: string[] = [];
  const notes: string[] = [];
  const { config: asked = config, data: tokens = data, runtime: machine = runtime, ...more } = options;
  const run = await openRun(machine, asked, tokens, folder, {
    existing: "resume",
    onWarning: (message) => warnings.push(message),
    onNote: (message) => notes.push(message),
    ...more,
  });
  return { run, warnings, notes };
}
async function finish(run: Run): Promise<void> {
  while (!run.finished) await run.advance();
  await run.checkpoint();
  run.close();
}
const modelOf = (run: string, step: number): string =>
  hashOf(path.join(run, "checkpoints", `step-${step}`, "model.safetensors"));

function editConfig(edit: (config: Edited) => void): TrainingConfig {
  const described = JSON.parse(fs.readFileSync(inside("config.json"), "utf8")) as { config: Edited };
  edit(described.config);
  fs.writeFileSync(inside("config.json"), JSON.stringify(described));
  return described.config as unknown as TrainingConfig;
}

test("a run as it was left is resumed without a word", async () => {
  const { run, warnings, notes } = await resume();
  run.close();
  expect([run.trainer.step, warnings, notes]).toEqual([8, [], []]);
});

interface Edited {
  [field: string]: unknown;
  readonly optimizer: Record<string, unknown>;
  readonly data: Record<string, unknown>;
  readonly model: Record<string, unknown>;
}

describe("the configuration", () => {
  const edits: Readonly<Record<string, (config: Edited) => void>> = {
    seed: (edited) => (edited.seed = 7),
    batch: (edited) => (edited.batch = 5),
    steps: (edited) => (edited.steps = 9),
    evaluateEvery: (edited) => (edited.evaluateEvery = 3),
    "optimizer.learningRate": (edited) => (edited.optimizer.learningRate = 1e-4),
    "data.source": (edited) => (edited.data.source = "/etc/hostname"),
    "model.normEpsilon": (edited) => (edited.model.normEpsilon = 1e-3),
  };
  test.each(Object.entries(edits))("with an edited %s is refused, and nothing is changed", async (field, edit) => {
    const edited = editConfig(edit);
    const before = fs.readFileSync(inside("config.json"), "utf8");
    await expect(resume({ config: edited })).rejects.toThrow(
      new RegExp(
        `config.json of .* is not the configuration that its checkpoint of step 8 was trained with:\\n  ${field}: .* in the checkpoint, .* in config.json\\nPut the old values back`,
      ),
    );
    expect(fs.readFileSync(inside("config.json"), "utf8")).toBe(before);
    expect(fs.existsSync(inside("lock"))).toBe(false);
  });

  test("says how to ask for what was edited, and takes it then", async () => {
    const edited = editConfig((each) => (each.seed = 7));
    await expect(resume({ config: edited })).rejects.toThrow(`birkhoff train --resume ${folder} --set seed=7`);
    const { run } = await resume({ config: edited, changed: ["seed"] });
    run.close();
    expect(openRunFolder(folder).changes).toEqual([{ step: 8, fields: [{ field: "seed", was: 5, is: 7 }] }]);
    // It needs to be asked for only once, also before the next checkpoint.
    (await resume({ config: edited })).run.close();
  });

  test("that is missing or torn comes back from the checkpoint", async () => {
    for (const damage of [() => fs.rmSync(inside("config.json")), () => fs.truncateSync(inside("config.json"), 9)]) {
      damage();
      expect(describeResumable(folder).config).toEqual(JSON.parse(JSON.stringify(config)));
      const { run, warnings } = await resume();
      run.close();
      expect(warnings).toEqual([
        expect.stringContaining("config.json is missing or not readable; it is written again"),
      ]);
      expect(openRunFolder(folder).config).toEqual(JSON.parse(JSON.stringify(config)));
    }
  });

  test("may change in what computes nothing else, and where it lies", async () => {
    const moved = editConfig((each) => (each.recompute = "auto"));
    const { run, warnings } = await resume({ config: moved });
    run.close();
    expect(warnings).toEqual([]);
  });
});

describe("a change that is asked for", () => {
  test("makes a finished run go on, with the bits of one that was to be so long", async () => {
    await finish((await resume()).run);
    const { run: ended, notes } = await resume();
    ended.close();
    expect(notes).toEqual([
      `${folder} is finished: all of its 12 steps are done. To train on: birkhoff train --resume ${folder} --steps 24`,
    ]);
    const longer = { ...config, steps: 16 };
    await expect(resume({ config: longer })).rejects.toThrow(
      "was begun with another configuration:\n  steps: 12 in the run, 16 now",
    );
    await finish((await resume({ config: longer, changed: ["steps"] })).run);
    const straight = await openRun(runtime, longer, data, `${folder}-straight`);
    await finish(straight);
    expect(modelOf(folder, 16)).toBe(modelOf(`${folder}-straight`, 16));
    expect(openRunFolder(folder)).toMatchObject({
      config: { steps: 16 },
      changes: [{ step: 12, fields: [{ field: "steps", was: 12, is: 16 }] }],
    });
    (await resume({ config: longer })).run.close();
  });

  test("is refused where it would be another run, or end it before where it stands", async () => {
    await expect(resume({ config: { ...config, steps: 5 }, changed: ["steps"] })).rejects.toThrow(
      "was to have 5 steps, but it is at step 8: give at least 8",
    );
    const model = { ...config.model, ropeTheta: 500 };
    await expect(resume({ config: { ...config, model }, changed: ["model.ropeTheta"] })).rejects.toThrow(
      /model\.ropeTheta of the run in .* is \d+ and cannot change/,
    );
  });
});

test("other tokens are refused", async () => {
  await expect(resume({ data: other })).rejects.toThrow(
    /the train and validation tokens are not those that the run in .* learned from \(checkpoint of step 8\)/,
  );
});

/** A run of version 0.1, whose checkpoints know nothing of it. */
function oldRun(): string {
  fs.cpSync(new URL("../fixtures/runs-0.1/residual", import.meta.url), inside("old"), { recursive: true });
  expect(loadState(listCheckpoints(inside("old"))[0]!.folder)).not.toHaveProperty("identity");
  return inside("old");
}
function warningsOf(run: string, options: RunFolderOptions = {}): string[] {
  const warnings: string[] = [];
  const asItIs = parseTrainingConfig(openRunFolder(run).config);
  const onWarning = (message: string): void => void warnings.push(message);
  createRunFolder(run, asItIs, { existing: "resume", onWarning, ...options }).close();
  return warnings;
}

test("another build of the kernels is told, also for a run of version 0.1", async () => {
  const simd = await createWasmRuntime({ threads: 1, build: "simd" });
  const { run, warnings } = await resume({ runtime: simd });
  run.close();
  simd.close();
  const said = 'the steps up to 8 were computed by the kernels "relaxed", the next ones by "simd"';
  if (runtime.kernels.startsWith("relaxed")) expect(warnings).toEqual([expect.stringContaining(said)]);
  const origin = { train: "", validation: "", tokenizer: "" };
  const old = oldRun();
  expect(openRunFolder(old).versions.kernels).toMatch(/^relaxed /);
  expect(warningsOf(old, { origin: { ...origin, kernels: "relaxed", kernelCode: "1" } })).toEqual([]);
  expect(warningsOf(old, { origin: { ...origin, kernels: "simd" } })).toEqual([
    expect.stringContaining('the steps up to 4 were computed by the kernels "relaxed", the next ones by "simd"'),
  ]);
});

test("another version of the kernels is told", async () => {
  const { run, warnings } = await resume({ runtime: { ...runtime, kernelCode: "another" } });
  run.close();
  expect(warnings).toEqual([
    expect.stringContaining("the kernels are of another version than those of the steps up to 8"),
  ]);
});

describe("the tokenizer", () => {
  const damages: Readonly<Record<string, (file: string) => void>> = {
    missing: (file) => fs.rmSync(file),
    empty: (file) => fs.truncateSync(file, 0),
    torn: (file) => fs.truncateSync(file, 100),
    another: (file) => {
      const json = JSON.parse(fs.readFileSync(file, "utf8")) as { model: { merges: unknown[] } };
      json.model.merges.reverse();
      fs.writeFileSync(file, JSON.stringify(json));
    },
  };
  test.each(Object.entries(damages))("that is %s comes back from the prepared data", async (_, damage) => {
    damage(inside("tokenizer.json"));
    const { run, warnings } = await resume();
    run.close();
    expect(warnings).toEqual([expect.stringMatching(/tokenizer\.json is written again from the prepared data, for /)]);
    expect(readTokenizer(inside("tokenizer.json")).encode("peace")).toEqual(data.tokenizer.encode("peace"));
  });
});

describe("holes in the records", () => {
  const lines = (name: string): string[] => fs.readFileSync(inside(name), "utf8").split("\n");
  test.each([
    ["missing", (file: string) => fs.rmSync(file), "0 of the 8"],
    ["halved", (file: string) => fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2)), /[34] of the 8/],
    ["cut", (file: string) => fs.truncateSync(file, fs.statSync(file).size - 20), "7 of the 8"],
  ] as const)("%s metrics are told", async (_, damage, expected) => {
    damage(inside("metrics.jsonl"));
    const { run, warnings } = await resume();
    await finish(run);
    expect(warnings).toEqual([expect.stringMatching(expected)]);
    // The training does not depend on them.
    const whole = await openRun(runtime, config, data, `${folder}-whole`);
    await finish(whole);
    expect(modelOf(folder, 12)).toBe(modelOf(`${folder}-whole`, 12));
  });

  test.each(["gains.jsonl", "mixing.jsonl", "metrics.jsonl"])("one digit that changed in %s is told", async (name) => {
    const [first = "", ...rest] = lines(name);
    fs.writeFileSync(
      inside(name),
      [first.replace(/\d(?=\d*[,\]}])/, (digit) => String((Number(digit) + 1) % 10)), ...rest].join("\n"),
    );
    const { run, warnings } = await resume();
    run.close();
    expect(warnings).toEqual([expect.stringContaining(`${name} is damaged or was edited`)]);
  });

  test("an edited loss is told without a word about lacking steps", async () => {
    fs.writeFileSync(
      inside("metrics.jsonl"),
      lines("metrics.jsonl")
        .join("\n")
        .replace(/"loss":\d/, '"loss":9'),
    );
    const { run, warnings } = await resume();
    run.close();
    expect(warnings).toEqual([
      expect.stringMatching(
        /metrics\.jsonl is damaged or was edited: it is not as it was when the checkpoint of step 8 was saved\. The run goes on$/,
      ),
    ]);
  });

  test("of a run without a memory of them are counted", async () => {
    const old = oldRun();
    fs.writeFileSync(path.join(old, "metrics.jsonl"), lines("old/metrics.jsonl").toSpliced(1, 2).join("\n"));
    expect(warningsOf(old)).toEqual([
      expect.stringContaining("it has records of 2 of the 4 steps up to the checkpoint"),
    ]);
  });
});

test("a run without a checkpoint says that it begins anew", async () => {
  fs.rmSync(inside("checkpoints"), { recursive: true });
  const { run, notes } = await resume();
  run.close();
  expect(notes).toEqual([`${folder} has no checkpoint yet: it begins anew at step 1.`]);
});

test("what kills have left is swept up, and what living processes write is not", async () => {
  const dead = 2 ** 22 + 7;
  const left = [
    `config.json.${dead}.tmp`,
    `gains.jsonl.${dead}.tmp`,
    `tokenizer.json.${dead}.tmp`,
    `.write-test-${dead}`,
  ];
  const living = [
    `report.html.${process.ppid}.tmp`,
    `tags.json.00000000-${dead}.tmp`,
    "notes.tmp",
    // Not of a name that the library writes.
    `notes.txt.${dead}.tmp`,
  ];
  for (const name of [...left, ...living]) fs.writeFileSync(inside(name), "");
  for (const step of [2, 4])
    fs.cpSync(inside("checkpoints", "step-8"), inside("checkpoints", `step-${step}`), { recursive: true });
  const { run } = await resume();
  run.close();
  const present = fs.readdirSync(folder);
  expect(present.filter((name) => left.includes(name))).toEqual([]);
  expect(present).toEqual(expect.arrayContaining(living));
  expect(listCheckpoints(folder)).toHaveLength(config.keepCheckpoints);
});
