// Question: how much must runs have done before anything is said of them?
//
// A model that has just begun differs from another by its initial values alone: mHC's gain is near one before it has
// learned to mix, and a loss of the warm-up says how fast it falls, not where it ends. So each claim has a least number
// of steps, of tokens that each run was trained on, and of seeds of each connection; docs/report.md says why these. Below
// one of them there is no verdict, only how far the runs are.

import { showCount } from "../basics/show.ts";
import type { RunData } from "../runs/run-data.ts";

/** What must be there before a claim is judged. */
export interface LeastEvidence {
  /** Of each run. */
  readonly steps: number;
  /** Of each run. */
  readonly tokens: number;
  /** Of each connection. */
  readonly seeds: number;
}

/** More than twice the steps after which HC's gain passed 10 in a comparison here, and many times a usual warm-up. */
const SETTLED = 300;

/** A claim that needs evidence. */
export type Claim = "gain" | "loss" | "norm" | "order";

/** What each claim needs. */
export const leastEvidence: Readonly<Record<Claim, LeastEvidence>> = {
  /** The largest composite gain of a connection: it grows with training, and differs between seeds by its factor. */
  gain: { steps: SETTLED, tokens: 100_000, seeds: 2 },
  /** The sign of a difference of final losses: of three seeds by chance all have the paper's sign once in eight. */
  loss: { steps: SETTLED, tokens: 200_000, seeds: 3 },
  /** A ratio of gradient norms, of medians over half the steps. */
  norm: { steps: SETTLED, tokens: 100_000, seeds: 2 },
  /** An order by final loss, whose distance to the spread over seeds is said beside it. */
  order: { steps: SETTLED, tokens: 200_000, seeds: 1 },
};

/**
 * "6 of 300 steps", or what else is too little for a claim; undefined where there is enough.
 *
 * @param groups the runs of each connection that the claim is about
 */
export function tooEarly(claim: Claim, groups: readonly (readonly RunData[])[]): string | undefined {
  const least = leastEvidence[claim];
  const runs = groups.flat();
  if (runs.length === 0) return undefined;
  const steps = Math.min(...runs.map(stepsOf));
  if (steps < least.steps) return `${showCount(steps)} of ${showCount(least.steps)} steps`;
  const tokens = Math.min(...runs.map(tokensOf));
  if (tokens < least.tokens) return `${showCount(tokens)} of ${showCount(least.tokens)} tokens`;
  const seeds = Math.min(...groups.map((members) => new Set(members.map(({ config }) => config?.seed)).size));
  return seeds < least.seeds ? `${seeds} of ${least.seeds} seeds` : undefined;
}

const stepsOf = ({ metrics }: RunData): number => metrics.at(-1)?.step ?? 0;

/** Unknown where the configuration cannot be read: then nothing is held against the run. */
function tokensOf(run: RunData): number {
  if (!run.config) return Number.POSITIVE_INFINITY;
  const { batch, accumulate, model } = run.config;
  return stepsOf(run) * batch * accumulate * model.context;
}
