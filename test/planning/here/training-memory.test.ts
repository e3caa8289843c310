// Trainings are refused before they start when they do not fit, and what is offered instead does.

import { expect, test } from "vitest";
import { defaultConnection } from "../../../src/connections/table.ts";
import { presets } from "../../../src/model/config.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../../src/training/config.ts";
import { memoryLimits, type MemoryNeed } from "../../../src/planning/here/memory-limit.ts";
import type { PipelinePlan } from "../../../src/training/parallel/pipeline/stage.ts";
import { planSpread } from "../../../src/training/parallel/spread.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { expectMemory, planMemoryNeed } from "../../../src/planning/here/training-memory.ts";
import { type Changes, tinyBatches, tinySize, tinyTraining } from "../../training/tiny.ts";
import { plannedMachine } from "../../../src/runtime/machines.ts";
import { collect, oneByOne } from "../../collect.ts";

const machine = plannedMachine({ threads: 2 });

function config(kind: "residual" | "hc" | "mhc", more: object = {}, model: object = {}): TrainingConfig {
  return parseTrainingConfig({
    name: kind,
    data: { source: "-", vocabulary: 300 },
    model: { ...presets.nano, vocabulary: 300, connection: defaultConnection(kind), ...model },
    batch: 4,
    steps: 1,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1,
    checkpointEvery: 1,
    ...more,
  });
}

const need = (configs: readonly TrainingConfig[]): MemoryNeed => planMemoryNeed({ configs }, machine);

