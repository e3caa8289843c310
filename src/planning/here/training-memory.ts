// Question: how much memory do training runs need in all, and what would make them need less?
//
// Every program of a run is compiled for a runtime that is only planned (runtime/planned/runtime.ts): the step, what
// evaluates and observes, what writes a sample at the end. Runs that take turns share one runtime and its arena.
// Outside it lie the parameters and moments of the largest run while a checkpoint is read, for the instruments a
// copy of the parameters, and what Node's own heap grows by.

import { connectionOptions, createConnection } from "../../connections/table.ts";
import { modelParameters } from "../../model/language-model.ts";
import { isMixed } from "../../model/overrides.ts";
import { parameterCount } from "../../graph/parameters.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import { createPlannedRuntime } from "../../runtime/planned/runtime.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { type Change, expectFit, HEAP_BYTES, leastNeed, type MemoryLimits, type MemoryNeed } from "./memory-limit.ts";
import type { Place } from "../../training/parallel/share.ts";
import { predictRanks } from "../../training/parallel/memory.ts";
import type { PipelinePlan } from "../../training/parallel/pipeline/stage.ts";
import { compileTraining } from "../../training/programs.ts";

/** What is trained in one runtime, and what is asked of it beside training. */
export interface Trainings {
  /** In the order in which they are opened. */
  readonly configs: readonly TrainingConfig[];
  /** The text that each writes at the end: tokens of its prompt and after it. */
  readonly sample?: { readonly prompt: number; readonly tokens: number } | undefined;
  /** This process among those that share the training; by default it is alone. */
  readonly place?: Place;
  /** How it is spread over the ranks that share it; by default each has the whole model. */
  readonly spread?: (config: TrainingConfig) => PipelinePlan;
}

/** What may be changed, in the words of the command that was given. */
export interface MemoryWording {
  /** Options that give the runs' connections these fields instead; absent, connections stay as they are. */
  readonly connections?: (field: "streams" | "streamPrecision", values: readonly unknown[]) => string;
  /** How to train one of several runs alone; absent, they stay together. */
  readonly alone?: string;
  /** A run that goes on keeps everything but what is computed again. */
  readonly resumed?: boolean;
}

interface TrainingChange extends Change {
  /** Undefined when the run's connection refuses it. */
  apply(config: TrainingConfig): TrainingConfig | undefined;
  /** Whether the runs are trained one after the other. */
  readonly alone?: true;
}

/**
 * What trainings that take turns in one runtime need together, from the first step to the last. Nothing is
 * allocated or run.
 *
 * @param machine a runtime, or what one would have
 * @param changed what is changed in them
 */
export function planMemoryNeed(
  { configs, sample, place, spread }: Trainings,
  machine: Machine,
  changed: readonly TrainingChange[] = [],
): MemoryNeed {
  const made = configs.map((config) => changed.reduce((next, { apply }) => apply(next) ?? next, config));
  const together = changed.some(({ alone }) => alone) ? made.map((config) => [config]) : [made];
  const needs = together.map((runs) => needOf(runs, machine, { sample, place, spread }));
  return needs.reduce((a, b) => (b.machineBytes > a.machineBytes ? b : a));
}

function needOf(
  configs: readonly TrainingConfig[],
  machine: Machine,
  {
    sample,
    place,
    spread,
  }: {
    readonly sample: Trainings["sample"];
    readonly place: Place | undefined;
    readonly spread: Trainings["spread"];
  },
): MemoryNeed {
  const [first] = configs;
  const plan = first && spread?.(first);
  if (plan) return largestRank(first, machine, plan, sample);
  const runtime = createPlannedRuntime(machine);
  const runs = configs.map((config) => compileTraining(runtime, config, place));
  const saved = runs.map(({ parameters, graph }) => [...parameters.all, ...graph.moments].map(({ tensor }) => tensor));
  for (const tensor of saved.flat()) runtime.write(tensor, []);
  for (const run of runs) {
    run.observer();
    run.evaluation();
  }
  if (sample) for (const run of runs) run.generator().prepare([sample.prompt], sample.tokens);
  const checkpoints = saved.map((tensors) => tensors.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0));
  const runtimeBytes = runtime.memoryBytes();
  return { runtimeBytes, machineBytes: runtimeBytes + Math.max(...checkpoints) + HEAP_BYTES };
}

