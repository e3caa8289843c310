// An experiment in small: several seeds, the report and the figures, also after it was stopped and went on.

import fs from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeWorkplace, run } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const small = ["--data", "text.txt", "--vocabulary", "270", "--cache", "cache", "--batch", "2", "--context", "16"];

test("compare --experiment stability trains every connection with every seed and draws the paper's figures", async () => {
  const sizes = ["--set", "model.layers=2", "--set", "model.width=16", "--set", "model.heads=2"];
  const more = [...sizes, "--set", "model.kvHeads=2", "--set", "gainsEvery=2", "--set", "evaluateBatches=1"];
  const given = ["compare", "--experiment", "stability", "--steps", "6", "--seeds", "3,5", "--out", "made"];
  const { code, stdout, stderr } = await run(place.folder, [...given, ...small, ...more]);
  expect(code, stderr).toBe(0);
  const made = place.at("made");
  const names = ["residual", "hc", "mhc"].flatMap((kind) => [`${kind}-seed3`, `${kind}-seed5`]);
  expect(fs.readdirSync(made).sort()).toEqual([...names, "experiment.json", "figures", "report.html"].sort());
  for (const [index, name] of names.entries()) {
    const { config } = JSON.parse(fs.readFileSync(path.join(made, name, "config.json"), "utf8"));
    expect([config.seed, config.model.context, config.steps]).toEqual([[3, 5][index % 2], 16, 6]);
  }
  expect(stdout).toContain("Largest composite gain of HC");
  expect(fs.readFileSync(path.join(made, "report.html"), "utf8")).toContain("Beside the mHC paper");
  for (const figure of [2, 3, 5, 7, 8]) {
    expect(fs.readFileSync(path.join(made, "figures", `figure-${figure}.svg`), "utf8")).toMatch(/^<svg /);
    // The first bytes of a PNG.
    expect(
      fs
        .readFileSync(path.join(made, "figures", `figure-${figure}.png`))
        .subarray(1, 4)
        .toString(),
    ).toBe("PNG");
  }
  fs.rmSync(path.join(made, "report.html"));
  const again = await run(place.folder, ["compare", "--resume", "made", "--cache", "cache"]);
  expect(again.code, again.stderr).toBe(0);
  expect(fs.existsSync(path.join(made, "report.html"))).toBe(true);
});

test("an experiment has sizes of its own, and a seed is given only once", async () => {
  const preset = await run(place.folder, ["compare", "--experiment", "scaling", "--preset", "nano", ...small]);
  expect([preset.code, preset.stderr]).toEqual([
    1,
    "birkhoff: --experiment scaling chooses its own models, and --preset chooses others: leave out one of the two.\n",
  ]);
  const twice = await run(place.folder, ["compare", "--seeds", "1,1", ...small]);
  expect(twice.stderr).toContain("Give each seed only once.");
  const both = await run(place.folder, ["compare", "--seed", "3", "--seeds", "1,2", ...small]);
  expect(both.stderr).toMatch(/--seeds <list>' cannot be used with option '--seed/);
});
