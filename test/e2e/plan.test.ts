// `birkhoff plan` as a person uses it: tables, JSON, a drawing, and what is said about a wrong option.

import fs from "node:fs";
import { afterAll, expect, test } from "vitest";
import type { TrainingPlan } from "../../src/planning/plan.ts";
import type { CompiledSteps } from "../../src/planning/compiled-step.ts";
import { makeWorkplace, run } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const plan = (...args: string[]) => run(place.folder, ["plan", ...args]);

test("tables for the paper's largest model", async () => {
  const { code, stdout, stderr } = await plan(
    "--preset",
    "paper-27b",
    "--gpus",
    "256",
    "--hardware",
    "h800",
    "--price",
    "2.5",
  );
  expect(code, stderr).toBe(0);
  for (const line of [
    /paper-27b: 30 layers \(60 sublayers\), width 2560/,
    /256 × H800 SXM/,
    /embedding +661\.9 M +331\.0 M/,
    /mHC's connection +14\.75 M +14\.75 M/,
    /all +27\.05 G +4\.139 G/,
    /fits in 74\.51 GiB +yes +yes +yes/,
    /hc +21C \+ 24 +13C \+ 24/,
    /fused +13C \+ \d+ +5C \+ \d+/,
    /best L_r = 6 for 60 sublayers/,
    /the paper: 6\.7 %/,
    /Training on 262 G tokens +tokens\/s +GPU hours +days +cost/,
    /Assumed: the baseline reaches 35\.0 % of the peak/,
  ])
    expect(stdout).toMatch(line);
  expect(stdout).not.toMatch(/NaN|undefined/);
});

test("one JSON object, and a drawing beside it", async () => {
  const { code, stdout, stderr } = await plan(
    "--preset",
    "paper-3b",
    "--gpus",
    "8",
    "--streams",
    "2",
    "--json",
    "--svg",
    "pictures/plan.svg",
  );
  expect(code, stderr).toBe(0);
  const { model, layout, extra } = JSON.parse(stdout) as TrainingPlan;
  expect(model.connection).toEqual({ streams: 2, iterations: 20 });
  expect(layout.gpus).toBe(8);
  expect(extra.fused.fraction).toBeGreaterThan(0);
  expect(fs.readFileSync(place.at("pictures/plan.svg"), "utf8")).toMatch(
    /^<svg [^]*paper-3b on 8 × H800[^]*<\/svg>\n$/,
  );
});

test("a model of which only totals are public, without its tokens", async () => {
  const { code, stdout } = await plan("--preset", "deepseek-v4-pro", "--gpus", "2048");
  expect(code).toBe(0);
  expect(stdout).toMatch(/activations +not public/);
  expect(stdout).toContain("Give --tokens");
  expect(stdout).not.toMatch(/NaN|undefined/);
});

test("a training that does not fit, with two ways to make it", async () => {
  const { code, stdout } = await plan("--preset", "paper-27b", "--gpus", "8");
  expect(code).toBe(0);
  expect(stdout).toMatch(/fits in 74\.51 GiB +no +no +no/);
  expect(stdout).toMatch(/What reduces it most:\n {2}--gpus 16: .*, which fits\n {2}--/);
});

test("this machine by measurement", async () => {
  const { code, stdout, stderr } = await plan(
    "--preset",
    "nano",
    "--hardware",
    "this-machine",
    "--tokens",
    "1e6",
    "--json",
  );
  expect(code, stderr).toBe(0);
  const { hardware, precision, assumptions, compiled } = JSON.parse(stdout) as TrainingPlan & {
    compiled: CompiledSteps;
  };
  expect(hardware.name).toMatch(/^this machine/);
  expect(hardware.bandwidth).toBeGreaterThan(1e8);
  expect(hardware.peak.fp32).toBeGreaterThan(1e8);
  expect(precision).toBe("float32");
  expect(assumptions.utilisation).toBe(1);
  expect(compiled.stored.arenaBytes).toBeGreaterThan(compiled.residual.arenaBytes);
  expect(compiled.residual.seconds).toBeGreaterThan(0);
});

test.each([
  [["--preset", "paper-28b"], /paper-3b, paper-9b, paper-27b/],
  [["--hardware", "h900"], /h100, h200, h800, b200, mi300x, this-machine/],
  [["--gpus", "8", "--pipeline", "3"], /8 GPUs cannot be cut into 3 stages; pipeline can be 1, 2, 4 or 8/],
  [["--gpus", "8", "--expert", "5"], /expert is 5.*1, 2, 4 or 8/],
  [["--mfu", "35"], /above 0 and at most 1/],
])("%j is refused with what is allowed", async (args, message) => {
  const { code, stdout, stderr } = await plan(...args);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stdout).toBe("");
});

test("--help has examples", async () => {
  const { code, stdout } = await plan("--help");
  expect(code).toBe(0);
  expect(stdout).toContain("birkhoff plan --preset paper-27b --gpus 256 --hardware h800 --price 2.5");
});

test("experts shared by more GPUs than one stage leaves copies: another cut is found", async () => {
  const { code, stdout, stderr } = await plan("--gpus", "16", "--expert", "8", "--context", "8192", "--json");
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ layout: { expert: 8 } });
});

test.each([
  ["--scale", "2,3", "--batch", "8"],
  ["--mesh", "data=2"],
])("a file whose connection is not mHC is planned with mHC, and that is said: %j", async (...args) => {
  const size = { vocabulary: 64, context: 16, width: 32, layers: 4, heads: 2, hidden: 64 };
  const feedForward = { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 16, denseLayers: 0 };
  fs.writeFileSync(
    place.at("residual.json"),
    JSON.stringify({ ...size, feedForward, connection: { kind: "residual" } }),
  );
  const { code, stdout, stderr } = await plan("--model", "residual.json", ...args);
  expect(code, stderr).toBe(0);
  expect(stderr.replace(/\s+/g, " ")).toContain("the file's own connection is residual");
  // A batch of eight is not shared by three.
  if (args[0] === "--scale") expect(stdout.replace(/\s+/g, " ")).toContain("None fits: a shape needs a batch that");
});
