// Sizes that nobody could hold or wait for are refused at once, and names of JavaScript are no names of fields.

import { describe, expect, it } from "vitest";
import { Command } from "commander";
import { divisors } from "../../src/basics/numbers.ts";
import { entryOf, isTooDeep, ownEntry, setOwn } from "../../src/basics/objects.ts";
import { showValue } from "../../src/basics/show.ts";
import { configFrom } from "../../src/cli/configuration.ts";
import { trainingOptions, type TrainingOptions } from "../../src/cli/options.ts";
import { parseChoice } from "../../src/cli/connections.ts";
import { conversion } from "../../src/connections/conventions/convert.ts";
import { mhc } from "../../src/connections/mhc.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { messageOf, reason } from "../../src/files/errors.ts";
import { presets } from "../../src/model/config.ts";
import { hardwareProfiles } from "../../src/planning/hardware.ts";
import { expectFit, leastNeed, memoryLimits } from "../../src/planning/here/memory-limit.ts";
import { compareSchedules } from "../../src/planning/pipeline/compare.ts";
import { passCosts } from "../../src/planning/pipeline/pass-costs.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { plannedModel } from "../../src/planning/presets.ts";
import { parseSweep } from "../../src/runs/sweep/definition.ts";

const data = {
  summary: { folder: "/none" },
  train: { origin: { text: "none" } },
  tokenizer: { vocabularySize: 300 },
} as unknown as PreparedData;

function configured(...args: string[]): unknown {
  const command = trainingOptions(new Command("train"))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse(args, { from: "user" });
  return configFrom(command.opts<TrainingOptions>(), parseChoice("mhc"), "x", data);
}

const inherited = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];

