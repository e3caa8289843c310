// A 7B model from Hugging Face's config.json on 8 H100, calculated by hand: the planner, the command's text and
// docs/planning.md must say the same.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { showBytes, withPrefix } from "../../src/basics/show.ts";
import { hardwareProfiles } from "../../src/planning/hardware.ts";
import { readPlannedModel } from "../../src/planning/here/model-file.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { planAnswer } from "../../src/report/plan-answer.ts";
import { describePlan } from "../../src/report/plan-text.ts";

const folder = new URL("../../docs/", import.meta.url);
const page = readFileSync(new URL("planning.md", folder), "utf8");
const example = page.slice(page.indexOf("## A 7B model on 8 H100s, by hand"));
const { model, notes } = readPlannedModel(new URL("planning/llama-7b.json", folder).pathname);
const plan = planTraining(model, { hardware: hardwareProfiles.h100, gpus: 8, batch: 1024, tokens: 1e12, price: 2 });

// Width 4096, 32 layers of 64 sublayers in all, 32 heads of 128, 11008 columns, 32000 tokens, sequences of 4096; n = 4.
const embedding = 2 * 32000 * 4096;
const attention = 32 * 4 * 4096 * 4096;
const feedForward = 32 * 3 * 4096 * 11008;
const norms = 65 * 4096;
const blocks = embedding + attention + feedForward + norms;
const connection = 64 * (24 * (4 * 4096 + 1) + 3);

// Weights 2, gradients 4, copy and moments 12 bytes; the connection's 4, 4 and 8; eight copies share the last.
const weights = 2 * blocks + 4 * connection;
const gradients = 4 * blocks + 4 * connection;
const optimizer = (12 * blocks + 8 * connection) / 8;
// A token and layer: queries, keys, values and results of 32 heads, softmax; gate, up and product; logits at the end.
const activations = 4096 * (32 * (2 * 4 * 32 * 128 + 4 * 32 + 2 * 3 * 11008) + 8 * 32000);
// Eq. 20 at L_r = 6: 4 ⌈64/6⌉ + 6 · 6 = 80, and each sublayer's result; coefficients of six sublayers.
const streams = 4096 * (2 * 4096 * (4 * 11 + 6 * 6 + 64) + 6 * 4 * (2 * 24 + 1));

// Forward: two operations a weight that is used, and scores of 32 heads of 128 + 128 columns over 4097/2 tokens.
const operations = 3 * (2 * (embedding / 2 + attention + feedForward) + 32 * 32 * (128 + 128) * 4097);
const baseline = operations / (0.35 * 989.4e12);
// Kernels: 18 C forward, 39 C backward, 18.5 C again, less 6 C of the plain sums; 497.67 coefficients; φ five times.
const bytes = 2 * 4096 * (18 + 39 + 18.5 - 6) + 4 * (130 + 241 + 126 + 2 / 3) + 5 * 384;
// One of them, Sinkhorn backward, waits for its 2 · 24 · 92 operations and not for its 192 bytes.
const kernels = (64 * (bytes - 192)) / 3.35e12 + (64 * 2 * 24 * 92) / 66.9e12;

const near = (actual: number, byHand: number): void => expect(actual / byHand).toBeCloseTo(1, 12);

test("parameters: those that the transformers library counts, and the connection's", () => {
  expect(blocks).toBe(6_738_415_616);
  expect(plan.parameters.total).toBe(blocks + connection);
  expect(plan.parameters.parts.connection.total).toBe(connection);
});

test("memory of a GPU, class by class", () => {
  const { bytes: of, storeEvery, fits } = plan.memory.recomputed;
  expect(storeEvery).toBe(6);
  for (const [name, byHand] of Object.entries({ weights, gradients, optimizer, activations, streams }))
    near(of[name as keyof typeof of], byHand);
  expect(fits).toBe(true);
});

test("operations, time, hours and cost", () => {
  near(plan.flops.baseline.training, operations);
  near(plan.baseline.secondsPerToken, baseline);
  near(plan.extra.fused.kernels.total, kernels);
  near(plan.extra.fused.fraction, kernels / baseline);
  near(plan.baseline.gpuHours!, (1e12 * baseline) / 3600);
  near(plan.extra.fused.training.cost!, (2 * 1e12 * (baseline + kernels)) / 3600);
});

test("a step: 128 accumulated micro-batches, one reduce-scatter and one all-gather over half of 900 GB/s", () => {
  expect(plan.layout).toMatchObject({ accumulate: 1024 / 8, batch: 1024, data: 8, zero: 1 });
  const [first, second, ...others] = plan.step.residual.communication;
  expect(others).toEqual([]);
  expect(first!.kind).toBe("gradients");
  near(first!.bytes, (7 / 8) * 4 * blocks);
  near(first!.seconds, ((7 / 8) * 4 * blocks) / 450e9);
  expect(second!.kind).toBe("weights");
  near(second!.seconds, ((7 / 8) * 2 * blocks) / 450e9);
  near(plan.step.residual.seconds, (1024 * 4096 * baseline) / 8);
});

test("the page has the hand's numbers, and the command's first sentence word by word", () => {
  const row = (name: string): string => example.split("\n").find((line) => line.startsWith(`| ${name} |`))!;
  const total = weights + gradients + optimizer + activations + streams;
  for (const [name, shown] of [
    ["parameters", withPrefix(blocks + connection, 4)],
    ["weights", showBytes(weights)],
    ["gradients", showBytes(gradients)],
    ["optimizer", showBytes(optimizer)],
    ["activations", showBytes(activations)],
    ["streams, L_r = 6", showBytes(streams)],
    ["memory of a GPU", showBytes(total)],
    ["operations a token", withPrefix(operations, 4)],
    ["GPU hours, plain residuals", Math.round((1e12 * baseline) / 3600).toLocaleString("en")],
    ["mHC's kernels a token", `${(1e6 * kernels).toPrecision(3)} µs`],
    ["more time with mHC", `${((100 * kernels) / baseline).toFixed(1)} %`],
    ["gradients received in a step", showBytes((7 / 8) * 4 * blocks)],
  ] as const) {
    expect(row(name), name).toContain(`| ${shown} |`);
    if (name !== "memory of a GPU") expect(describePlan(plan, notes), name).toContain(shown.replace(" µs", ""));
  }
  expect(example).toContain(`\n${planAnswer(plan)}\n`);
  expect(notes).toEqual([]);
});
