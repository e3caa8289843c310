// A run begins with the weights of another: --from. Its configuration is the other's where no other is given, its
// optimizer starts anew, and what does not fit is refused before a text is read.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSafetensors } from "../../src/files/safetensors.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { type CheckpointChoice, expectFits, findStart, type StartingPoint } from "../../src/runs/fork.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { hashOf, losses, makeWorkplace, run, smallText, tiny, resultOf } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const quick = [...tiny, "--steps", "4", "--evaluate-every", "2", "--checkpoint-every", "2"];
const birkhoff = async (...args: string[]) => await run(place.folder, args);
const configOf = (name: string): TrainingConfig =>
  JSON.parse(fs.readFileSync(place.at("runs", name, "config.json"), "utf8")).config;
const modelOf = (name: string, step: number): string =>
  place.at("runs", name, "checkpoints", `step-${step}`, "model.safetensors");

beforeAll(async () => {
  fs.writeFileSync(place.at("other.txt"), smallText(2000).toUpperCase());
  const { code, stderr } = await birkhoff("train", "--data", "text.txt", "--out", "runs/base", ...quick);
  expect(code, stderr).toBe(0);
});

test("--from takes weights, tokenizer and options; a killed fork resumes with the same bits", async () => {
  const args = [
    "--from",
    "runs/base",
    "--data",
    "other.txt",
    "--learning-rate",
    "1e-4",
    "--cache",
    "cache",
    "--threads",
    "1",
  ];
  const { code, stdout, stderr } = await birkhoff("train", ...args, "--checkpoint-every", "1", "--json");
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/begins with the weights of .*runs\/base, step 4\n/);
  expect(resultOf(stdout)).toMatchObject({ folder: "runs/other-from-base" });
  const [base, fork] = [configOf("base"), configOf("other-from-base")];
  expect(fork.startedFrom).toEqual({ run: fs.realpathSync(place.at("runs", "base")), step: 4 });
  expect(fork.model).toEqual(base.model);
  expect(fork).toMatchObject({ batch: base.batch, steps: 4, data: { source: "other.txt", vocabulary: 270 } });
  expect(fork.optimizer).toEqual({ ...base.optimizer, learningRate: 1e-4 });
  expect(hashOf(place.at("runs", "other-from-base", "tokenizer.json"))).toBe(
    hashOf(place.at("runs", "base", "tokenizer.json")),
  );
  const straight = hashOf(modelOf("other-from-base", 4));

  // Without its last checkpoint, and then without any, it trains the same again.
  const checkpoints = place.at("runs", "other-from-base", "checkpoints");
  for (const gone of [path.join(checkpoints, "step-4"), checkpoints]) {
    fs.rmSync(gone, { recursive: true });
    const more = await birkhoff("train", "--resume", "runs/other-from-base", "--cache", "cache");
    expect(more.code, more.stderr).toBe(0);
    expect(hashOf(modelOf("other-from-base", 4))).toBe(straight);
  }
});

test("its first loss is that of the weights, and a rate of nothing keeps them to the bit", async () => {
  const still = [
    "--from-checkpoint",
    "2",
    "--steps",
    "1",
    "--learning-rate",
    "1e-30",
    "--set",
    "optimizer.weightDecay=0",
  ];
  const args = ["--from", "runs/base", "--out", "runs/still", "--cache", "cache", ...still];
  const { code, stderr } = await birkhoff("train", ...args);
  expect(code, stderr).toBe(0);
  expect(configOf("still").startedFrom?.step).toBe(2);
  // The text is the stored one: it is not read again.
  expect(stderr).not.toContain("reading the text");
  const [was, is] = [modelOf("base", 2), modelOf("still", 1)].map((file) => readSafetensors(file).tensors);
  expect(is!.size).toBe(was!.size);
  for (const [name, { data }] of was!) expect(is!.get(name)?.data, name).toEqual(data);
  const optimizer = readSafetensors(modelOf("still", 1).replace("model.", "optimizer.")).tensors;
  // One step of moments: m = (1 − β₁) g, far from those of the other run.
  const before = readSafetensors(modelOf("base", 2).replace("model.", "optimizer.")).tensors;
  expect(optimizer.get("embedding.m")!.data).not.toEqual(before.get("embedding.m")!.data);
  const [record] = losses(place.at("runs", "still")) as { validationLoss: number }[];
  const stored = losses(place.at("runs", "base")) as { validationLoss: number }[];
  expect(record!.validationLoss).toBe(stored[1]!.validationLoss);
});

