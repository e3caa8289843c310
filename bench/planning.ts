// Question: how far is the planner from what a training step really takes?
//
// Bytes: the planned states and arena are compared with those of the programs that a runtime then compiles; they must be
// the same. Seconds: predictions from kernels timed in two other small models are compared with the best of some steps
// of the presets, residual and mHC, in turns. The figure is the largest of all errors.

import { type Preset, presets } from "../src/model/config.ts";
import { measureKernels, measureStepTime, predictStepTime, stepConfig } from "../src/planning/step-time.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { chooseRecompute } from "../src/training/recomputation.ts";
import { loadStep, planStepMemory } from "../src/planning/step-memory.ts";
import type { StepConfig } from "../src/training/step.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { type Measured, ratio, type Side } from "./lib/report.ts";

const THREADS = 2;
/** The most turns of kernels and steps; a turn takes half a minute. */
const TURNS = 3;
const VOCABULARY = 1024;
const BYTES = "plan.bytes_error";
const TIME = "plan.time_error";
const TIME_ALONE = "plan.time_error.t1";

const batches: Readonly<Record<"nano" | "micro" | "mini", number>> = { nano: 16, micro: 8, mini: 2 };

interface Case {
  readonly label: string;
  readonly config: StepConfig;
}

const cases: readonly Case[] = Object.entries(batches).flatMap(([preset, batch]) =>
  (["residual", "mhc"] as const).map((kind) => ({
    label: `${preset} ${kind}`,
    config: stepConfig({ ...presets[preset as Preset], vocabulary: VOCABULARY }, { kind }, batch),
  })),
);

/** The largest error, as a fraction of the measured value. */
function farthest(name: string, pairs: readonly (readonly [planned: Side, real: Side])[], bar: number): Measured {
  const errors = pairs.map(([planned, real]) => {
    const { value, ...figure } = ratio(name, planned, real, { higher_is_better: false, bar });
    return { ...figure, value: Math.abs(value - 1), unit: "off" };
  });
  return errors.reduce((a, b) => (b.value > a.value ? b : a));
}

/** Bytes of the programs in a runtime: the states that they touch, and their arena. */
function compiledBytes(runtime: WasmRuntime, config: StepConfig, storeEvery?: number): number {
  const plans = loadStep(runtime, config, storeEvery).programs.flatMap(({ plan }) => plan ?? []);
  const buffers = new Set(
    plans.flatMap(({ calls }) => calls).flatMap(({ operands }) => operands.flatMap((operand) => operand?.buffer ?? [])),
  );
  const states = [...buffers].reduce((sum, { state, bytes }) => sum + (state ? bytes : 0), 0);
  return states + Math.max(...plans.map(({ arena }) => arena.bytes));
}

async function bytesError(): Promise<Measured> {
  const side = (label: string, value: number): Side => ({ label, value: value / 2 ** 20, unit: "MiB" });
  const pairs: [Side, Side][] = [];
  for (const { label, config } of cases) {
    const runtime = await createWasmRuntime({ threads: THREADS });
    try {
      for (const storeEvery of [undefined, chooseRecompute(config, runtime.machine)]) {
        const { stateBytes, arenaBytes } = planStepMemory(config, runtime.machine, storeEvery);
        const name = storeEvery === undefined ? label : `${label}, L_r = ${storeEvery}`;
        const real = compiledBytes(runtime, config, storeEvery);
        pairs.push([side(`planned: ${name}`, stateBytes + arenaBytes), side("compiled", real)]);
      }
    } finally {
      runtime.close();
    }
  }
  return farthest(BYTES, pairs, 0);
}

/**
 * Kernels and steps are timed in turns, so that both see the machine equally busy. The error of a case is its median
 * over the rounds.
 */
async function timeError(name: string, threads: number, { rounds, note }: GroupOptions): Promise<Measured> {
  const side = (label: string, seconds: number): Side => ({ label, value: 1000 * seconds, unit: "ms" });
  const runtime = await createWasmRuntime({ threads });
  try {
    const turns: (readonly [Side, Side])[][] = [];
    for (let turn = 0; turn < Math.min(rounds, TURNS); turn++) {
      const rates = await measureKernels(runtime);
      const pairs: (readonly [Side, Side])[] = [];
      for (const { label, config } of cases) {
        const predicted = side(`predicted: ${label}`, predictStepTime(config, runtime.machine, rates));
        const measured = side("measured", await measureStepTime(runtime, config));
        note(`${label}: ${predicted.value.toFixed(1)} ms predicted, ${measured.value.toFixed(1)} ms measured`);
        pairs.push([predicted, measured]);
      }
      turns.push(pairs);
    }
    const ratioOf = ([planned, real]: readonly [Side, Side]): number => planned.value / real.value;
    const middle = cases.map((_, index) => {
      const sorted = turns.map((turn) => turn[index]!).sort((a, b) => ratioOf(a) - ratioOf(b));
      return sorted[Math.floor(sorted.length / 2)]!;
    });
    return farthest(name, middle, 0.25);
  } finally {
    runtime.close();
  }
}

export const planning: Group = {
  names: [BYTES, TIME, TIME_ALONE],
  async *measure(names, options) {
    if (names.includes(BYTES)) yield await bytesError();
    if (names.includes(TIME)) yield await timeError(TIME, THREADS, options);
    if (names.includes(TIME_ALONE)) yield await timeError(TIME_ALONE, 1, options);
  },
};
