// What GPUs send each other: each formula by hand on a model of round sizes, which links are used, and which cuts are
// refused with what is allowed.

import { describe, expect, test } from "vitest";
import type { Architecture } from "../../src/planning/architecture.ts";
import { communicationOf } from "../../src/planning/communication.ts";
import { peakMemory, precisions } from "../../src/planning/gpu-memory.ts";
import { type Hardware, hardwareProfiles } from "../../src/planning/hardware.ts";
import { type Layout, stagesOf } from "../../src/planning/layout.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { type PlanOptions, planTraining } from "../../src/planning/plan.ts";
import { plannedModel } from "../../src/planning/presets.ts";

const dense: Architecture = {
  known: "shapes",
  name: "dense",
  vocabulary: 1000,
  context: 1024,
  width: 512,
  layers: 4,
  attention: { kind: "grouped", heads: 8, kvHeads: 4, headSize: 64 },
  feedForward: { kind: "dense", hidden: 1536 },
  connection: { streams: 4, iterations: 20 },
};
const sparse: Architecture = {
  ...dense,
  name: "sparse",
  feedForward: { kind: "experts", hidden: 256, routed: 16, active: 3, shared: 1, leadingDense: 1 },
};
/** Links of 100 GB/s a direction, adapters of 10 GB/s, four GPUs a machine. */
const hardware: Hardware = { ...hardwareProfiles.h100, interconnect: 200e9, network: 10e9, gpusPerMachine: 4 };
const one: Layout = {
  gpus: 1,
  pipeline: 1,
  expert: 1,
  tensor: 1,
  contextParallel: 1,
  zero: 1,
  microBatch: 2,
  accumulate: 3,
};
const sent = (model: Architecture, changes: Partial<Layout>, streams = false) =>
  Object.fromEntries(
    communicationOf(model, {
      layout: { ...one, ...changes },
      precision: precisions.mixed,
      hardware,
      streams,
    }).map(({ kind, ...each }) => [kind, each]),
  );
const blocksOf = (model: Architecture): number => {
  const { total, parts } = countParameters(model);
  return total - parts.connection.total;
};

test("one GPU receives nothing", () => {
  expect(sent(sparse, {})).toEqual({});
});

describe("gradients and weights of eight copies", () => {
  const parameters = blocksOf(dense);
  const ring = 7 / 8;

  test.each([
    [0, 2 * 4, 0],
    [1, 4, 2],
    [2, 3 * 4, 2],
    [3, 3 * 4, 3 * 2 * 2],
  ] as const)("ZeRO-%i", (zero, gradients, weights) => {
    const found = sent(dense, { gpus: 8, zero });
    expect(found["gradients"]?.bytes).toBeCloseTo(ring * gradients * parameters, 3);
    expect(found["weights"]?.bytes ?? 0).toBeCloseTo(ring * weights * parameters, 3);
  });

  test("four of them in each machine: as fast as their four adapters; mHC adds its own", () => {
    const { gradients } = sent(dense, { gpus: 8 });
    expect(gradients!.seconds).toBeCloseTo((ring * 4 * parameters) / 40e9, 12);
    expect(gradients!.networkBytes).toBe(gradients!.bytes);
    const more = sent(dense, { gpus: 8 }, true)["gradients"]!.bytes - gradients!.bytes;
    expect(more).toBeCloseTo(ring * 4 * countParameters(dense).parts.connection.total, 3);
  });

  test("four in one machine use its links alone", () => {
    const { gradients } = sent(dense, { gpus: 4 });
    expect(gradients!.networkBytes).toBe(0);
    expect(gradients!.seconds).toBeCloseTo(((3 / 4) * 4 * parameters) / 100e9, 12);
  });

  test("experts' gradients go among their own copies", () => {
    const all = blocksOf(sparse);
    const routed = 3 * 16 * 3 * 512 * 256;
    const { gradients } = sent(sparse, { gpus: 8, expert: 4 });
    expect(gradients!.bytes).toBeCloseTo(4 * ((7 / 8) * (all - routed) + ((1 / 2) * routed) / 4), 3);
  });
});

test("experts: 4 t k C a (E - 1)/E, of which (E - k)/E goes to other machines", () => {
  const { experts } = sent(sparse, { gpus: 8, expert: 8 });
  const bytes = 3 * 3 * 4 * (2 * 1024) * 3 * 512 * 2 * (7 / 8);
  expect(experts!.bytes).toBeCloseTo(bytes, 3);
  expect(experts!.networkBytes).toBeCloseTo((bytes * 4) / 7, 3);
  expect(experts!.seconds).toBeCloseTo((bytes * 4) / 7 / 10e9 + (bytes * 3) / 7 / 100e9, 12);
});

