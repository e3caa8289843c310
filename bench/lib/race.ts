// Question: how are several programs of this library timed fairly in one process?
//
// They share one runtime, so they have the same threads, the same kernels and the same tile sizes, and
// take turns (`interleave.ts`). Different engines each have their own process: see `contest.ts`.

import { setTimeout as sleep } from "node:timers/promises";
import { createBackground } from "./background.ts";
import { interleave, type Timing } from "./interleave.ts";

/** The pause before each turn: first the threads of the previous racer spin until they sleep, then other programs are watched. */
const SETTLE_MS = 30;
const WATCH_MS = 40;
/** If other programs use more than this, the benchmark says so. */
const QUIET = 0.1;

export type Racer = {
  readonly label: string;
  /** Does the work once. */
  readonly run: () => void;
  /** Runs per turn, so that a turn is long compared with the pauses (default: 1). */
  readonly count?: number;
};

export type RaceOptions = {
  readonly rounds: number;
  /** Reports progress to the user. */
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
