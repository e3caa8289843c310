// Question: every how many sublayers should the state be stored, and how much memory does a step then need?
//
// Selective recomputation (mHC, arXiv 2512.24880, Table 3) stores the state x that enters every L_r-th
// sublayer and the result y of every block F. Within a group of L_r sublayers the backward pass computes
// the connection's own values again: coefficients, reads, norms, writes, and no F. With L sublayers, n
// streams of C channels, and counting what is stored and what one group needs again, Eq. 20 is
//
//   L_r* = argmin  nC ⌈L/L_r⌉ + (n + 2)C L_r   ≈ √(nL / (n + 2))        n for x, 2 for a read and its norm
//
// Here a sublayer's read and norm wait until its own gradient asks for them, so one sublayer at a time has
// them, and of a group only x and the coefficients h are there together. With r sublayers in the group
// that the backward pass is in, the bytes that depend on L_r are
//
//   nC ⌈L/L_r⌉ + (nC + h)(r − 1)
//
// The rest, which does not, is what the blocks store, logits, gradients and parameters. It is counted once,
// from the plan with L_r = 1 (sublayer-memory.ts): P_l, the bytes live while the backward pass is in
// sublayer l, when x_1 .. x_l are stored. With l in the group that starts at sublayer s,
//
//   arena(L_r) = max over l of   P_l − Σ {x_j : j < s starts no group} + Σ {h_j : s ≤ j < l}
//
// since x_s .. x_l are there either way, stored or computed again. Results y that no gradient reads, as
// those of a plain residual, come on top where an x is computed from them. Sublayers that differ, states
// of several tensors and tensors of several states count as they are. See docs/recomputation.md.

import { compilePlan } from "../runtime/plan/compile.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { RecomputeConfig } from "./config.ts";
import {
  makeStep,
  measureStepMemory,
  type StepConfig,
  type StepMemory,
  sumBytes,
  withoutMemory,
} from "./step-memory.ts";
import { planSublayers, type Sublayer } from "./sublayer-memory.ts";

/**
 * What Eq. 20 minimises, in units of C values a token.
 *
 * @param streams n
 * @param sublayers L
 * @param storeEvery L_r
 */
export function blockObjective(streams: number, sublayers: number, storeEvery: number): number {
  return streams * Math.ceil(sublayers / storeEvery) + (streams + 2) * storeEvery;
}

/**
 * Where Eq. 20 has its minimum when L_r need not be whole: √(nL / (n + 2)).
 *
 * @param streams n
 * @param sublayers L
 */
export function blockOptimum(streams: number, sublayers: number): number {
  return Math.sqrt((streams * sublayers) / (streams + 2));
}

/** What a training step will need, for any L_r. */
export interface MemoryPrediction {
  /** L: sublayers of the model. */
  readonly sublayers: number;
  /** What a step needs that stores the state every so many sublayers (L_r). */
  of(storeEvery: number): StepMemory;
}

/** Predict the memory of a training step by the formula above. Nothing is allocated or run. */
export function predictStepMemory(config: StepConfig, machine: Machine): MemoryPrediction {
  const options = withoutMemory();
  const { micro, update } = makeStep(config, 1).graph.programs;
  const updateBytes = update ? compilePlan(update, machine, options).arena.bytes : 0;
  const sublayers = planSublayers(micro, compilePlan(micro, machine, options));
  const stateBytes = sumBytes(options.states.values());
  return {
    sublayers: sublayers.length - 1,
    of: (storeEvery) => ({
      stateBytes,
      arenaBytes: Math.max(updateBytes, peakBytes(sublayers, storeEvery)),
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

/** The formula at the head of this file; sublayers count from 0 here. */
function peakBytes(sublayers: readonly Sublayer[], storeEvery: number): number {
  const last = sublayers.length - 1;
  const bytes = sublayers.map(({ peak }, l) => {
    const s = l === last ? l : l - (l % storeEvery);
    const there = sublayers.slice(0, l + 1).filter((_, j) => j % storeEvery === 0 || j >= s);
    const kept = new Set(there.flatMap(({ state }) => [...state]));
    const saved = new Set(sublayers.slice(0, s).flatMap(({ state }) => [...state].filter((x) => !kept.has(x))));
    const more = new Set(sublayers.slice(s, l).flatMap(({ rest }) => [...rest]));
    const results = new Set(
      sublayers.slice(0, s).flatMap(({ result }, j) => ((j + 1) % storeEvery === 0 ? [] : [...result])),
    );
    return peak - sumBytes(saved) + sumBytes(results) + sumBytes(more);
  });
  return Math.max(...bytes);
}