test("tensor: five times the others' tokens a sublayer, routed experts none", () => {
  const tokens = (2 * 1024) / 4;
  const plain = 3 * 8 * 5 * 3 * tokens * 512 * 2;
  expect(sent(dense, { gpus: 4, tensor: 4 })["tensor"]).toEqual({
    bytes: plain,
    networkBytes: 0,
    seconds: plain / 100e9,
  });
  const unshared: Architecture = {
    ...sparse,
    feedForward: { kind: "experts", hidden: 256, routed: 16, active: 3, shared: 0, leadingDense: 1 },
  };
  // Four of attention and one dense feed-forward.
  expect(sent(unshared, { gpus: 4, tensor: 4 })["tensor"]!.bytes).toBe((plain * 5) / 8);
});

test("context: keys and values three times round the ring, at one adapter's rate between machines", () => {
  const { context } = sent(dense, { gpus: 8, contextParallel: 8 });
  const bytes = 3 * 4 * 3 * 7 * ((2 * 1024) / 8) * (2 * 4 * 64) * 2;
  expect(context).toEqual({ bytes, networkBytes: bytes, seconds: bytes / 10e9 });
});

test("pipeline: an inner stage receives a state and a gradient of each micro-batch, n times as wide with streams", () => {
  const { pipeline } = sent(dense, { gpus: 4, pipeline: 4 });
  expect(pipeline!.bytes).toBe(3 * 2 * (2 * 1024) * 512 * 2);
  expect(sent(dense, { gpus: 4, pipeline: 4 }, true)["pipeline"]!.bytes).toBe(4 * pipeline!.bytes);
});

describe("memory", () => {
  const total = (changes: Partial<Layout>) =>
    peakMemory(dense, { ...one, gpus: 8, ...changes }, precisions.mixed, "recomputed").bytes;
  const layer = 512 * (8 + 2 * 4) * 64 + 8 * 64 * 512 + 2 * 512 + 3 * 512 * 1536;
  const own = countParameters(dense).parts.connection.total;

  test("ZeRO-2 shares gradients but for one layer's, ZeRO-3 weights too", () => {
    const shared = (bytes: number): number => (blocksOf(dense) / 8 + layer) * bytes + (own / 8) * 4;
    expect(total({ zero: 1 }).gradients).toBeCloseTo(4 * (blocksOf(dense) + own), 3);
    expect(total({ zero: 2 }).gradients).toBeCloseTo(shared(4), 3);
    expect(total({ zero: 2 }).weights).toBe(total({ zero: 1 }).weights);
    expect(total({ zero: 3 }).weights).toBeCloseTo(shared(2), 3);
    const alone = (zero: Layout["zero"]) => peakMemory(dense, { ...one, zero }, precisions.mixed, "recomputed").total;
    expect(alone(3)).toBe(alone(1));
  });

  test("tensor and context parallelism divide activations; tensor also the matrices, but not norms and connection", () => {
    const whole = total({});
    for (const cut of [{ tensor: 4 }, { contextParallel: 4 }] as const) {
      expect(total(cut).activations).toBeCloseTo(whole.activations / 4, 3);
      expect(total(cut).streams).toBeLessThanOrEqual(whole.streams / 4);
    }
    const norms = 9 * 512;
    expect(total({ tensor: 4 }).weights).toBeCloseTo(2 * ((blocksOf(dense) - norms) / 4 + norms) + 4 * own, 3);
    expect(total({ contextParallel: 4 }).weights).toBe(whole.weights);
  });
});

