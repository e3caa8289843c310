// Question: how long will a training step take on this machine, before it is run?
//
// The compiler's plan lists every kernel call with its operations and buffers. How fast each kernel is here
// is measured once, on the steps of two small models (one narrow, one wider): every call is timed alone on
// one thread, and with a kernel's times t, operations f and bytes b of all its calls
//
//   seconds of an operation = Σ t / Σ f        (of a byte, Σ t / Σ b, where a kernel counts no operations)
//
// A step of another model then takes, alone, Σ over its calls of operations × seconds. On all threads it
// takes a share of that, and something for each of its phases, at whose ends threads wait for each other:
//
//   seconds of a step = share · Σ operations × seconds + phases · wait
//
// both found from the two small steps, run on all threads. No roofline from data sheets can do that for a
// CPU, whose kernels for exponentials, norms or packing are far from either limit.

import { type ModelConfig, modelSchema, type ModelSize } from "../model/config.ts";
import type { Call, CompiledPlan } from "../runtime/plan/calls.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { loadStep } from "./step-memory.ts";
import { listPrograms, makeStep, type StepConfig } from "../training/step.ts";
import { compilePlan, withoutMemory } from "../runtime/plan/compile.ts";
import type { MixedConnectionConfig } from "../model/overrides.ts";
import type { ConnectionShape } from "./architecture.ts";

/** How fast each kernel of the CPU runtime is on this machine. */
export interface KernelRates {
  /** Seconds of an operation, or of a byte for kernels that count none, on one thread. */
  readonly seconds: ReadonlyMap<string, { readonly flop?: number; readonly byte: number }>;
  /** Of a step's calls' times on one thread: what all threads take. */
  readonly parallel: number;
  /** Seconds that threads wait for each other at the end of a phase. */
  readonly wait: number;
  /** Seconds of a byte of a kernel that was not among the measured ones. */
  readonly otherByte: number;
}

/** What a planned step's model has between its sublayers. */
export type PlannedConnection =
  | { readonly kind: "residual" }
  | ({ readonly kind: "mhc" } & Partial<Omit<ConnectionShape, "maps">>)
  | MixedConnectionConfig;

/** A training step as the planner measures and predicts it: AdamW, clipping, one batch. */
export function stepConfig(
  size: ModelSize & Pick<ModelConfig, "vocabulary">,
  connection: PlannedConnection,
  batch: number,
): StepConfig {
  return parseTrainingConfig({
    name: "plan",
    data: { source: "-", vocabulary: size.vocabulary },
    model: modelSchema.parse({ ...size, connection }),
    batch,
    steps: 1,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1,
    checkpointEvery: 1,
  });
}

const samples = [
  { context: 128, width: 128, layers: 2, heads: 4, kvHeads: 4, hidden: 384, vocabulary: 1024 },
  { context: 256, width: 320, layers: 2, heads: 10, kvHeads: 5, hidden: 896, vocabulary: 1024 },
];
const BATCH = 2;
const ROUNDS = 3;
const RUNS = 16;
const TURNS = 40;

/**
 * Time every kernel in the steps of two small models. Takes a few seconds.
 *
 * @param runtime is left with the states of both
 */
export async function measureKernels(runtime: Runtime): Promise<KernelRates> {
  const sums = new Map<string, { seconds: number; flops: number; bytes: number }>();
  const steps: SmallStep[] = [];
  for (const sample of samples) {
    const { micro } = loadStep(runtime, stepConfig(sample, { kind: "mhc" }, BATCH));
    if (!micro.profile || !micro.plan)
      throw new Error(`measureKernels: the ${runtime.name} runtime cannot time its kernels; use another.`);
    let alone = 0;
    for (const { call, milliseconds } of await micro.profile(ROUNDS)) {
      const sum = sums.get(call.kernel) ?? { seconds: 0, flops: 0, bytes: 0 };
      alone += milliseconds / 1000;
      sum.seconds += milliseconds / 1000;
      sum.flops += call.flops;
      sum.bytes += operandBytes(call);
      sums.set(call.kernel, sum);
    }
    // After the profile: by then the engine no longer compiles the kernels beside them.
    const together = await bestSeconds(runtime, () => micro.run());
    steps.push({ alone, together, phases: micro.plan.phases.length });
  }
  const alone = steps.reduce((sum, step) => sum + step.alone, 0);
  const bytes = [...sums.values()].reduce((total, sum) => total + sum.bytes, 0);
  const seconds = [...sums].map(([kernel, sum]) => {
    const rates = { byte: sum.seconds / sum.bytes, ...(sum.flops > 0 ? { flop: sum.seconds / sum.flops } : {}) };
    return [kernel, rates] as const;
  });
  return { seconds: new Map(seconds), ...threadsOf(steps), otherByte: alone / bytes };
}

