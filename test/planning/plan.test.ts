// A whole plan: against the compute the paper's own figures show, and what its parts owe each other.

import { describe, expect, test } from "vitest";
import { hardwareProfiles } from "../../src/planning/hardware.ts";
import { peakMemory, precisions } from "../../src/planning/gpu-memory.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { plannedModel, plannedModels } from "../../src/planning/presets.ts";
import { trainingTime } from "../../src/planning/time.ts";
import { planAnswer } from "../../src/report/plan-answer.ts";

const { h800 } = hardwareProfiles;

// Read off the paper's Fig. 6: the axes are logarithmic, and how it counts attention is not stated.
test.each([
  ["paper-3b", 1.7e20],
  ["paper-9b", 1.25e21],
  ["paper-27b", 8e21],
  ["paper-3b-1t", 4.37e21],
] as const)("%s: operations of the whole training within 10 %% of the paper's figure", (name, figure) => {
  const { flops, tokens } = planTraining(plannedModel(name), { hardware: h800, gpus: 1 });
  expect(Math.abs((flops.training * tokens!) / figure - 1)).toBeLessThan(0.1);
});

describe("paper-27b on 256 H800", () => {
  const plan = planTraining(plannedModel("paper-27b"), { hardware: h800, gpus: 256, price: 2 });

  test("it takes the smallest layout that fits", () => {
    expect(plan.layout).toMatchObject({ pipeline: 1, data: 256, expert: 8 });
    expect(plan.memory.recomputed.fits).toBe(true);
    const less = { ...plan.layout, expert: 4 };
    const { total } = peakMemory(plannedModel("paper-27b"), less, precisions.mixed, "recomputed");
    expect(total).toBeGreaterThan(h800.memoryBytes);
  });

  test("the curve of Eq. 20 has the paper's values and its minimum at 6", () => {
    const at = (storeEvery: number): number => plan.recomputation.curve[storeEvery - 1]!.channels;
    expect([1, 2, 4, 5, 6, 7, 8, 10, 20, 60].map(at)).toEqual([246, 132, 84, 78, 76, 78, 80, 84, 132, 364]);
    expect(plan.recomputation.best).toBe(6);
    expect(plan.recomputation.optimum).toBeCloseTo(6.32, 2);
  });

  test("mHC's time is the baseline's and its kernels'", () => {
    for (const { kernels, fraction, training } of Object.values(plan.extra)) {
      expect(training.secondsPerToken).toBe(plan.baseline.secondsPerToken + kernels.total);
      expect(fraction).toBeCloseTo(kernels.total / plan.baseline.secondsPerToken, 12);
      expect(training.cost).toBeCloseTo(2 * training.gpuHours!, 6);
    }
    expect(plan.extra.fused.fraction).toBeLessThan(plan.extra.unfused.fraction);
  });

  test("half the utilisation: twice the baseline, half mHC's share", () => {
    const { utilisation } = plan.assumptions;
    const half = planTraining(plan.model, { hardware: h800, gpus: 256, utilisation: utilisation / 2 });
    expect(half.baseline.secondsPerToken).toBeCloseTo(2 * plan.baseline.secondsPerToken, 12);
    expect(half.extra.fused.fraction).toBeCloseTo(plan.extra.fused.fraction / 2, 12);
  });

  test("in float32 products take the tfloat32 rate, and memory its bytes", () => {
    const wide = planTraining(plan.model, { hardware: h800, gpus: 256, precision: "float32" });
    expect(wide.baseline.secondsPerToken).toBeCloseTo(2 * plan.baseline.secondsPerToken, 12);
    expect(wide.message.streams).toBe(2 * plan.message.streams);
  });

  test("messages between stages grow n-fold", () => {
    expect(plan.message).toEqual({ residual: 4096 * 2560 * 2, streams: 4 * 4096 * 2560 * 2 });
  });
});

test.each(plannedModels.map(({ name }) => name))("%s survives the way through JSON", (name) => {
  const plan = planTraining(plannedModel(name), { hardware: h800, gpus: 64 });
  const back = JSON.parse(JSON.stringify(plan)) as typeof plan;
  expect(back.parameters).toEqual(plan.parameters);
  expect(back.extra).toEqual(plan.extra);
  expect(plan.memory.recomputed.total).toBeLessThanOrEqual(plan.memory.stored.total);
});

