// Question: is no reader of files made to wait, or to fill the memory?

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readBeginning, readText, readWhole } from "../../src/files/read.ts";
import { openShards } from "../../src/files/shards.ts";
import { readTokenizer } from "../../src/data/tokenizer-file.ts";
import { readRecords } from "../../src/files/records.ts";
import { readHuggingFaceModel } from "../../src/interop/hf/weights.ts";
import { describeResumable, readDescription } from "../../src/runs/description.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { readSamples } from "../../src/runs/samples.ts";
import { readOutcome, readSweepPlan } from "../../src/runs/sweep/folder.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-read-"));
afterAll(() => fs.rmSync(root, { recursive: true }));
const at = (name: string): string => path.join(root, name);

test("a file is read whole, up to the most bytes of its kind", () => {
  fs.writeFileSync(at("text"), "naïve");
  expect(readText(at("text"))).toBe("naïve");
  expect([...readWhole(at("text"), 6)]).toEqual([...Buffer.from("naïve")]);
  expect(() => readWhole(at("text"), 5)).toThrow("it has 6 B, and at most 5 B of such a file are read");
  expect(() => readText(root)).toThrow(/EISDIR/);
  expect(() => readText(at("none"))).toThrow(/ENOENT/);
});

test("the beginning of a file ends with a whole character", () => {
  fs.writeFileSync(at("beginning"), "naïve");
  expect(readBeginning(at("beginning"), 3)).toBe("na");
  expect(readBeginning(at("beginning"), 4)).toBe("naï");
  expect(readBeginning(at("beginning"), 100)).toBe("naïve");
});

describe.skipIf(process.platform === "win32").each(["named pipe", "device"])("a %s", (kind) => {
  const make = (name: string): string => {
    const file = at(`${kind[0]}-${name}`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    if (kind === "device") fs.symlinkSync("/dev/zero", file);
    else execFileSync("mkfifo", [file]);
    return file;
  };
  const readers: Readonly<Record<string, (file: string) => unknown>> = {
    "a/text": readText,
    "a/tokenizer.json": readTokenizer,
    "a/metrics.jsonl": readRecords,
    "b/config.json": (file) => readDescription(path.dirname(file)),
    "c/config.json": (file) => describeResumable(path.dirname(file)),
    "d/samples.txt": (file) => readSamples(path.dirname(file)),
    "e/sweep.json": (file) => readSweepPlan(path.dirname(file)),
    "f/result.json": (file) => readOutcome(path.dirname(file)),
    "g/config.json": (file) => readHuggingFaceModel(path.dirname(file)),
    "h/model.safetensors.index.json": (file) => openShards(path.dirname(file)),
  };
  test.each(Object.keys(readers))("as %s is refused at once", (name) => {
    const file = make(name);
    const began = performance.now();
    expect(() => readers[name]!(file)).toThrow(`it is a ${kind}, not a file`);
    expect(performance.now() - began).toBeLessThan(1000);
  });

  test("as a file of a run is a problem of that run", () => {
    const folder = path.dirname(make("run/config.json"));
    expect(readRunData(folder).problems).toContain(
      `config.json: it is a ${kind}, not a file, and reading it could wait for ever`,
    );
  });
});
