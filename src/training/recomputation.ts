// Question: every how many sublayers does a run store the state, and how much memory does its step then need?
//
// Selective recomputation (mHC, arXiv 2512.24880, Table 3) stores the state that enters every L_r-th sublayer and
// the result of every block. Within a group of L_r sublayers the backward pass computes the connection's own
// values again: coefficients, reads, norms, writes, and no block. L_r is the number that a configuration gives, or
// the one with the least memory by the plan (runtime/plan/segment-memory.ts); it changes no number of a run.

import { sumBytes } from "../runtime/plan/calls.ts";
import { compilePlan, withoutMemory } from "../runtime/plan/compile.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { peakBytes, planSegments } from "../runtime/plan/segment-memory.ts";
import type { RecomputeConfig } from "./config.ts";
import { makeStep, type StepConfig } from "./step.ts";

/** Bytes of a training step; a thread's fixed scratch comes on top. */
export interface StepMemory {
  /** Parameters, moments, inputs and sums of gradients. */
  readonly stateBytes: number;
  /** Everything that is computed: the larger one of the programs of a step, which share the arena. */
  readonly arenaBytes: number;
}

/** What a training step will need, for any L_r. */
export interface MemoryPrediction {
  /** L: sublayers of the model. */
  readonly sublayers: number;
  /** What a step needs that stores the state every so many sublayers (L_r). */
  of(storeEvery: number): StepMemory;
}

/** Predict the memory of a training step from one plan. Nothing is allocated or run. */
export function predictStepMemory(config: StepConfig, machine: Machine): MemoryPrediction {
  const options = withoutMemory();
  const { micro, update } = makeStep(config, 1).graph.programs;
  const updateBytes = update ? compilePlan(update, machine, options).arena.bytes : 0;
  const segments = planSegments(micro, compilePlan(micro, machine, options));
  const stateBytes = sumBytes(options.states.values());
  return {
    sublayers: segments.length - 1,
    of: (storeEvery) => ({
      stateBytes,
      arenaBytes: Math.max(updateBytes, peakBytes(segments, storeEvery)),
    }),
  };
}

/** L_r as a configuration asks for it; undefined stores everything, as where no machine is planned for. */
export function resolveRecompute(
  config: StepConfig,
  machine: Machine | undefined,
  wanted: RecomputeConfig = "none",
): number | undefined {
  if (wanted === "none") return undefined;
  if (wanted === "auto") return machine && chooseRecompute(config, machine);
  return wanted;
}

/** L_r with the least predicted memory; of equals the smallest. */
export function chooseRecompute(config: StepConfig, machine: Machine): number {
  const prediction = predictStepMemory(config, machine);
  const bytes = Array.from({ length: prediction.sublayers }, (_, index) => prediction.of(index + 1).arenaBytes);
  return bytes.indexOf(Math.min(...bytes)) + 1;
}