test("GPU hours, days and money", () => {
  expect(trainingTime(3600, { gpus: 2, tokens: 48, price: 3 })).toEqual({
    secondsPerToken: 3600,
    gpuHours: 48,
    days: 1,
    cost: 144,
  });
  expect(trainingTime(1, { gpus: 1 })).toEqual({ secondsPerToken: 1 });
});

test("what is out of range is refused", () => {
  const plan = (options: object) => () =>
    planTraining(plannedModel("paper-3b"), { hardware: h800, gpus: 8, ...options });
  expect(plan({ utilisation: 1.5 })).toThrow(/utilisation is 1.5.*at most 1/);
  expect(plan({ price: -1 })).toThrow(/price is -1/);
  expect(plan({ gpus: 2.5 })).toThrow(/gpus is 2.5/);
  expect(plan({ pipeline: 3 })).toThrow(/3 stages.*1, 2, 4 or 8/);
});

describe("a training that does not fit", () => {
  const reductionsOf = (name: string, options: object) =>
    planTraining(plannedModel(name), { hardware: h800, gpus: 8, ...options }).reductions;

  test("says what would reduce its memory, the best first", () => {
    const found = reductionsOf("paper-27b", {});
    expect(found.map(({ change }) => change)).toEqual(
      expect.arrayContaining(["--gpus 16", "--context 2048", "--precision mixed-bf16-moments"]),
    );
    expect(found.map(({ bytes }) => bytes)).toEqual(found.map(({ bytes }) => bytes).sort((a, b) => a - b));
  });

  test("what it says is what a plan with that change needs", () => {
    const found = reductionsOf("paper-9b", { gpus: 4, pipeline: 1, microBatch: 4, sharded: false });
    const bytesOf = (change: string): number => found.find((each) => each.change === change)!.bytes;
    const planned = (options: object): number =>
      planTraining(plannedModel("paper-9b"), { hardware: h800, gpus: 4, ...options }).memory.recomputed.total;
    expect(bytesOf("--micro-batch 2")).toBe(planned({ pipeline: 1, microBatch: 2, sharded: false }));
    expect(bytesOf("--zero 1")).toBe(planned({ pipeline: 1, microBatch: 4 }));
    expect(bytesOf("--zero 2")).toBe(planned({ pipeline: 1, microBatch: 4, zero: 2 }));
    expect(bytesOf("without --pipeline")).toBe(planned({ microBatch: 4, sharded: false }));
    expect(bytesOf("--gpus 8")).toBe(planned({ gpus: 8, pipeline: 1, microBatch: 4, sharded: false }));
  });

  test("where no single change is enough, the fewest GPUs that are, with ZeRO-3 and tensor parts, come first", () => {
    const long = { ...plannedModel("paper-27b"), context: 65_536 };
    const [first, ...others] = planTraining(long, { hardware: h800, gpus: 8 }).reductions;
    expect(others.some(({ fits }) => fits)).toBe(false);
    const [, gpus, tensor = "1"] = /^--gpus (\d+) --zero 3(?: --tensor (\d))?$/.exec(first!.change)!;
    const changed = planTraining(long, { hardware: h800, gpus: Number(gpus), zero: 3, tensor: Number(tensor) });
    expect(changed.memory.recomputed.fits).toBe(true);
    expect(changed.memory.recomputed.total).toBe(first!.bytes);
    // A number of stages that was asked for is given up with it, and that is said.
    const [stuck] = planTraining(long, { hardware: h800, gpus: 8, pipeline: 2 }).reductions;
    expect(stuck!.change).toBe(`${first!.change} without --pipeline`);
  });

  test("the sentence reads with any change", () => {
    const [wide, narrow] = [plannedModel("paper-27b"), plannedModel("paper-9b")];
    expect(planAnswer(planTraining(wide, { hardware: h800, gpus: 8 }))).toMatch(/fit; with --\w.* it would \(/);
    const alone = { hardware: h800, gpus: 8, pipeline: 1, expert: 1, zero: 3, microBatch: 4 } as const;
    const plan = { ...planTraining(narrow, alone), reductions: [{ change: "without --expert", bytes: 1, fits: true }] };
    expect(planAnswer(plan)).toMatch(/fit[^;]*; without --expert it would \(/);
  });

  test("nothing is said where it fits", () => {
    expect(reductionsOf("paper-3b", {})).toEqual([]);
  });
});
