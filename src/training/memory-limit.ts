// Question: do the trainings that are asked for fit into memory, and if not, what would make them?
//
// The plan knows every byte before a run starts (step-memory.ts). Two limits hold at once:
//
//   the CPU runtime's   states, arena, programs and scratch of the threads lie in one WebAssembly memory,
//                       which has 4 GiB of addresses
//   the machine's       the same, and the copy of a run's states that a checkpoint is written from; what is
//                       free now, or what the user allows
//
// Runs that take turns share the arena of the largest one; one that grows leaves the smaller behind it. When
// the need is above a limit, changes are tried on the plan, each alone, and those that save the most are told.

import { freemem, totalmem } from "node:os";
import { connectionOptions, createConnection, isMixed } from "../model/config.ts";
import type { Buffer } from "../runtime/plan/calls.ts";
import { compilePlan } from "../runtime/wasm/compile.ts";
import { type Place, programSize } from "../runtime/wasm/encode.ts";
import { emptyRuntimeBytes, LARGEST_MEMORY_BYTES } from "../runtime/wasm/runtime.ts";
import type { TrainingConfig } from "./config.ts";
import { resolveRecompute } from "./recomputation.ts";
import { type Machine, makeStep, sumBytes, withoutMemory } from "./step-memory.ts";

/** Bytes that trainings need at once. */
export interface MemoryNeed {
  /** In the CPU runtime's memory: parameters, moments, inputs, values of a step, programs, scratch. */
  readonly runtimeBytes: number;
  /** Of the machine: that, and the copy of the largest run's parameters and moments for a checkpoint. */
  readonly machineBytes: number;
}

/** What trainings must fit into. */
export interface MemoryLimits {
  readonly runtimeBytes: number;
  readonly machineBytes: number;
  /** Where the machine's limit comes from, in words. */
  readonly machine: string;
}

