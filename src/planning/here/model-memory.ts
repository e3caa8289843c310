// Question: how much memory does a trained model need to write text, to be inspected, to be changed?
//
// As in training-memory.ts, the programs are compiled for a runtime that is only planned. Outside it lies the
// model's file, which is read whole before it is written into the runtime, and what Node's heap grows by.

import { createParameters, type ParameterSet } from "../../graph/parameters.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { createDecoder } from "../../model/decoder.ts";
import { createGenerator } from "../../model/generate.ts";
import { createLanes } from "../../model/lanes.ts";
import { type LanguageModel, languageModel } from "../../model/language-model.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import { createPlannedRuntime, type PlannedRuntime } from "../../runtime/planned/runtime.ts";
import { inPrecision } from "../../runtime/precision.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { disturbableModel } from "../../study/robustness.ts";
import { changeableModel } from "../../study/intervene.ts";
import { HEAP_BYTES, type MemoryNeed } from "./memory-limit.ts";
import { createObserver } from "../../training/observe.ts";
import { listPrograms, makeStep } from "../../training/step.ts";

/** Size of a model's file: four bytes a number. */
function fileBytes({ all }: ParameterSet): number {
  return all.reduce((sum, { tensor }) => sum + 4 * sizeOf(tensor.shape), 0);
}

/** A model, and the precision in which it computes. */
export type RunningModel = Pick<TrainingConfig, "model" | "precision">;

/** What a model needs, loaded from a checkpoint, with the programs that `compile` makes of it. */
function planLoaded(
  { model: config, precision }: RunningModel,
  machine: Machine,
  compile: (runtime: PlannedRuntime, model: LanguageModel) => void,
): MemoryNeed {
  const runtime = inPrecision(createPlannedRuntime(machine), precision);
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  for (const { tensor } of parameters.all) runtime.write(tensor, []);
  compile(runtime, model);
  const runtimeBytes = runtime.memoryBytes();
  return { runtimeBytes, machineBytes: runtimeBytes + fileBytes(parameters) + HEAP_BYTES };
}

/**
 * What a model needs to write texts side by side.
 *
 * @param prompts tokens of each prompt
 * @param tokens how many it writes at most after each
 */
export function planWriting(
  config: RunningModel,
  machine: Machine,
  { prompts, tokens }: { readonly prompts: readonly number[]; readonly tokens: number },
): MemoryNeed {
  return planLoaded(config, machine, (runtime, model) => createGenerator(runtime, model).prepare(prompts, tokens));
}

/** What a study of a model's outputs needs, which asks for the logits of whole batches. */
export function planDisturbing(config: TrainingConfig, machine: Machine): MemoryNeed {
  const runtime = inPrecision(createPlannedRuntime(machine), config.precision);
  const { parameters, spec } = disturbableModel(config);
  for (const { tensor } of parameters.all) runtime.write(tensor, []);
  runtime.compile(spec);
  const runtimeBytes = runtime.memoryBytes();
  return { runtimeBytes, machineBytes: runtimeBytes + fileBytes(parameters) + HEAP_BYTES };
}

/** What a model needs to be asked questions, so many side by side (by default as many as `createLanes` takes). */
export function planAnswering(config: RunningModel, machine: Machine, lanes?: number): MemoryNeed {
  return planLoaded(config, machine, (runtime, model) => createLanes(runtime, model, { lanes }).prepare());
}

/**
 * What a server needs that writes so many texts at a time.
 *
 * @param shapes rows of its programs, and for how many of them they give scores
 */
export function planServing(
  config: RunningModel,
  machine: Machine,
  slots: number,
  shapes: readonly { readonly size: number; readonly wanted: number }[],
): MemoryNeed {
  return planLoaded(config, machine, (runtime, model) => {
    const decoder = createDecoder(runtime, model, slots);
    for (const { size, wanted } of shapes) decoder.prepare(size, wanted);
  });
}

/** What the instruments need to look at a model on a text of so many tokens. */
export function planObserving(config: RunningModel, machine: Machine, tokens: number): MemoryNeed {
  return planLoaded(config, machine, (runtime, model) => void createObserver(runtime, model, tokens));
}

/** What a step of training needs that runs once, to be measured. */
export function planOneStep(config: TrainingConfig, machine: Machine, storeEvery?: number): MemoryNeed {
  const runtime = createPlannedRuntime(machine);
  const { graph } = makeStep(config, storeEvery);
  for (const spec of listPrograms(graph.programs)) runtime.compile(spec);
  const runtimeBytes = runtime.memoryBytes();
  return { runtimeBytes, machineBytes: runtimeBytes + HEAP_BYTES };
}

/** What a model needs whose maps are changed, the number of iterations included. */
export function planIntervening(config: TrainingConfig, machine: Machine): MemoryNeed {
  const runtime = inPrecision(createPlannedRuntime(machine), config.precision);
  const { parameters, network, spec, specWithIterations } = changeableModel(config);
  for (const { tensor } of parameters.all) runtime.write(tensor, []);
  runtime.compile(spec);
  const iterated = network.flatMap((sublayer, index) => (sublayer?.iterations === undefined ? [] : [index]));
  // How many iterations there are changes no size.
  if (iterated.length > 0) runtime.compile(specWithIterations(iterated, 1));
  const runtimeBytes = runtime.memoryBytes();
  return { runtimeBytes, machineBytes: runtimeBytes + fileBytes(parameters) + HEAP_BYTES };
}
