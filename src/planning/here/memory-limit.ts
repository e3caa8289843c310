// Question: does what is asked for fit into memory, and if not, what would make it?
//
// The plan knows every byte before anything is allocated (training-memory.ts, model-memory.ts). Two limits hold
// at once:
//
//   the CPU runtime's   states, arena, programs and scratch of the threads lie in one WebAssembly memory,
//                       which has 4 GiB of addresses
//   the machine's       the same, the parameters outside it while a checkpoint is read, and Node's own heap;
//                       what is free now, or what the user allows
//
// When the need is above a limit, each possible change is tried on the plan by itself, and the error names the two
// that save most.

import { showBytes } from "../../basics/show.ts";
import { memoryAllowed } from "../../files/memory.ts";
import { leastParameters, type ModelSizes } from "../../model/size.ts";
import type { Device } from "../../runtime/device.ts";

/** What Node's own heap grows by while graphs are built and compiled, and a little for what it has not yet collected. */
export const HEAP_BYTES: number = 32 * 2 ** 20;

/** Bytes that something needs at the same time. */
export interface MemoryNeed {
  /** In the CPU runtime's memory: parameters, moments, inputs, caches, values of a step, programs, scratch. */
  readonly runtimeBytes: number;
  /** Of the machine: that, copies of parameters and moments outside it, and what Node's heap grows by. */
  readonly machineBytes: number;
}

/** The most that may be used. */
export interface MemoryLimits {
  readonly runtimeBytes: number;
  readonly machineBytes: number;
  /** Where the machine's limit comes from, in words. */
  readonly machine: string;
}

/** The limits of a device of this machine; `allowed` bytes in place of those that are free now. */
export function memoryLimits({ largestMemory }: Pick<Device, "largestMemory">, allowed?: number): MemoryLimits {
  const { bytes, source } = memoryAllowed(allowed);
  return { runtimeBytes: largestMemory, machineBytes: bytes, machine: source };
}

/** A change that the user could ask for instead, in the words of the command line. */
export interface Change {
  readonly option: string;
}

/** So many layers are planned in a second or two; the time grows with their square. */
const PLANNED_AT_ONCE = 32;

/**
 * The least that the largest of some models needs, by a formula: so many bytes for each parameter in the runtime, and
 * as many again outside it while its file is read. What does not fit by it need not be planned.
 *
 * @returns undefined for models of few layers: they are planned in a moment, and a plan tells what would help
 * @param bytesEach 4 for a model that is loaded, 12 with AdamW's moments
 */
export function leastNeed(models: readonly ModelSizes[], bytesEach: number): MemoryNeed | undefined {
  if (models.every(({ layers }) => layers <= PLANNED_AT_ONCE)) return undefined;
  const runtimeBytes = models.reduce((most, model) => Math.max(most, bytesEach * leastParameters(model)), 0);
  return { runtimeBytes, machineBytes: 2 * runtimeBytes };
}

/**
 * Make sure that something fits before it is begun.
 *
 * @param what who would need the memory, such as "mhc: training"
 * @param plan the need, with some of the changes made
 * @param changes what could be changed
 * @param otherwise what to do when none of them is enough
 * @param least the least it needs by a formula; where that is too much already, nothing is planned
 * @returns what it needs as it is
 * @throws RangeError with the need, the limit and the two changes that reduce the need the most
 */
export function expectFit<C extends Change>(
  what: string,
  limits: MemoryLimits,
  plan: (made: readonly C[]) => MemoryNeed,
  changes: readonly C[],
  otherwise: string,
  least?: MemoryNeed,
): MemoryNeed {
  if (least && !fits(least, limits))
    throw new RangeError(`${what} would need at least ${tooMuch(least, limits)}.\n${otherwise}`);
  const need = plan([]);
  if (fits(need, limits)) return need;
  const reduced = changes
    .map((change) => ({ made: [change], need: plan([change]) }))
    // A saving that does not show in the printed number is no help.
    .filter((tried) => need.machineBytes - tried.need.machineBytes > 0.001 * need.machineBytes)
    .sort((a, b) => a.need.machineBytes - b.need.machineBytes);
  const best = reduced.slice(0, 2);
  const suffices = (tried: { readonly need: MemoryNeed }): boolean => fits(tried.need, limits);
  const both = best.flatMap(({ made }) => made);
  const tried = both.length < 2 || best.some(suffices) ? best : [...best, { made: both, need: plan(both) }];
  const lines = tried.map(
    (each) =>
      `  ${each.made.length > 1 ? "both" : each.made[0]!.option}: needs ${showBytes(each.need.machineBytes)}${suffices(each) ? "" : ", still too much"}`,
  );
  throw new RangeError(
    [
      `${what} would need ${tooMuch(need, limits)}.`,
      ...(lines.length > 0 ? ["What saves most:", ...lines] : []),
      ...(tried.some(suffices) ? [] : [otherwise]),
    ].join("\n"),
  );
}

export function fits(need: MemoryNeed, limits: MemoryLimits): boolean {
  return need.runtimeBytes <= limits.runtimeBytes && need.machineBytes <= limits.machineBytes;
}

/** The need and the limit that it exceeds; the smaller limit when it exceeds both. */
export function tooMuch({ runtimeBytes, machineBytes }: MemoryNeed, limits: MemoryLimits): string {
  const broken = [
    { need: machineBytes, limit: limits.machineBytes, what: `, ${limits.machine}` },
    { need: runtimeBytes, limit: limits.runtimeBytes, what: ", the WebAssembly memory of the CPU runtime" },
  ].filter(({ need, limit }) => need > limit);
  const { need, limit, what } = broken.reduce((a, b) => (b.limit < a.limit ? b : a));
  return `${showBytes(need)} of memory; the limit is ${showBytes(limit)}${what}`;
}