/** Seconds of a step: of its calls one after the other on one thread, and as it runs on all. */
interface SmallStep {
  readonly alone: number;
  readonly together: number;
  readonly phases: number;
}

/** The share and the wait that explain two steps, or the share alone where there is no wait to be seen. */
function threadsOf([narrow, wide]: readonly SmallStep[]): Pick<KernelRates, "parallel" | "wait"> {
  const [a, b] = [narrow!, wide!];
  const wait = (a.together * b.alone - b.together * a.alone) / (a.phases * b.alone - b.phases * a.alone);
  const parallel = (b.together - wait * b.phases) / b.alone;
  if (wait > 0 && parallel > 0) return { parallel, wait };
  return { parallel: (a.together + b.together) / (a.alone + b.alone), wait: 0 };
}

/**
 * Seconds that a training step will take. Nothing is allocated or run.
 *
 * @param storeEvery sublayers between stored states; undefined stores everything
 */
export function predictStepTime(config: StepConfig, machine: Machine, rates: KernelRates, storeEvery?: number): number {
  const programs = listPrograms(makeStep(config, storeEvery).graph.programs);
  return programs.reduce((sum, spec) => sum + planSeconds(compilePlan(spec, machine, withoutMemory()), rates), 0);
}

/** Seconds that a program of a step will take. */
export function planSeconds(
  { calls, phases }: CompiledPlan,
  { seconds, parallel, wait, otherByte }: KernelRates,
): number {
  const alone = calls.reduce((sum, call) => {
    const { flop, byte } = seconds.get(call.kernel) ?? { byte: otherByte };
    return sum + (flop === undefined ? byte * operandBytes(call) : flop * call.flops);
  }, 0);
  return alone * parallel + phases.length * wait;
}

/** Seconds that a training step takes, the best of a few. */
export async function measureStepTime(runtime: Runtime, config: StepConfig, storeEvery?: number): Promise<number> {
  const { programs } = loadStep(runtime, config, storeEvery);
  return bestSeconds(runtime, () => {
    for (const program of programs) program.run();
  });
}

/**
 * Milliseconds of the training steps of several configurations, the best of a few of each, taken in turns, so that what
 * slows the machine down for a while slows all of them.
 *
 * @param clock in milliseconds; one of processor time does not count the time that other programs take. Default: the wall's
 */
export async function compareStepTimes(
  runtime: Runtime,
  configs: readonly StepConfig[],
  clock: () => number = () => performance.now(),
): Promise<number[]> {
  const steps = configs.map((config) => loadStep(runtime, config));
  const best = steps.map(() => Number.POSITIVE_INFINITY);
  for (let k = 0; k < TURNS; k++)
    for (const [index, { programs }] of steps.entries()) {
      const started = clock();
      for (const program of programs) program.run();
      await runtime.finish();
      best[index] = Math.min(best[index]!, clock() - started);
    }
  for (const { release } of steps) release();
  return best;
}

/** Of every buffer a call touches, each once. */
function operandBytes({ operands }: Call): number {
  const buffers = new Set(operands.flatMap((operand) => operand?.buffer ?? []));
  return [...buffers].reduce((sum, { bytes }) => sum + bytes, 0);
}

async function bestSeconds(runtime: Runtime, run: () => void): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let k = 0; k < RUNS; k++) {
    const started = performance.now();
    run();
    await runtime.finish();
    best = Math.min(best, performance.now() - started);
  }
  return best / 1000;
}
