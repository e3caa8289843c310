// Question: which of several programs is faster, on a machine that is never quiet?
//
// The programs take turns, A B A B ..., so that a slow minute of the machine slows all of them alike.
// Two statistics are kept: the median (what a user meets) and the best (what the code can do).

import { setTimeout as sleep } from "node:timers/promises";

/** Something that can be timed: `measure` does its work once or a few times and returns each time in ms. */
export type Contestant = {
  readonly label: string;
  readonly measure: () => Promise<readonly number[]>;
};

export type Timing = {
  readonly label: string;
  readonly ms: readonly number[];
  readonly median: number;
  readonly best: number;
};

export type Rounds = {
  readonly rounds: number;
  /** Turns of each contestant that are not counted. */
  readonly warmup?: number;
  /** A pause before each turn, because the threads of the previous contestant spin for some milliseconds before they sleep. */
  readonly settleMs?: number;
};

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("median: there are no values; measure at least once.");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

export function timing(label: string, ms: readonly number[]): Timing {
  return { label, ms, median: median(ms), best: Math.min(...ms) };
}

/** One timing for each contestant, in their order. */
export async function interleave(
  contestants: readonly Contestant[],
  { rounds, warmup = 1, settleMs = 20 }: Rounds,
): Promise<readonly Timing[]> {
  if (!(rounds >= 1)) throw new Error(`interleave was given ${rounds} rounds; it needs at least 1.`);
  const times = contestants.map((): number[] => []);
  for (let round = -warmup; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      await sleep(settleMs);
      const ms = await contestant.measure();
      if (round >= 0) times[index]!.push(...ms);
    }
  }
  return contestants.map(({ label }, index) => timing(label, times[index]!));
}
