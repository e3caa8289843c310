// `birkhoff schedule` as a person uses it: the comparison, one schedule, drawings, and what it refuses.

import fs from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { makeWorkplace, run } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());
const schedule = (args: string) => run(place.folder, ["schedule", ...args.split(" ")]);
const docs = (name: string): string => fs.readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

describe("birkhoff schedule", () => {
  test("compares all schedules, and draws the picture of docs/pipeline.md", async () => {
    const { code, stdout, stderr } = await schedule("--stages 4 --micro-batches 8 --svg all.svg");
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/GPipe +33\.00 +27\.3 % +8 +1 x/);
    expect(stdout).toMatch(/1F1B +33\.00 +27\.3 % +4 +1 x/);
    expect(stdout).toMatch(/interleaved 1F1B +28\.50 +15\.8 % +5\.5 +1 x/);
    expect(stdout).toMatch(/ZB-H1 +27\.00 +11\.1 % +4 +1 x/);
    expect(stdout).toMatch(/DualPipe +26\.00 +7\.7 % +5 +2 x/);
    expect(stdout).toMatch(/mHC with both/);
    expect(fs.readFileSync(place.at("all.svg"), "utf8")).toBe(docs("pipeline.svg"));
  });

  test("draws mHC beside the residual connection, as in docs/pipeline.md", async () => {
    const shape = "--stages 4 --micro-batches 16 --layers 2";
    const drawing = "--window 60,85 --svg mhc.svg --html pages/mhc.html";
    const { code, stderr } = await schedule(`--costs layers ${shape} ${drawing}`);
    expect(code, stderr).toBe(0);
    expect(fs.readFileSync(place.at("mhc.svg"), "utf8")).toBe(docs("pipeline-mhc.svg"));
    expect(fs.readFileSync(place.at("pages/mhc.html"), "utf8")).toMatch(
      /^<!doctype html>[\s\S]*<svg [\s\S]*<\/html>\n$/,
    );
  });

  test("gives one schedule with every task to machines", async () => {
    const { code, stdout, stderr } = await schedule("zb-h1 --stages 2 --micro-batches 4 --message 0.5 --json");
    expect(code, stderr).toBe(0);
    const answer = JSON.parse(stdout) as { makespan: number; stages: unknown[]; tasks: { end: number }[] };
    expect(answer.stages).toHaveLength(2);
    // F, B and W of four micro-batches on two stages, and a message each way for each.
    expect(answer.tasks).toHaveLength(2 * 3 * 4 + 2 * 4);
    expect(Math.max(...answer.tasks.map(({ end }) => end))).toBe(answer.makespan);
  });

  test("still compares the rest where a schedule does not fit, and says why", async () => {
    const { code, stdout } = await schedule("--stages 3 --micro-batches 7");
    expect(code).toBe(0);
    expect(stdout).toMatch(/GPipe +27\.00/);
    expect(stdout).toMatch(/interleaved 1F1B +does not fit/);
    expect(stdout).toContain("whole groups of its 3 stages, got 7; take 9");
    expect(stdout).toContain("even number of stages, got 3; take 4");
  });

  test("leaves out a schedule that the layers cannot be cut for, and says why", async () => {
    const { code, stdout } = await schedule("--costs layers --layers 3 --micro-batches 16");
    expect(code).toBe(0);
    expect(stdout).toMatch(/interleaved 1F1B +does not fit/);
    expect(stdout).toContain("interleaved 1F1B: 3 layers on a stage cannot be cut into 2 chunks; give --layers 4");
  });

  test.each([
    ["dualpipe --stages 4 --micro-batches 6", /at least twice its 4 stages, got 6; take 8/],
    ["pipedream", /Allowed choices are gpipe, 1f1b, interleaved, zb-h1, dualpipe/],
    ["gpipe --backward 1 --weights 2", /weights \(2\) is a part of backward \(1\)/],
    ["interleaved --costs layers --layers 3 --micro-batches 8", /3 layers .* 2 chunks; give --layers 4/],
    ["gpipe --streams 8", /--streams cannot be used with one schedule unless --costs layers/],
    ["--costs layers --forward 2", /--forward cannot be used with --costs layers/],
    ["--overlap none", /--overlap cannot be used without --costs layers/],
    ["gpipe --chunks 4", /--chunks cannot be used with gpipe/],
    ["gpipe --window 1,3", /--window cannot be used without a drawing/],
    ["gpipe --window 9,3", /two times separated by a comma, the earlier first/],
    ["gpipe --svg text.txt/gpipe.svg", /text\.txt/],
  ] as const)("refuses %s", async (args, message) => {
    const { code, stderr } = await schedule(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});