describe("time", () => {
  const planned = (options: Partial<PlanOptions>, model = dense) =>
    planTraining(model, { hardware, gpus: 8, batch: 96, ...options });

  test("a share of computation alone: all communication and the idle time are added", () => {
    const { step, baseline, layout } = planned({ pipeline: 4, computeEfficiency: 0.5 });
    const { computation, communication, bubble, seconds, mfu } = step.residual;
    expect(layout).toMatchObject({ data: 2, accumulate: 48 });
    expect(bubble).toBeCloseTo((3 / 48) * computation, 12);
    const sum = communication.reduce((total, each) => total + each.seconds, 0);
    expect(seconds).toBeCloseTo(computation + sum + bubble, 12);
    expect(mfu).toBeCloseTo((0.5 * computation) / seconds, 12);
    expect(baseline.secondsPerToken).toBeCloseTo((seconds * 8) / (96 * 1024), 15);
  });

  test("hidden communication takes no time", () => {
    const { step } = planned({ computeEfficiency: 0.5, overlap: 1 });
    expect(step.residual.seconds).toBe(step.residual.computation);
  });

  test("an assumed MFU covers what DeepSeek-V3's training had; the rest comes on top", () => {
    const plain = planned({});
    expect(plain.step.residual.beside).toBe(0);
    for (const options of [{ tensor: 2 }, { contextParallel: 2 }, { zero: 2 }, { zero: 3 }] as const)
      expect(planned(options).baseline.secondsPerToken).toBeGreaterThan(plain.baseline.secondsPerToken);
    expect(planned({ zero: 0 }).baseline.secondsPerToken).toBe(plain.baseline.secondsPerToken);
  });

  test("what computation must reach for it is said, and beyond the peak it is out of reach", () => {
    const { step, assumptions } = planned({});
    const covered = step.residual.communication.reduce((total, each) => total + each.seconds, 0);
    const left = step.residual.computation - covered;
    if (left > 0)
      expect(step.impliedEfficiency).toBeCloseTo((assumptions.utilisation * step.residual.computation) / left, 12);
    else expect(step.impliedEfficiency).toBe(Number.POSITIVE_INFINITY);
    expect(planned({ hardware: { ...hardware, network: 1e6 } }).step.impliedEfficiency).toBe(Number.POSITIVE_INFINITY);
    expect(planned({ computeEfficiency: 0.5 }).step.impliedEfficiency).toBeUndefined();
  });
});

describe("batches", () => {
  const paper = (options: Partial<PlanOptions>) =>
    planTraining(plannedModel("paper-27b"), { hardware: hardwareProfiles.h800, gpus: 256, ...options });

  test("the paper's 1280 sequences on 256 GPUs are five accumulations", () => {
    expect(paper({}).layout).toMatchObject({ accumulate: 5, batch: 1280, data: 256 });
    expect(paper({}).step.tokens).toBe(1280 * 4096);
  });

  test("where they do not come out they are rounded up; a batch that was asked for is refused", () => {
    expect(paper({ microBatch: 2, pipeline: 1 }).layout).toMatchObject({ accumulate: 3, batch: 1536 });
    expect(() => paper({ batch: 1000, pipeline: 1 })).toThrow(
      "batch is 1000; 256 copies take 1 at a time, so it can be 768 or 1024, or another multiple of 256.",
    );
    expect(() => paper({ batch: 1280, accumulate: 4 })).toThrow(/256 copies take 4 times 1 at a time.*1024/);
    expect(() => paper({ batch: 1.5 })).toThrow("batch is 1.5; it must be a whole number");
  });

  test("a stage holds no more micro-batches than there are", () => {
    const layout = { ...one, gpus: 4, pipeline: 4 };
    const held = (accumulate: number) => stagesOf(dense, { ...layout, accumulate }).map(({ inFlight }) => inFlight);
    expect(held(2)).toEqual([2, 2, 2, 1]);
    expect(held(9)).toEqual([4, 3, 2, 1]);
  });
});

test("cuts that do not come out are refused with those that do", () => {
  const plan = (options: object) => () => planTraining(dense, { hardware, gpus: 8, ...options });
  expect(plan({ tensor: 3 })).toThrow(/tensor is 3; with 8 GPUs and this model's 8 heads \(4 of .*can be 1, 2 or 4\./);
  expect(plan({ contextParallel: 3 })).toThrow(/contextParallel is 3; with 8 GPUs.*1024 tokens.*can be 1, 2, 4 or 8\./);
  expect(plan({ tensor: 2, pipeline: 3 })).toThrow(/8 GPUs in 4 groups of 2 cannot be cut into 3 stages.*1, 2 or 4\./);
  expect(plan({ zero: 4 })).toThrow("zero is 4; it must be one of 0, 1, 2 or 3.");
  expect(plan({ zero: 2, sharded: true })).toThrow(/zero is 2 and sharded is true; .*Give one of them/);
  expect(plan({ utilisation: 0.3, computeEfficiency: 0.3 })).toThrow(/Give one of them/);
  expect(plan({ overlap: 1.1 })).toThrow("overlap is 1.1; it must be a number from 0 to 1.");
  expect(plan({ tensr: 2 })).toThrow(/there is no option "tensr".*Did you mean "tensor"/);
  const totals = () => planTraining(plannedModel("deepseek-v4-pro"), { hardware, gpus: 8, tensor: 2 });
  expect(totals).toThrow(/tensor is 2; with 8 GPUs and a model whose heads are not public it can be 1\./);
});
