// Question: how many bytes does a training step take, as planned and as run?
//
// The peak of a step is its states (parameters, moments, inputs) and its arena. Each thread also has a
// fixed scratch (see wasm/runtime.ts), the same for every model.

import { type Buffer, sumBytes } from "../runtime/plan/calls.ts";
import { compilePlan, withoutMemory } from "../runtime/plan/compile.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { lastingStatesOf } from "../runtime/program.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import { optimizerSchedule } from "../training/optimizers/table.ts";
import { initialValues } from "../training/initialise.ts";
import { chooseRecompute, type StepMemory } from "../training/recomputation.ts";
import { listPrograms, makeStep, type MicroOutputs, type StepConfig } from "../training/step.ts";

/**
 * What the compiler plans for a training step. Nothing is allocated or run.
 *
 * @param storeEvery sublayers between stored states; undefined stores everything
 */
export function planStepMemory(config: StepConfig, machine: Machine, storeEvery?: number): StepMemory {
  const { graph } = makeStep(config, storeEvery);
  const options = withoutMemory();
  const arenas = listPrograms(graph.programs).map((spec) => compilePlan(spec, machine, options).arena.bytes);
  return { stateBytes: sumBytes(options.states.values()), arenaBytes: Math.max(...arenas) };
}

/** A step's programs, ready to run on made-up tokens. */
export interface LoadedStep {
  readonly micro: Program<MicroOutputs>;
  /** In the order in which they run, `micro` first. */
  readonly programs: readonly Pick<Program, "run" | "plan" | "touch" | "profile">[];
  /** Give back programs and states. */
  release(): void;
}

/** Compile a step, and write first values and made-up tokens. */
export function loadStep(runtime: Runtime, config: StepConfig, storeEvery?: number): LoadedStep {
  const { parameters, graph } = makeStep(config, storeEvery);
  const { vocabulary, context } = config.model;
  const micro: Program<MicroOutputs> = runtime.compile(graph.programs.micro);
  const programs = graph.programs.update ? [micro, runtime.compile(graph.programs.update)] : [micro];
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const tokens = Int32Array.from({ length: config.batch * context }, (_, i) => (7919 * i + (i >> 3)) % vocabulary);
  runtime.write(graph.tokens, tokens);
  runtime.write(graph.targets, tokens);
  runtime.write(graph.schedule, optimizerSchedule(1e-3, 1, config.optimizer));
  return {
    micro,
    programs,
    release() {
      for (const program of programs) program.release();
      for (const { tensor } of [...parameters.all, ...graph.moments]) runtime.forget(tensor);
      for (const state of lastingStatesOf(listPrograms(graph.programs))) runtime.forget(state);
    },
  };
}

/**
 * What a training step writes: one is run on made-up tokens in an arena full of a pattern, and the bytes
 * that hold it no longer are counted.
 *
 * @param runtime is left with the states of this model and an arena of its size
 * @param storeEvery sublayers between stored states; undefined stores everything
 * @throws Error when the runtime cannot tell, and when the step read memory that nothing wrote: its loss is
 *   then not finite
 */
export async function measureStepMemory(
  runtime: Runtime,
  config: StepConfig,
  storeEvery?: number,
): Promise<StepMemory> {
  const arenas: number[] = [];
  const buffers = new Set<Buffer>();
  const { micro, programs } = loadStep(runtime, config, storeEvery);
  for (const program of programs) {
    if (!program.touch || !program.plan)
      throw new Error(
        `measureStepMemory: the ${runtime.name} runtime cannot tell which memory a program writes; take the wasm runtime (--runtime wasm).`,
      );
    arenas.push(await program.touch());
    if (program === micro && !Number.isFinite((await micro.read("loss"))[0]))
      throw new Error("measureStepMemory: the loss is not finite; the step reads memory before it is written.");
    for (const { operands } of program.plan.calls)
      for (const operand of operands) if (operand) buffers.add(operand.buffer);
  }
  return { stateBytes: sumBytes([...buffers].filter(({ state }) => state)), arenaBytes: Math.max(...arenas) };
}

/** What a model needs, with recomputation and without, beside a baseline; all as run. */
export interface ExtraMemory {
  /** The best L_r of the model. */
  readonly storeEvery: number;
  /** Measured for the model with recomputation, the model that stores everything, and the baseline that does. */
  readonly recomputed: StepMemory;
  readonly stored: StepMemory;
  readonly baseline: StepMemory;
}

/**
 * Measure what a model's training step needs against a baseline's, each in a runtime of its own.
 *
 * @param baseline such as the same model with plain residuals
 * @param open opens a runtime that plans its programs; called for each
 */
export async function measureExtraMemory(
  config: StepConfig,
  baseline: StepConfig,
  open: () => Promise<Runtime>,
): Promise<ExtraMemory> {
  const alone = async <R>(use: (runtime: Runtime) => Promise<R>): Promise<R> => {
    const runtime = await open();
    try {
      return await use(runtime);
    } finally {
      runtime.close();
    }
  };
  const storeEvery = await alone(async ({ name, machine }) => {
    if (!machine) throw new Error(`measureExtraMemory: the ${name} runtime plans no memory; use another.`);
    return chooseRecompute(config, machine);
  });
  return {
    storeEvery,
    recomputed: await alone((runtime) => measureStepMemory(runtime, config, storeEvery)),
    stored: await alone((runtime) => measureStepMemory(runtime, config)),
    baseline: await alone((runtime) => measureStepMemory(runtime, baseline)),
  };
}
