// The plan of a model on more and more GPUs takes the fastest shape that fits, and a long pipeline repeats itself.

import { expect, test } from "vitest";
import { hardwareProfiles } from "../../../src/planning/hardware.ts";
import { layerCosts, fullOverlap } from "../../../src/planning/pipeline/layer-costs.ts";
import { type LayerAssumptions, layerTimes, paper27b } from "../../../src/planning/pipeline/paper-times.ts";
import { createLengths, type Length, longPipeline, planScale } from "../../../src/planning/pipeline/scale.ts";
import { simulateSchedule } from "../../../src/planning/pipeline/schedules.ts";

const hardware = hardwareProfiles.h800;

test.each(["1f1b", "zb-h1", "dualpipe"] as const)("%s of many micro-batches is as long as simulated", (schedule) => {
  const { times } = layerTimes(paper27b, "mhc");
  const simulated = (microBatches: number): Length => {
    const shape = { stages: 4, microBatches, chunks: 1 };
    const { makespan, bubble } = simulateSchedule(schedule, shape, () => layerCosts(times, 2, fullOverlap)).report;
    return { makespan, busy: (1 - bubble) * makespan };
  };
  const [whole, long] = [simulated(48), longPipeline(48, 4, simulated)];
  expect(Math.abs(long.makespan / whole.makespan - 1)).toBeLessThan(1e-3);
  expect(Math.abs(long.busy / whole.busy - 1)).toBeLessThan(1e-3);
});

test("more GPUs are faster, each of them does less, and what does not fit is left out", () => {
  const [few, many] = planScale(paper27b, [512, 1024], { hardware, batch: 1280 });
  expect(many!.tokensPerSecond).toBeGreaterThan(few!.tokensPerSecond);
  expect(few!.efficiency).toBe(1);
  expect(many!.efficiency).toBeLessThan(1);
  for (const each of [few!, many!]) {
    expect(each.layout.data * each.layout.pipeline).toBe(each.layout.gpus);
    expect(each.microBatches * each.layout.data).toBe(1280);
    expect(each.memoryBytes).toBeLessThanOrEqual(hardware.memoryBytes);
    expect(each.mhc.seconds).toBeGreaterThan(each.residual.seconds);
  }
  const small = { ...hardware, memoryBytes: 1e9 };
  expect(planScale(paper27b, [256], { hardware: small, batch: 1280 })).toEqual([undefined]);
  expect(planScale(paper27b, [2048], { hardware, batch: 3 })).toEqual([undefined]);
});

test("a model of few layers is planned in as many stages as it has layers, or fewer", () => {
  const model = { ...paper27b.model, layers: 6 };
  const [found] = planScale({ ...paper27b, model }, [64], { hardware, batch: 1280 });
  expect(found!.layout.pipeline).toBeLessThanOrEqual(4);
});

/** The paper's model with so many layers, and so small a vocabulary that the output matrix is no work. */
const deep = (layers: number): LayerAssumptions => ({
  ...paper27b,
  model: { ...paper27b.model, layers, vocabulary: 2 },
});

test.each(["1f1b", "zb-h1", "dualpipe"] as const)("%s of many layers is nearly as long as simulated", (schedule) => {
  const shape = { stages: 2, microBatches: 6, chunks: 1 };
  const long = createLengths(deep(95))(schedule, shape, "mhc");
  const { times } = layerTimes(deep(95), "mhc");
  const layersOf = (chunks: number): number => 48 / chunks;
  const { report } = simulateSchedule(schedule, shape, (chunks) => layerCosts(times, layersOf(chunks), fullOverlap));
  expect(Math.abs(long.makespan / report.makespan - 1)).toBeLessThan(4e-3);
  expect(long.makespan).not.toBe(report.makespan);
});

test("a deep model in many stages has a length, though it has more tasks than a schedule that is drawn may have", () => {
  const shape = { stages: 16, microBatches: 80 };
  const { makespan, busy } = createLengths(deep(200))("1f1b", shape, "residual");
  expect(busy).toBeLessThan(makespan);
  // All that its micro-batches compute: 13 layers in a stage of three times a forward pass or more.
  expect(busy).toBeGreaterThan(80 * 13 * 3);
});
