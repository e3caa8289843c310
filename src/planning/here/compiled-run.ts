// Question: What does the compiler make of a run's training step, and is the memory that was predicted what it takes?

import { given } from "../../basics/given.ts";
import type { CompiledPlan } from "../../runtime/plan/calls.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { predictStepMemory, resolveRecompute, type StepMemory } from "../../training/recomputation.ts";
import { makeStep } from "../../training/step.ts";
import { measureStepMemory, planStepMemory } from "../step-memory.ts";
import { compilePlan, withoutMemory } from "../../runtime/plan/compile.ts";
import { expectFit, memoryLimits } from "./memory-limit.ts";
import { planOneStep } from "./model-memory.ts";
import { leastTraining } from "./training-memory.ts";

/** What a training step needs, state and arena together. */
export interface StepPeak {
  /** Sublayers between stored states; absent when everything is stored. */
  readonly storeEvery?: number;
  readonly predictedBytes: number;
  readonly measuredBytes: number;
  /** The same step when everything is stored. */
  readonly storedBytes: number;
}

/**
 * Look at a run's training step as the compiler sees it, and at the memory that one step writes.
 *
 * @param memory bytes that may be used in place of those that are free
 * @throws RangeError when one step does not fit; Error when the runtime follows no plan
 */
export async function compileRunStep(
  runtime: Runtime,
  config: TrainingConfig,
  memory?: number,
): Promise<{ readonly plan: CompiledPlan; readonly peak: StepPeak }> {
  const { machine } = runtime;
  if (!machine)
    throw new Error(`inspect: the ${runtime.name} runtime follows no plan; leave out --plan, or take another runtime.`);
  let storeEvery: number | undefined;
  expectFit(
    "Measuring a training step for --plan",
    memoryLimits(machine.device, memory),
    () => {
      storeEvery = resolveRecompute(config, machine, config.recompute);
      return planOneStep(config, machine, storeEvery);
    },
    [],
    "Leave out --plan; the rest is shown without it.",
    leastTraining([config]),
  );
  const plan = compilePlan(makeStep(config, storeEvery).graph.programs.micro, machine, withoutMemory());
  const total = ({ stateBytes, arenaBytes }: StepMemory): number => stateBytes + arenaBytes;
  const storedBytes = total(planStepMemory(config, machine));
  const peak = {
    ...given({ storeEvery }),
    predictedBytes: storeEvery ? total(predictStepMemory(config, machine).of(storeEvery)) : storedBytes,
    measuredBytes: total(await measureStepMemory(runtime, config, storeEvery)),
    storedBytes,
  };
  return { plan, peak };
}
