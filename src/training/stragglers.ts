// Question: which rank keeps the others waiting?
//
// One whose own speed, without waiting, is far below that of most: every step takes as long as its slowest rank. One step
// says little; the medians of the last steps are compared.

import { median } from "../basics/numbers.ts";

/** A rank slower than this share of the median of the others is a straggler. */
const SLOW = 0.6;

/** So many last steps are looked at. */
const STEPS = 20;

/** What is known of one rank: medians of the last steps. */
export interface RankPace {
  /** Tokens a second of its own rows, without waiting. */
  readonly speed: number;
  /** Seconds a step in which it waited. */
  readonly waiting: number;
  /** MiB a step that it sent. */
  readonly sent: number;
  readonly straggles: boolean;
}

/** The ranks' own numbers of one step, as metrics.jsonl has them. */
export interface RankNumbers {
  readonly rankSpeed?: readonly number[];
  readonly rankWaiting?: readonly number[];
  readonly rankSent?: readonly number[];
}

/** The pace of every rank over the last steps; none where the last was of one process. */
export function paceOfRanks(records: readonly RankNumbers[]): RankPace[] {
  const ranks = records.at(-1)?.rankSpeed?.length ?? 0;
  const last = records.filter(({ rankSpeed }) => rankSpeed?.length === ranks).slice(-STEPS);
  const of = (rank: number, field: keyof RankNumbers): number =>
    median(last.flatMap((record) => record[field]?.[rank] ?? []));
  const speeds = Array.from({ length: ranks }, (_, rank) => of(rank, "rankSpeed"));
  return speeds.map((speed, rank) => ({
    speed,
    waiting: of(rank, "rankWaiting"),
    sent: of(rank, "rankSent"),
    straggles: speed < SLOW * othersOf(speeds, rank),
  }));
}

/** The median speed of the other ranks. */
const othersOf = (speeds: readonly number[], rank: number): number =>
  median(speeds.filter((_, index) => index !== rank));

/** Tells of ranks that keep the others waiting twice in a row, each once until it is as fast as they are. */
export function createStragglerTeller(tell: (message: string) => void): (records: readonly RankNumbers[]) => void {
  let told = new Set<number>();
  let before: readonly number[] = [];
  return (records) => {
    if (records.length % STEPS !== 0) return;
    const paces = paceOfRanks(records.slice(-STEPS));
    const speeds = paces.map(({ speed }) => speed);
    const slow = paces.flatMap(({ straggles }, rank) => (straggles ? [rank] : []));
    for (const rank of slow) {
      if (!before.includes(rank) || told.has(rank)) continue;
      told.add(rank);
      tell(
        `rank ${rank} keeps the others waiting: it trains ${Math.round(speeds[rank]!)} tokens/s of its own, the others ${Math.round(othersOf(speeds, rank))}. Look at what else its machine does.`,
      );
    }
    told = new Set([...told].filter((rank) => slow.includes(rank)));
    before = slow;
  };
}
