// What cannot be done is refused in one message before anything is begun: too little memory, options without effect.

import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

test.each([
  [
    ["train", "--data", "text.txt", ...tiny, "--memory", "1MiB", "--out", "small"],
    /small: training would need [\d.]+ MiB of memory; the limit is 1\.0 MiB, what --memory allows\.\nWhat saves most:\n {2}--/,
  ],
  [
    ["compare", "--data", "text.txt", ...tiny, "--memory", "1MB", "--out", "small"],
    /residual, hc, mhc: training would need/,
  ],
  // Before the text is looked for.
  [["train", "--data", "not-there.txt", ...tiny, "--memory", "1MiB"], /training would need/],
  [["compare", "--data", "not-there.txt", ...tiny, "--memory", "1MiB"], /training would need/],
  [["train", "--data", "text.txt", "--memory", "much"], /amount of memory such as 2GiB/],
  [
    ["train", "--resume", "runs/x", "--batch", "9"],
    /--batch cannot be used with --resume, because the run's configuration fixes it/,
  ],
  [["train", "--resume", "runs/x", "--connection", "hc"], /--connection cannot be used with --resume/],
  [["compare", "--resume", "runs", "--batch", "2"], /--batch cannot be used with --resume/],
  [
    ["launch", "-n", "2", "--restarts", "3", "--print", "--", "train"],
    /'--print' cannot be used with option '--restarts <n>'/,
  ],
  [
    ["convert", "a", "b", "--from", "residual", "--to", "mhc", "--iterations", "3"],
    /--iterations cannot be used with a residual run: it is for files/,
  ],
  [
    ["convert", "a", "b", "--from", "paper", "--to", "deepseek-v4", "--steps", "3"],
    /--steps cannot be used with a file: it is for a residual run/,
  ],
] as const)("%j", async (args, message) => {
  const { code, stderr, stdout } = await run(place.folder, args);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ {4}at /);
  expect(stdout).toBe("");
  expect(fs.existsSync(place.at("small"))).toBe(false);
});

test
  .skipIf(fs.existsSync("/dev/nvidiactl"))
  .each([
    [["train", "--data", "not-there.txt"]],
    [["sample", "nowhere"]],
    [["inspect", "nowhere"]],
    [["lint", "nowhere"]],
    [["intervene", "nowhere"]],
    [["import", "nowhere", "new"]],
    [["convert", "nowhere", "new", "--from", "residual", "--to", "mhc"]],
  ] as const)("%j with a GPU that is not there, before files are read", async (args) => {
  const { code, stderr } = await run(place.folder, [...args, "--runtime", "cuda"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/this computer cannot use the cuda runtime\. There is no NVIDIA GPU here/);
});

describe("what a trained run is used for", () => {
  beforeAll(async () => {
    const steps = ["--steps", "1", "--evaluate-every", "1", "--checkpoint-every", "1"];
    const { code, stderr } = await run(place.folder, ["train", "--data", "text.txt", "--out", "a", ...tiny, ...steps]);
    expect(code, stderr).toBe(0);
  });
  test.each([
    [
      ["sample", "a", "--prompt", "We the people", "--prompt", "They", "--threads", "2", "--memory", "1MiB"],
      /Writing 2 texts would need [\d.]+ MiB of memory; the limit is 1\.0 MiB, what --memory allows\.\nWhat saves most:\n {2}--threads 1: needs [\d.]+ MiB, still too much\nMost of it is the model/,
    ],
    [
      ["intervene", "a", "identity", "--threads", "2", "--memory", "1MiB"],
      /a: intervening would need [\d.]+ MiB of memory; .*\nWhat saves most:\n {2}--threads 1: needs [\d.]+ MiB, still too much/,
    ],
    [
      ["inspect", "a", "--memory", "1MiB"],
      /Looking at \d+ tokens would need [\d.]+ MiB of memory; .*\nMost of it is the model: free some memory, or allow/,
    ],
  ] as const)("%j", async (args, message) => {
    const { code, stderr, stdout } = await run(place.folder, args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/ {4}at /);
  });
});

describe("a sweep", () => {
  const base = { data: "text.txt", vocabulary: 270, context: 12, batch: 4, steps: 1, "model.width": 16 };
  const shape = { "model.layers": 1, "model.heads": 2, "model.kvHeads": 2 };
  const sweep = { name: "s", base: { ...base, ...shape }, axes: { "model.hidden": [24, 65_536], seed: [1, 2] } };

  test("with runs that do not fit is refused before it begins, with their values", async () => {
    fs.writeFileSync(place.at("s.json"), JSON.stringify(sweep));
    const { code, stderr } = await run(place.folder, ["sweep", "s.json", "--out", "s", "--memory", "200MiB"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /2 of 4 runs do not fit into memory, even alone:\n {2}model\.hidden=65536 \(2 runs\): would need [\d.]+ MiB of memory; the limit is 200\.0 MiB/,
    );
    expect(fs.existsSync(place.at("s"))).toBe(false);
  });
  test("trains no more runs at a time than fit", async () => {
    fs.writeFileSync(
      place.at("t.json"),
      JSON.stringify({ ...sweep, name: "t", base: { ...sweep.base, "model.hidden": 24 }, axes: { seed: [1, 2] } }),
    );
    const args = ["sweep", "t.json", "--out", "t", "--workers", "2", "--memory", "200MiB"];
    const { code, stderr } = await run(place.folder, args);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("2 runs, 0 done; 1 at a time, because more do not fit into memory, 1 thread each");
  });
});
