// What cannot be done is refused in one message before anything is begun: too little memory, options without effect.

import fs from "node:fs";
import { afterAll, expect, test } from "vitest";
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
    /residual, hyper, manifold: training would need/,
  ],
  [["train", "--data", "text.txt", "--memory", "much"], /amount of memory such as 2GiB/],
  [["train", "--resume", "runs/x", "--steps", "9"], /--steps does not go with --resume, which takes it from the run/],
  [["train", "--resume", "runs/x", "--connection", "hyper"], /--connection does not go with --resume/],
  [["compare", "--resume", "runs", "--batch", "2"], /--batch does not go with --resume/],
  [
    ["convert", "a", "b", "--from", "residual", "--to", "manifold", "--iterations", "3"],
    /--iterations does not go with --from residual; it is for files/,
  ],
  [
    ["convert", "a", "b", "--from", "paper", "--to", "deepseek-v4", "--steps", "3"],
    /--steps does not go with a file; it is for --from residual/,
  ],
] as const)("%j", async (args, message) => {
  const { code, stderr, stdout } = await run(place.folder, args);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ {4}at /);
  expect(stdout).toBe("");
  expect(fs.existsSync(place.at("small"))).toBe(false);
});
