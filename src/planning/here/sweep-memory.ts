// Question: do the runs of a sweep fit into memory, and how many of them at a time?
//
// Each run trains in its own process, so their needs add up. Runs that differ only in settings that change no
// size (seed, learning rate, number of steps) need the same and are planned once. Any W of the runs fit together
// if the W largest do.

import type { Machine } from "../../runtime/plan/machine.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { fits, type MemoryLimits, type MemoryNeed, tooMuch } from "./memory-limit.ts";
import { leastTraining, planMemoryNeed } from "./training-memory.ts";
import { groupBy } from "../../runs/sweep/analysis.ts";
import type { SweepPoint } from "../../runs/sweep/definition.ts";

/** A process that trains takes this before it has a model: Node itself and the library, 80 to 105 MiB, and its data. */
const PROCESS_BYTES = 128 * 2 ** 20;

/** A run of a sweep that is to be trained. */
export interface SweepRun extends SweepPoint {
  readonly config: TrainingConfig;
}

/**
 * How many runs of a sweep may be trained at a time.
 *
 * @param most the number that was asked for
 * @returns from 1 to `most`
 * @throws RangeError when there are runs that do not fit even alone, with the values of the axes that they share
 */
export function runsAtATime(runs: readonly SweepRun[], machine: Machine, limits: MemoryLimits, most: number): number {
  const groups = groupBy(runs, ({ config }) => sizeKey(config));
  const needs = [...groups.values()].map((group) => {
    const { config } = group[0];
    const least = leastTraining([config]);
    const { runtimeBytes, machineBytes } =
      least && !fits(least, limits) ? least : planMemoryNeed({ configs: [config] }, machine);
    return { group, need: { runtimeBytes, machineBytes: machineBytes + PROCESS_BYTES } };
  });
  const tooLarge = needs.filter(({ need }) => !fits(need, limits));
  if (tooLarge.length > 0) throw refusal(tooLarge, runs.length, limits);
  const sorted = needs.flatMap(({ group, need }) => group.map(() => need.machineBytes)).sort((a, b) => b - a);
  let [count, bytes] = [0, 0];
  while (count < Math.min(most, sorted.length) && bytes + sorted[count]! <= limits.machineBytes)
    bytes += sorted[count++]!;
  return Math.max(1, count);
}

/** Everything that can change the size of a run's programs. */
function sizeKey(config: TrainingConfig): string {
  const { model, batch, accumulate, precision, recompute, optimizer } = config;
  return JSON.stringify({
    model,
    batch,
    accumulate,
    precision,
    recompute,
    optimizer: { ...optimizer, learningRate: 0, warmup: 0 },
  });
}

function refusal(
  tooLarge: readonly { readonly group: readonly SweepRun[]; readonly need: MemoryNeed }[],
  runs: number,
  limits: MemoryLimits,
): RangeError {
  const count = tooLarge.reduce((sum, { group }) => sum + group.length, 0);
  const lines = tooLarge.map(({ group, need }) => {
    const shared = Object.entries(group[0]!.values)
      .filter(([axis, value]) => group.every(({ values }) => JSON.stringify(values[axis]) === JSON.stringify(value)))
      .map(([axis, value]) => `${axis}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    // Where no axis changes a size, all runs are alike.
    return `  ${shared.join(", ") || "every run"}${group.length > 1 ? ` (${group.length} runs)` : ""}: would need ${tooMuch(need, limits)}`;
  });
  return new RangeError(
    `${count} of ${runs} runs ${count === 1 ? "does" : "do"} not fit into memory, even alone:\n${lines.join("\n")}\n` +
      `Take these values from the axes or leave the runs out with "exclude"; or give the sweep "recompute": "auto", a smaller "batch" with more to "accumulate", or a smaller "context".`,
  );
}
