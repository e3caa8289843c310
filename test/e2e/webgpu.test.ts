// Training on WebGPU from the command line: a GPU that is lost in the middle of a run costs the steps since the last
// checkpoint, and the run goes on, also on another machine. Without a GPU nothing is begun.

import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { readMetrics } from "../../src/runs/run-folder.ts";
import { listCheckpoints } from "../../src/runs/checkpoint.ts";
import { hasWebgpu } from "../runtime/webgpu/here.ts";
import { type Finished, losses, makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());
const options = tiny.filter(
  (_, index) => !["--threads", undefined].includes(tiny[index]) && tiny[index - 1] !== "--threads",
);
const training = ["train", "--data", "text.txt", ...options, "--connection", "residual", "--steps", "12"];
// With --json it writes no text at its end.
const often = ["--checkpoint-every", "4", "--evaluate-every", "100", "--set", "gainsEvery=100", "--json"];

/** Run a command with these variables of the environment. */
async function runWith(variables: Record<string, string>, args: readonly string[]): Promise<Finished> {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  Object.assign(process.env, variables);
  try {
    return await run(place.folder, args);
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 240_000 }, () => {
  test("a GPU that is lost leaves the last checkpoint, from which the run goes on, also on the processor", async () => {
    const whole = await run(place.folder, [...training, ...often, "--runtime", "webgpu", "--out", "whole"]);
    expect(whole.code, whole.stderr).toBe(0);

    const script = pathToFileURL(`${import.meta.dirname}/lose-gpu.mjs`).href;
    const lost = await runWith(
      { NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ""} --import ${script}`, LOSE_GPU_IN: place.at("lost") },
      [...training, ...often, "--runtime", "webgpu", "--out", "lost"],
    );
    expect(lost.code).toBe(1);
    expect(lost.stderr).toMatch(
      /birkhoff: webgpu: the GPU was lost: .+\. Open another runtime and go on from the last checkpoint\.\n$/,
    );
    expect(readMetrics(place.at("lost"))).toHaveLength(7);
    expect(listCheckpoints(place.at("lost")).map(({ step }) => step)).toEqual([4]);
    expect(fs.existsSync(place.at("lost", "lock"))).toBe(false);
    fs.cpSync(place.at("lost"), place.at("moved"), { recursive: true });

    const resumed = await run(place.folder, ["train", "--resume", "lost", "--runtime", "webgpu", "--json"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(losses(place.at("lost"))).toEqual(losses(place.at("whole")));

    const moved = await run(place.folder, [
      "train",
      "--resume",
      "moved",
      "--runtime",
      "wasm",
      "--threads",
      "1",
      "--json",
    ]);
    expect(moved.code, moved.stderr).toBe(0);
    const [one, other] = ["whole", "moved"].map((folder) => readMetrics(place.at(folder)).map(({ loss }) => loss));
    expect(other).toHaveLength(12);
    expect(other!.slice(0, 4)).toEqual(one!.slice(0, 4));
    for (const [step, loss] of other!.entries()) expect(Math.abs(loss - one![step]!)).toBeLessThan(1e-4);
  });
});

test.each(["train", "compare"])("%s without a GPU reads no text first", async (command) => {
  const { code, stderr } = await runWith({ VK_ICD_FILENAMES: "/nowhere", LD_LIBRARY_PATH: "/nowhere" }, [
    command,
    "--data",
    "text.txt",
    "--cache",
    "unread",
    "--runtime",
    "webgpu",
    "--out",
    `no-${command}`,
  ]);
  // Where there is a GPU with other ways to it, the command would train.
  if (code === 0) return;
  expect(code).toBe(1);
  expect(stderr).toMatch(/birkhoff: webgpu: (there is no GPU that WebGPU can use|the package)/);
  expect(stderr).not.toContain("tokens");
  expect(fs.existsSync(place.at("unread"))).toBe(false);
});