/** What the rank of a mesh needs that needs most; rank 0 has the whole state while a checkpoint is read. */
function largestRank(
  config: TrainingConfig,
  machine: Machine,
  plan: PipelinePlan,
  sample: Trainings["sample"],
): MemoryNeed {
  const runtimeBytes = Math.max(...predictRanks(config, machine, plan, { sample }).map((rank) => rank.runtimeBytes));
  const checkpoint = 12 * parameterCount(modelParameters(config.model));
  return { runtimeBytes, machineBytes: runtimeBytes + checkpoint + HEAP_BYTES };
}

/** The least that the largest of some trainings needs: its weights and two moments of each. */
export function leastTraining(configs: readonly TrainingConfig[]): MemoryNeed | undefined {
  return leastNeed(
    configs.map(({ model }) => model),
    12,
  );
}

/**
 * Make sure that trainings fit before one of them is started.
 *
 * @returns what they need
 * @throws RangeError with the need, the limit and the two changes that reduce the need the most
 */
export function expectMemory(
  trainings: Trainings,
  machine: Machine,
  limits: MemoryLimits,
  wording: MemoryWording = {},
): MemoryNeed {
  const { configs, place, spread } = trainings;
  const isPossible = (config: TrainingConfig): boolean => {
    try {
      spread?.(config);
      return true;
    } catch {
      return false;
    }
  };
  const helps = ({ apply }: TrainingChange): boolean =>
    configs.every((config) => {
      const made = apply(config);
      return made !== undefined && isPossible(made);
    });
  return expectFit(
    `${configs.map(({ name }) => name).join(", ")}: training`,
    limits,
    (made) => planMemoryNeed(trainings, machine, made),
    changes(configs, wording).filter(helps),
    "Take a smaller model, or free memory.",
    // Of several ranks each has a part of the moments, or of the model.
    (place?.size ?? 1) > 1 ? undefined : leastTraining(configs),
  );
}

function changes(configs: readonly TrainingConfig[], { connections, alone, resumed }: MemoryWording): TrainingChange[] {
  const [first] = configs as [TrainingConfig];
  const found: TrainingChange[] = [
    { option: "--recompute auto", apply: (config) => ({ ...config, recompute: "auto" }) },
  ];
  if (alone !== undefined && configs.length > 1) found.push({ option: alone, apply: (config) => config, alone: true });
  if (resumed) return found;
  // As many sequences as before, in more and smaller batches.
  const { batch, accumulate } = first;
  const parts = smallestDivisor(batch);
  if (batch > 1)
    found.push({
      option: `--batch ${batch / parts} --accumulate ${accumulate * parts}`,
      apply: (config) => ({ ...config, batch: batch / parts, accumulate: accumulate * parts }),
    });
  found.push({
    option: "--precision bfloat16",
    apply: ({ precision = "float32", ...config }) =>
      precision === "float32" ? { ...config, precision: "bfloat16" } : undefined,
  });
  const context = Math.ceil(first.model.context / 2);
  if (context < first.model.context)
    found.push({
      option: `--context ${context}`,
      apply: (config) => ({ ...config, model: { ...config.model, context } }),
    });
  if (!connections) return found;
  const fields = [
    ["streams", (streams: unknown): unknown => (typeof streams === "number" ? Math.ceil(streams / 2) : undefined)],
    ["streamPrecision", (): unknown => "bfloat16"],
  ] as const;
  for (const [field, reduced] of fields) {
    const valueOf = ({ model: { connection } }: TrainingConfig): unknown =>
      isMixed(connection) || !connectionOptions(connection.kind).includes(field)
        ? undefined
        : reduced((connection as unknown as Record<string, unknown>)[field]);
    const values = configs.map(valueOf);
    if (values.every((value) => value === undefined)) continue;
    found.push({
      option: connections(field, values),
      apply: (config) => withConnection(config, field, valueOf(config)),
    });
  }
  return found;
}

/** The smallest whole number above 1 that divides a count; of 1 itself it is 1. */
function smallestDivisor(of: number): number {
  for (let part = 2; part * part <= of; part++) if (of % part === 0) return part;
  return of;
}

/** A configuration with a field of its connection changed; undefined when the connection refuses the value. */
function withConnection(config: TrainingConfig, field: string, value: unknown): TrainingConfig | undefined {
  const { connection } = config.model;
  if (value === undefined || isMixed(connection)) return config;
  try {
    const changed = { ...connection, [field]: value };
    createConnection(changed);
    return { ...config, model: { ...config.model, connection: changed } };
  } catch {
    return undefined;
  }
}