const base = (which: CheckpointChoice): StartingPoint => findStart(place.at("runs", "base"), which);

test("best is the checkpoint with the lowest validation loss, last the newest", () => {
  const copy = place.at("runs", "judged");
  fs.cpSync(place.at("runs", "base"), copy, { recursive: true });
  const records = losses(copy) as { step: number }[];
  for (const best of [2, 4]) {
    const judged = records.map((record) => ({ ...record, validationLoss: record.step === best ? 1 : 2 }));
    fs.writeFileSync(path.join(copy, "metrics.jsonl"), judged.map((record) => `${JSON.stringify(record)}\n`).join(""));
    expect(findStart(copy, "best").checkpoint.step).toBe(best);
    expect(findStart(copy, "last").checkpoint.step).toBe(4);
  }
});

test.each<[Partial<ModelConfig>, RegExp]>([
  [
    { connection: { kind: "residual" } },
    /Its connection is mhc, whose weights cannot go on with residual: leave out --connection/,
  ],
  [
    { width: 32 },
    /"embedding" is \[270, 16\], and \[270, 32\] in the new run\n.*\n.*\n.*\n {2}and \d+ more\nLeave out what changes the sizes/,
  ],
  [{ layers: 3 }, /it has no "layers\.2\.attention\.connection\.phi", \[24, 64\] in the new run/],
])("a model of other tensors is refused: %j", (other, message) => {
  const { model } = base("last").config;
  expect(() => expectFits(base("last"), model)).not.toThrow();
  expect(() => expectFits(base("last"), { ...model, ...other })).toThrow(message);
});

test("a checkpoint that is not there is refused with those that are", () => {
  expect(() => base(3)).toThrow(/runs\/base has no checkpoint of step 3; it has those of steps 2, 4/);
});

test.each([
  [["--set", "model.width=32"], /the weights of \S+runs\/base do not fit the new run:\n {2}"embedding" is/],
  [["--from-checkpoint", "first"], /It must be the step of a checkpoint, best or last/],
  [["--preset", "micro"], /'--from <run>' cannot be used with option '--preset <size>'/],
  [["--resume", "runs/base"], /'--from <run>' cannot be used with option '--resume <run>'/],
  [["--from", "runs/none"], /there is no run in runs\/none/],
])("%j is refused before the text is read", async (args, message) => {
  const { code, stderr } = await birkhoff("train", "--from", "runs/base", "--data", "nowhere.txt", ...args);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).not.toContain("nowhere");
});

test("a residual model is told how it gets streams", async () => {
  const { code, stderr } = await birkhoff(
    "train",
    "--data",
    "text.txt",
    "--connection",
    "residual",
    "--out",
    "runs/plain",
    ...quick,
    "--steps",
    "1",
  );
  expect(code, stderr).toBe(0);
  const { stderr: said } = await birkhoff("train", "--from", "runs/plain", "--connection", "mhc");
  expect(said).toMatch(/birkhoff convert .*runs\/plain NEW --from residual --to mhc; then --from NEW/);
});

test("--config of a run's config.json trains the same run again, bit by bit", async () => {
  const args = ["--config", "runs/base/config.json", "--cache", "cache", "--threads", "1", "--json"];
  const { code, stdout, stderr } = await birkhoff("train", ...args);
  expect(code, stderr).toBe(0);
  const { folder, name } = resultOf(stdout) as { folder: string; name: string };
  expect(losses(place.at(folder))).toEqual(losses(place.at("runs", "base")));
  expect({ ...configOf(name), name: "base" }).toEqual(configOf("base"));
});

test("a wrong configuration is told before the text is read", async () => {
  const { code, stderr } = await birkhoff("train", "--data", "nowhere.txt", "--set", "model.width=130");
  expect(code).toBe(1);
  expect(stderr).toMatch(/4 heads do not divide the width 130/);
});