/** One change, what trainings need with it, and whether they fit then. */
interface MemoryReduction {
  /** The options of the command line that make the change. */
  readonly option: string;
  readonly need: MemoryNeed;
  readonly fits: boolean;
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

/** The limits of this machine; `allowed` bytes in place of those that are free now. */
export function memoryLimits(allowed?: number): MemoryLimits {
  const limit = (machineBytes: number, machine: string): MemoryLimits => ({
    runtimeBytes: LARGEST_MEMORY_BYTES,
    machineBytes,
    machine,
  });
  if (allowed !== undefined) return limit(allowed, "what --memory allows");
  // Of a container, where 0 or more than there is means no limit.
  const constrained = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  const left = constrained - process.memoryUsage.rss();
  // Only Linux tells how much can be had; elsewhere caches count as used.
  const free = process.platform === "linux" ? freemem() : totalmem();
  return left < free && constrained < totalmem()
    ? limit(left, "what this container has left")
    : limit(free, process.platform === "linux" ? "what is free on this machine" : "the memory of this machine");
}

/**
 * What trainings that take turns in one runtime need together. Nothing is allocated or run.
 *
 * @param configs in the order in which they are opened
 * @param machine a runtime, or what one would have
 * @param changed what is changed in them
 */
export function planMemoryNeed(
  configs: readonly TrainingConfig[],
  machine: Machine,
  ...changed: readonly Change[]
): MemoryNeed {
  const needs = configs.map((config) =>
    needOf(
      changed.reduce((next, { apply }) => apply(next) ?? next, config),
      machine,
    ),
  );
  const together = changed.some(({ alone }) => alone) ? needs.map((need) => [need]) : [needs];
  const sums = together.map((runs) => {
    let [bytes, arena, checkpoint] = [emptyRuntimeBytes(machine.threads), 0, 0];
    for (const run of runs) {
      bytes += run.fixed;
      for (const next of run.arenas) if (next > arena) bytes += arena = next;
      checkpoint = Math.max(checkpoint, run.checkpoint);
    }
    return { runtimeBytes: bytes, machineBytes: bytes + checkpoint };
  });
  return sums.reduce((a, b) => (b.machineBytes > a.machineBytes ? b : a));
}

interface RunNeed {
  /** States and programs. */
  readonly fixed: number;
  /** Of its programs, in the order in which they are compiled. */
  readonly arenas: readonly number[];
  /** Parameters and moments. */
  readonly checkpoint: number;
}

function needOf(config: TrainingConfig, machine: Machine): RunNeed {
  const { parameters, graph } = makeStep(config, resolveRecompute(config, machine, config.recompute));
  const options = withoutMemory(machine);
  const plans = [graph.micro, graph.update].flatMap((spec) => (spec ? [compilePlan(spec, options)] : []));
  const programs = plans.map(({ phases, memory: { locals, sharing } }) => {
    const placeOf = (buffer: Buffer): Place => {
      const local = locals.get(sharing.get(buffer) ?? buffer);
      return local ? { local } : { address: 0 };
    };
    return 4 * programSize(phases, placeOf);
  });
  const saved = new Set([...parameters.all, ...graph.moments].map(({ tensor }) => tensor));
  return {
    fixed: sumBytes(options.states.values()) + programs.reduce((sum, bytes) => sum + bytes, 0),
    arenas: plans.map(({ memory }) => memory.arenaBytes),
    checkpoint: sumBytes([...saved].flatMap((tensor) => options.states.get(tensor) ?? [])),
  };
}

/**
 * Make sure that trainings fit before one of them is started.
 *
 * @returns what they need
 * @throws RangeError with the need, the limit and the two changes that reduce the need the most
 */
export function expectMemory(
  configs: readonly TrainingConfig[],
  machine: Machine,
  limits: MemoryLimits,
  wording: MemoryWording = {},
): MemoryNeed {
  const need = planMemoryNeed(configs, machine);
  if (fits(need, limits)) return need;
  const best = memoryReductions(configs, machine, limits, wording).slice(0, 2);
  const names = configs.map(({ name }) => name).join(", ");
  throw new RangeError(
    `${names}: training would need ${tooMuch(need, limits)}.\n` +
      (best.length === 0
        ? "Nothing that can be changed here makes it smaller; take a smaller model."
        : ["What saves most:", ...[...best, ...together(best, configs, machine, limits)].map(describe)].join("\n")),
  );
}

/** Two reductions at once, where neither is enough. */
function together(
  best: readonly Tried[],
  configs: readonly TrainingConfig[],
  machine: Machine,
  limits: MemoryLimits,
): MemoryReduction[] {
  const [a, b] = best;
  if (!a || !b || a.fits || b.fits) return [];
  const need = planMemoryNeed(configs, machine, a.change, b.change);
  return [{ option: "both", need, fits: fits(need, limits) }];
}

interface Change {
  readonly option: string;
  /** Undefined when the run's connection refuses it. */
  apply(config: TrainingConfig): TrainingConfig | undefined;
  /** Whether the runs are trained one after the other. */
  readonly alone?: true;
}

interface Tried extends MemoryReduction {
  readonly change: Change;
}

/** What reduces the need of trainings the most, the best first; each is planned, nothing is allocated. */
function memoryReductions(
  configs: readonly TrainingConfig[],
  machine: Machine,
  limits: MemoryLimits,
  wording: MemoryWording,
): Tried[] {
  const before = planMemoryNeed(configs, machine).machineBytes;
  return changes(configs, wording)
    .filter(({ apply }) => configs.every((config) => apply(config)))
    .map((change) => {
      const need = planMemoryNeed(configs, machine, change);
      return { change, option: change.option, need, fits: fits(need, limits) };
    })
    .filter(({ need }) => need.machineBytes < before)
    .sort((a, b) => a.need.machineBytes - b.need.machineBytes);
}

function changes(configs: readonly TrainingConfig[], { connections, alone, resumed }: MemoryWording): Change[] {
  const [first] = configs as [TrainingConfig];
  const found: Change[] = [{ option: "--recompute auto", apply: (config) => ({ ...config, recompute: "auto" }) }];
  if (alone !== undefined && configs.length > 1) found.push({ option: alone, apply: (config) => config, alone: true });
  if (resumed) return found;
  // As many sequences as before, in more and smaller batches.
  const { batch, accumulate } = first;
  const parts = Array.from({ length: batch }, (_, index) => index + 2).find((part) => batch % part === 0);
  if (parts !== undefined)
    found.push({
      option: `--batch ${batch / parts} --accumulate ${accumulate * parts}`,
      apply: (config) => ({ ...config, batch: batch / parts, accumulate: accumulate * parts }),
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

function fits(need: MemoryNeed, limits: MemoryLimits): boolean {
  return need.runtimeBytes <= limits.runtimeBytes && need.machineBytes <= limits.machineBytes;
}

/** The need beside the limit that it breaks, the smaller one where it breaks both. */
function tooMuch({ runtimeBytes, machineBytes }: MemoryNeed, limits: MemoryLimits): string {
  const broken = [
    { need: machineBytes, limit: limits.machineBytes, what: `, ${limits.machine}` },
    { need: runtimeBytes, limit: limits.runtimeBytes, what: ", the WebAssembly memory of the CPU runtime" },
  ].filter(({ need, limit }) => need > limit);
  const { need, limit, what } = broken.reduce((a, b) => (b.limit < a.limit ? b : a));
  return `${showBytes(need)} of memory; the limit is ${showBytes(limit)}${what}`;
}

function describe({ option, need, fits }: MemoryReduction): string {
  return `  ${option}: needs ${showBytes(need.machineBytes)}${fits ? "" : ", still too much"}`;
}

function showBytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
