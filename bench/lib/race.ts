// Question: how do several programs of this library, in one process, become timings that can be compared?
//
// They share one runtime, so they have the same threads, the same kernels and the same tile sizes, and
// take turns (`interleave.ts`). Engines of different makers have a process each: see `contest.ts`.

import { setTimeout as sleep } from "node:timers/promises";
import { createBackground } from "./background.ts";
import { interleave, type Timing } from "./interleave.ts";

/** Before each turn: first the threads of the one before may spin until they sleep, then others are watched. */
const SETTLE_MS = 30;
const WATCH_MS = 40;
/** More than this, and whoever reads the figures is told. */
const QUIET = 0.1;

export type Racer = {
  readonly label: string;
  /** Does the work once. */
  readonly run: () => void;
  /** Times in a turn, so that a turn is long beside the pauses. Default 1. */
  readonly count?: number;
};

export type RaceOptions = {
  readonly rounds: number;
  /** Progress, for whoever waits. */
  readonly note: (text: string) => void;
};

export type RaceResult = {
  /** In the order of the racers. */
  readonly timings: readonly Timing[];
  /** Share of the processors that other programs used meanwhile. */
  readonly background: number;
};

export async function race(racers: readonly Racer[], { rounds, note }: RaceOptions): Promise<RaceResult> {
  const labels = new Set(racers.map(({ label }) => label));
  note(`measuring ${[...labels].join(", ")} in turns: ${rounds} rounds`);
  const background = createBackground();
  const contestants = racers.map(({ label, run, count = 1 }) => ({
    label,
    async measure(): Promise<readonly number[]> {
      await background.watch(sleep(WATCH_MS));
      return Array.from({ length: count }, () => {
        const started = performance.now();
        run();
        return performance.now() - started;
      });
    },
  }));
  const timings = await interleave(contestants, { rounds, settleMs: SETTLE_MS });
  if (background.share() > QUIET) {
    const percent = Math.round(100 * background.share());
    note(`other programs kept ${percent} % of the processors busy meanwhile: measure again when it is quiet`);
  }
  return { timings, background: background.share() };
}
