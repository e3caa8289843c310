// Trainings are refused before they start when they do not fit, and what is offered instead does.

import { expect, test } from "vitest";
import { defaultConnection, presets } from "../../src/model/config.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { expectMemory, memoryLimits, planMemoryNeed } from "../../src/training/memory-limit.ts";
import { createTrainer } from "../../src/training/trainer.ts";

const machine = { panelWidth: 16, threads: 2 };

function config(kind: "residual" | "hyper" | "manifold", more: object = {}, model: object = {}): TrainingConfig {
  return parseTrainingConfig({
    name: kind,
    data: { source: "-", vocabulary: 300 },
    model: { ...presets.nano, vocabulary: 300, connection: defaultConnection(kind), ...model },
    batch: 4,
    steps: 1,
    optimiser: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1,
    checkpointEvery: 1,
    ...more,
  });
}

function refusal(configs: readonly TrainingConfig[], allowed?: number, wording = {}): string {
  try {
    expectMemory(configs, machine, memoryLimits(allowed), wording);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("It was not refused.");
}

test("the need is what the trainers take in the runtime", async () => {
  const runtime = await createWasmRuntime({ threads: 2 });
  try {
    const configs = [config("residual"), config("manifold", { accumulate: 2 }), config("hyper", { recompute: "auto" })];
    const batches = { trainingBatch: () => undefined, validationBatches: () => [] } as never;
    for (const each of configs) createTrainer(runtime, each, batches);
    const { runtimeBytes } = planMemoryNeed(configs, runtime);
    // Every block of memory is followed by a gap of up to 128 bytes.
    expect(runtimeBytes).toBeLessThanOrEqual(runtime.memoryBytes());
    expect(runtimeBytes).toBeGreaterThan(0.999 * runtime.memoryBytes());
  } finally {
    runtime.close();
  }
});

test("a training larger than the runtime's memory is refused with need, limit and the two best changes", () => {
  const absurd = config(
    "manifold",
    { batch: 64 },
    { heads: 64, kvHeads: 64, width: 8192, hidden: 24576, context: 4096, layers: 2 },
  );
  const message = refusal([absurd], 2 ** 50);
  expect(message).toMatch(/^manifold: training would need \d+\.\d\d GiB of memory; the limit is 4\.00 GiB, the Web/);
  const offered = [...message.matchAll(/^ {2}(.+): needs ([\d.]+) GiB/gm)].map(([, option, size]) => [option, size]);
  const [first, second] = offered.map(([option]) => option);
  expect(new Set([first, second])).toEqual(new Set(["--batch 32 --accumulate 2", "--context 2048"]));
  const context = offered.find(([option]) => option === "--context 2048")!;
  const changed = { ...absurd, model: { ...absurd.model, context: 2048 } };
  expect(Number(context[1])).toBeCloseTo(planMemoryNeed([changed], machine).machineBytes / 2 ** 30, 2);
});

test("runs that are compared need their sum, and each alone less", () => {
  const configs = [config("residual"), config("hyper"), config("manifold")];
  const { machineBytes } = planMemoryNeed(configs, machine);
  const needs = configs.map((each) => planMemoryNeed([each], machine).machineBytes);
  expect(machineBytes).toBeGreaterThan(Math.max(...needs));
  const message = refusal(configs, machineBytes - 1, { alone: "one by one" });
  expect(message).toContain("residual, hyper, manifold: training would need");
  expect(message).toContain("what --memory allows");
  expect(message).toMatch(/ {2}one by one: needs [\d.]+ MiB$/m);
  expect(expectMemory(configs, machine, memoryLimits(machineBytes)).machineBytes).toBe(machineBytes);
});

test("a change of the connection is offered in the command's words; a run that goes on can only compute again", () => {
  const wide = config("manifold", { batch: 8 }, { connection: { ...defaultConnection("manifold"), streams: 16 } });
  const asked: unknown[] = [];
  const connections = (field: string, values: readonly unknown[]): string => {
    asked.push([field, values]);
    return `${field} ${String(values[0])}`;
  };
  expect(refusal([wide], 2 ** 20, { connections })).toMatch(/ {2}(streams 8|--context 64): needs/);
  expect(asked).toEqual([
    ["streams", [8]],
    ["streamPrecision", ["bfloat16"]],
  ]);
  const resumed = refusal([wide], 2 ** 20, { resumed: true });
  expect(resumed.match(/needs/g)).toHaveLength(1);
  expect(resumed).toContain("--recompute auto: needs");
});