describe("names that every object inherits", () => {
  it.each(inherited)("--set refuses %s, alone and within a path, and changes nothing", (name) => {
    for (const path of [name, `${name}.a`, `model.${name}`, `model.${name}.x`, `model.connection.${name}.x`])
      expect(() => configured("--set", `${path}=1`)).toThrow(`no field of a run is called "${name}"`);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it.each(inherited)("a sweep refuses %s in its base, axes and conditions", (name) => {
    const axes = { seed: [1] };
    const own = (value: unknown): unknown => JSON.parse(`{${JSON.stringify(name)}: ${JSON.stringify(value)}}`);
    for (const sweep of [
      { name: "x", base: own(1), axes },
      { name: "x", axes: own([1, 2]) },
      { name: "x", axes, where: [own(1)] },
      { name: "x", base: { [`model.${name}.y`]: 1 }, axes },
    ])
      expect(() => parseSweep(sweep)).toThrow(`no field of a run is called "${name}"`);
  });

  it.each(inherited)("no table has an entry called %s", (name) => {
    expect(ownEntry(presets as Readonly<Record<string, unknown>>, name)).toBeUndefined();
    expect(() => entryOf<string, number>({ a: 1 }, name, "x")).toThrow(`x is "${name}"; it must be one of a.`);
    for (const field of ["residualMap", "initialisation", "convention"])
      expect(() => mhc({ [field]: name })).toThrow(RangeError);
    expect(() => conversion(name as "paper", "paper")).toThrow(`conversion: from is "${name}"; it must be one of`);
    expect(() => parseChoice(name)).toThrow(/is not a connection/);
    expect(() =>
      planTraining(plannedModel("paper-3b"), { hardware: hardwareProfiles.h100, gpus: 1, precision: name as "mixed" }),
    ).toThrow(`planTraining: precision is "${name}"; it must be one of`);
  });

  it("can be fields of an object of its own", () => {
    const target = {};
    setOwn(target, "__proto__", { a: 1 });
    expect(Object.keys(target)).toEqual(["__proto__"]);
    expect((target as { a?: number }).a).toBeUndefined();
  });
});

describe("sizes without a bound", () => {
  it.each([
    ["model.layers=100000", /model.layers: 100000 is given; it must be at most 512/],
    ["model.layers=1e9", /it must be at most 512/],
    ["model.width=1e15", /model.width: .* at most 1048576/],
    ["model.normEpsilon=1e308", /model.normEpsilon: 1e\+308 is given; it must be at most 1/],
    ["model.ropeTheta=1e308", /model.ropeTheta: 1e\+308 is given; it must be at most 1000000000000000$/],
    ["model.ropeTheta=-1", /model.ropeTheta: -1 is given; it must be at least 1$/],
    ["optimizer.learningRate=1e308", /optimizer.learningRate: /],
    ["model.connection.iterations=1e9", /iterations: 1000000000 is given; it must be at most 10000/],
    ["batch=1e300", /batch: .* at most 1048576/],
  ])("--set %s is refused with the bound, once", (assignment, message) => {
    expect(() => configured("--set", assignment)).toThrow(message);
    const [, ...lines] = messageFrom(() => configured("--set", assignment)).split("\n");
    const field = assignment.split("=")[0]!;
    expect(lines.filter((line) => line.trim().startsWith(`${field}:`))).toHaveLength(1);
  });

  it("options say their range", () => {
    for (const args of [
      ["--learning-rate", "Infinity"],
      ["--streams", "33"],
      ["--threads", "1e9"],
      ["--seed", "1e300"],
      ["--memory", "1e400"],
    ])
      expect(() => configured(...args)).toThrow(/It must be/);
  });

  it("a sweep's grid is counted before it is made", () => {
    const values = Array.from({ length: 10 }, (_, at) => at);
    const axes = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [`model.a${at}`, values]));
    expect(() => parseSweep({ name: "x", axes })).toThrow("= 1,000,000,000,000 points; a sweep has at most 20,000");
    const seeds = Array.from({ length: 3000 }, (_, at) => at);
    expect(() => parseSweep({ name: "x", axes: { seed: seeds, splitSeed: seeds } })).toThrow("3000 × 3000 = 9,000,000");
  });

  it("a model's parameters are counted before it is planned", () => {
    const large = { ...presets.mini, vocabulary: 300, width: 2 ** 18, hidden: 2 ** 20, layers: 500 };
    const never = (): never => {
      throw new Error("it was planned");
    };
    const limits = memoryLimits({ largestMemory: 2 ** 32 }, 2 ** 34);
    expect(() => expectFit("x: training", limits, never, [], "Take a smaller one.", leastNeed([large], 12))).toThrow(
      /x: training would need at least .* of memory; the limit is .*\nTake a smaller one/,
    );
  });

  it("divisors are found in √n steps, so that a large prime is one", () => {
    expect(divisors(1_000_000_007)).toEqual([1, 1_000_000_007]);
    expect(divisors(36)).toEqual([1, 2, 3, 4, 6, 9, 12, 18, 36]);
    expect(divisors(1)).toEqual([1]);
    const plan = planTraining(plannedModel("paper-27b"), { hardware: hardwareProfiles.h800, gpus: 1_000_000_007 });
    expect(plan.layout.gpus).toBe(1_000_000_007);
  });

  it("a pipeline is refused that takes minutes to simulate", () => {
    const costs = (chunks: number) => passCosts({ forward: 1, backward: 2, weights: 1 }, chunks);
    expect(() => compareSchedules({ stages: 1e6, microBatches: 1e6, chunks: 2 }, costs)).toThrow(/at most 4,096 are/);
  });

  it("what is nested too deeply is told, not followed", () => {
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = [deep];
    expect(isTooDeep(deep)).toBe(true);
    expect(isTooDeep({ a: [{ b: [1] }] })).toBe(false);
    expect(() => parseSweep(deep)).toThrow(/nested too deeply/);
    expect(showValue(deep)).toBe("a list");
    let shared: unknown = {};
    for (let level = 0; level < 60; level++) shared = { a: shared, b: shared };
    expect(showValue(shared)).toBe("an object");
    expect(reason(new RangeError("Maximum call stack size exceeded"))).toBe("it is nested too deeply");
  });

  it("a mistake of the library is called one", () => {
    expect(messageOf(new TypeError("x is not a function"))).toMatch(/a mistake of birkhoff itself .*--debug/);
    expect(messageOf(new RangeError("too many"))).toBe("too many");
  });
});

function messageFrom(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}