function refusal(configs: readonly TrainingConfig[], allowed?: number, wording = {}): string {
  try {
    expectMemory({ configs }, machine, memoryLimits(machine.device, allowed), wording);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("It was not refused.");
}

/** Whole short runs that take turns, as a comparison trains them: steps, instruments, evaluations, a text each. */
async function memoryOfRuns(
  configs: readonly TrainingConfig[],
  threads: number,
): Promise<[used: number, need: number]> {
  const runtime = await createWasmRuntime({ threads });
  try {
    const sample = { prompt: 5, tokens: 30 };
    const { runtimeBytes } = planMemoryNeed({ configs, sample }, runtime.machine);
    const trainers = configs.map((each) => createTrainer(runtime, each, tinyBatches(each)));
    for (let step = 0; step < 2; step++) {
      for (const trainer of trainers) {
        await trainer.trainStep({ instruments: step > 0 });
        await trainer.evaluate();
        trainer.restore(await trainer.save());
      }
    }
    for (const trainer of trainers)
      for await (const token of trainer.generate([1, 2, 3, 4, 5], { maxTokens: 30, random: () => 0.3 }))
        expect(token).toBeLessThan(tinySize.vocabulary);
    return [runtime.memoryBytes(), runtimeBytes];
  } finally {
    runtime.close();
  }
}

test.each<[string, readonly (readonly [Parameters<typeof tinyTraining>[0], Changes])[]]>([
  ["one model", [["mhc", {}]]],
  [
    "three that take turns",
    [
      ["residual", {}],
      ["hc", { accumulate: 2 }],
      ["mhc", { recompute: "auto" }],
    ],
  ],
  ["one whose evaluation needs more than its step", [["mhc", { recompute: 1, model: { layers: 6, context: 48 } }]]],
  [
    "latent attention",
    [
      [
        "mhc",
        { model: { kvHeads: 2, attention: { kind: "mla", rank: 7, rotarySize: 4, contentSize: 6, valueSize: 5 } } },
      ],
    ],
  ],
  [
    "mixtures of experts",
    [
      [
        "hc",
        {
          model: {
            feedForward: {
              kind: "moe",
              experts: 4,
              active: 2,
              shared: 1,
              hidden: 8,
              denseLayers: 1,
              balanceRate: 1e-3,
            },
          },
        },
      ],
    ],
  ],
])("the need is what whole runs take in the runtime: %s", async (_name, runs) => {
  const configs = runs.map(([kind, changes]) => tinyTraining(kind, changes));
  for (const threads of [1, 3]) {
    const [used, planned] = await memoryOfRuns(configs, threads);
    expect(used).toBeLessThanOrEqual(planned);
    expect(used).toBeGreaterThan(0.99 * planned);
  }
});

test("trainers that are made and released in turn do not let the memory grow, and learn the same", async () => {
  const runtime = await createWasmRuntime({ threads: 2 });
  const round = (): Promise<number[][]> =>
    oneByOne(["residual", "mhc", "hc"] as const, async (kind, index) => {
      const each = tinyTraining(kind, { model: { layers: 1 + index }, accumulate: 1 + index });
      const trainer = createTrainer(runtime, each, tinyBatches(each));
      await trainer.trainStep({ instruments: true });
      const { loss } = await trainer.trainStep();
      const evaluated = (await trainer.evaluate()).loss;
      const [token] = await collect(trainer.generate([1, 2], { maxTokens: 40, random: () => 0.5 }));
      trainer.release();
      expect(() => trainer.program.run()).toThrow("this program has been released");
      return [loss, evaluated, token!];
    });
  try {
    const expected = await round();
    const bytes = runtime.memoryBytes();
    for (let i = 0; i < 3; i++) expect(await round()).toEqual(expected);
    expect(runtime.memoryBytes()).toBe(bytes);
  } finally {
    runtime.close();
  }
});

test("a training larger than the runtime's memory is refused with need, limit and the two best changes", () => {
  const absurd = config(
    "mhc",
    { batch: 64 },
    { heads: 64, kvHeads: 64, width: 8192, hidden: 24576, context: 4096, layers: 2 },
  );
  const message = refusal([absurd], 2 ** 50);
  expect(message).toMatch(/^mhc: training would need \d+\.\d\d GiB of memory; the limit is 4\.00 GiB, the Web/);
  const offered = [...message.matchAll(/^ {2}(.+): needs ([\d.]+) GiB/gm)].map(([, option, size]) => [option, size]);
  const [first, second] = offered.map(([option]) => option);
  expect(new Set([first, second])).toEqual(new Set(["--batch 32 --accumulate 2", "--context 2048"]));
  const context = offered.find(([option]) => option === "--context 2048")!;
  const changed = { ...absurd, model: { ...absurd.model, context: 2048 } };
  expect(Number(context[1])).toBeCloseTo(need([changed]).machineBytes / 2 ** 30, 2);
});

test("runs that are compared need their sum, and each alone less", () => {
  const configs = [config("residual"), config("hc"), config("mhc")];
  const { machineBytes } = need(configs);
  const needs = configs.map((each) => need([each]).machineBytes);
  expect(machineBytes).toBeGreaterThan(Math.max(...needs));
  const message = refusal(configs, machineBytes - 1, { alone: "one by one" });
  expect(message).toContain("residual, hc, mhc: training would need");
  expect(message).toContain("what --memory allows");
  expect(message).toMatch(/ {2}one by one: needs [\d.]+ MiB$/m);
  expect(expectMemory({ configs }, machine, memoryLimits(machine.device, machineBytes)).machineBytes).toBe(
    machineBytes,
  );
});

test("a change of the connection is offered in the command's words; a run that goes on can only compute again", () => {
  const wide = config("mhc", { batch: 8 }, { connection: { ...defaultConnection("mhc"), streams: 16 } });
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

test("of stages no change is offered that their mesh does not allow, and a rank need not have room for the whole model", () => {
  const deep = config("mhc", { batch: 1, accumulate: 4 }, { layers: 4 });
  const wishes = { mesh: { pipeline: 8 }, schedule: "1f1b", chunks: 1 } as const;
  const spread = (of: TrainingConfig): PipelinePlan => {
    if (of.recompute !== undefined) throw new RangeError("--mesh: there are fewer places to cut at.");
    return planSpread(of, machine, 8, wishes);
  };
  const place = { rank: 0, size: 8 };
  expect(() =>
    expectMemory({ configs: [deep], place, spread }, machine, memoryLimits(machine.device, 2 ** 20)),
  ).toThrow(/training would need \d(?!.*recompute)[^]*--context/);
});
