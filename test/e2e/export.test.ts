// A run is trained, exported, imported, goes on and writes, as a person would do it.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { losses, makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const birkhoff = (...args: string[]): ReturnType<typeof run> => run(place.folder, args);

test("train, export, import, go on, sample", { timeout: 120_000 }, async () => {
  const steps = ["--steps", "3", "--evaluate-every", "3", "--checkpoint-every", "3"];
  const plain = ["train", "--data", "text.txt", "--connection", "residual", "--out", "plain", "--json"];
  const trained = await birkhoff(...plain, ...tiny, ...steps);
  expect(trained.code, trained.stderr).toBe(0);

  const said = await birkhoff("export", "plain", "--format", "hf");
  expect([said.code, said.stderr]).toEqual([0, ""]);
  expect(said.stdout).toMatch(/^plain\/hf: llama, step 3 of plain; 21 tensors, 49\.1 KiB, in model\.safetensors, /);
  expect(readdirSync(place.at("plain/hf")).sort()).toEqual([
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  const again = await birkhoff("export", "plain", "--format", "hf");
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("replace them (--overwrite)")]);
  const json = await birkhoff("export", "plain", "--format", "hf", "--out", "other", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ folder: "other", step: 3, modelType: "llama", tensors: 21 });
  const unknown = await birkhoff("export", "plain", "--format", "pickle");
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("Allowed choices are hf")]);

  const machine = ["--threads", "1"];
  const imported = await birkhoff(
    "import",
    "plain/hf",
    "back",
    "--data",
    "text.txt",
    "--steps",
    "2",
    "--batch",
    "2",
    ...machine,
  );
  expect([imported.code, imported.stderr]).toEqual([0, ""]);
  expect(imported.stdout).toContain("back: residual, 2 layers, width 16, heads 2, 12,560 parameters, from plain/hf.");
  expect(imported.stdout).toContain("Continue: birkhoff sample back, birkhoff train --resume back");
  const resumed = await birkhoff("train", "--resume", "back", "--cache", "cache", ...machine);
  expect(resumed.code, resumed.stderr).toBe(0);
  // It goes on in its own tokens: far better than chance from the first step.
  const [first] = losses(place.at("back")) as { step: number; loss: number }[];
  const [, , last] = losses(place.at("plain")) as { loss: number }[];
  expect(first!.step).toBe(1);
  expect(Math.abs(first!.loss - last!.loss)).toBeLessThan(0.3);
  expect(readFileSync(place.at("back/tokenizer.json"), "utf8")).toBe(
    readFileSync(place.at("plain/tokenizer.json"), "utf8"),
  );

  const wide = await birkhoff("import", "plain/hf", "wide", "--to", "mhc", "--streams", "2", "--json", ...machine);
  expect(wide.code, wide.stderr).toBe(0);
  const report = JSON.parse(wide.stdout) as { difference: number; config: { model: { connection: object } } };
  expect(report.difference).toBeLessThan(1e-5);
  expect(report.config.model.connection).toMatchObject({ kind: "mhc", streams: 2 });
  for (const folder of ["back", "wide"]) {
    const sampled = await birkhoff("sample", folder, "--tokens", "5", "--seed", "1", ...machine);
    expect(sampled.code, sampled.stderr).toBe(0);
    expect(sampled.stdout).toMatch(/^The/);
    const inspected = await birkhoff("inspect", folder, "--json");
    expect(inspected.code, inspected.stderr).toBe(0);
  }

  const there = await birkhoff("import", "plain/hf", "back", ...machine);
  expect([there.code, there.stderr]).toEqual([1, expect.stringContaining("there is a run in back already")]);
  writeFileSync(place.at("other/model.safetensors"), Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(60, 3)]));
  const foreign = await birkhoff("import", "other", "none", ...machine);
  expect([foreign.code, foreign.stderr]).toEqual([1, expect.stringContaining("it is a GGUF file")]);
});
