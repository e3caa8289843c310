// Question: how many bytes does a training step take, as planned and as run?
//
// The peak of a step is its states (parameters, moments, inputs) and its arena. Each thread also has a
// fixed scratch (see wasm/runtime.ts), the same for every model.

import { createParameters, type ParameterSet } from "../graph/parameters.ts";
import { stateOf } from "../graph/state.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { languageModel } from "../model/language-model.ts";
import type { Buffer } from "../runtime/plan/calls.ts";
import { type CompileOptions, compilePlan } from "../runtime/plan/compile.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "./config.ts";
import { initialValues } from "./initialise.ts";
import { buildStep, listPrograms, type MicroOutputs, type StepGraph } from "./step.ts";

/** What a step's plan depends on. */
export type StepConfig = Pick<TrainingConfig, "model" | "batch" | "accumulate" | "optimizer">;

/** Bytes of a training step; a thread's fixed scratch comes on top. */
export interface StepMemory {
  /** Parameters, moments, inputs and sums of gradients. */
  readonly stateBytes: number;
  /** Everything that is computed: the larger one of the programs of a step, which share the arena. */
  readonly arenaBytes: number;
}

/** The graph of a training step over parameters of its own. `storeEvery`: see `LanguageModel.hidden`. */
export function makeStep(
  { model, batch, accumulate, optimizer }: StepConfig,
  storeEvery?: number,
): { parameters: ParameterSet; graph: StepGraph } {
  const parameters = createParameters();
  const graph = buildStep(languageModel(model, parameters), parameters, { batch, accumulate, optimizer, storeEvery });
  return { parameters, graph };
}

/** Options to compile with when nothing is to run: states get buffers without memory, all of them in `states`. */
export function withoutMemory(): CompileOptions & { states: Map<Tensor, Buffer> } {
  const states = new Map<Tensor, Buffer>();
  const stateBuffer = (tensor: Tensor): Buffer => {
    let buffer = states.get(tensor);
    if (!buffer) {
      const state = stateOf(tensor)!;
      states.set(tensor, (buffer = { name: state.name, bytes: 4 * sizeOf(tensor.shape), state }));
    }
    return buffer;
  };
  return { states, stateBuffer };
}

export function sumBytes(buffers: Iterable<Buffer>): number {
  return [...buffers].reduce((sum, { bytes }) => sum + bytes, 0);
}

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
}

export function loadStep(runtime: Runtime, config: StepConfig, storeEvery?: number): LoadedStep {
  const { parameters, graph } = makeStep(config, storeEvery);
  const { vocabulary, context } = config.model;
  const micro: Program<MicroOutputs> = runtime.compile(graph.programs.micro);
  const programs = graph.programs.update ? [micro, runtime.compile(graph.programs.update)] : [micro];
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const tokens = Int32Array.from({ length: config.batch * context }, (_, i) => (7919 * i + (i >> 3)) % vocabulary);
  runtime.write(graph.tokens, tokens);
  runtime.write(graph.targets, tokens);
  runtime.write(graph.schedule, [1e-3, 1 - config.optimizer.beta1, 1 - config.optimizer.beta2]);
  return { micro, programs };
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
      throw new Error(`measureStepMemory: the ${runtime.name} runtime cannot tell which memory a program writes.`);
    arenas.push(await program.touch());
    if (program === micro && !Number.isFinite((await micro.read("loss"))[0]))
      throw new Error("measureStepMemory: the loss is not finite; the step reads memory before it is written.");
    for (const { operands } of program.plan.calls)
      for (const operand of operands) if (operand) buffers.add(operand.buffer);
  }
  return { stateBytes: sumBytes([...buffers].filter(({ state }) => state)), arenaBytes: Math.max(...arenas) };
}
