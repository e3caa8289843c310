// Question: what do the seeds of an experiment say together, and what is a difference worth?
//
// An arm is what runs share that differ only in the seed. A number of an arm is the mean over its seeds with its 95 %
// interval; a difference between two arms is taken seed by seed, which removes what a seed does to both.

import { type Estimate, estimate } from "../basics/interval.ts";
import { groupBy } from "../runs/sweep/analysis.ts";
import { fieldOf } from "../runs/sweep/definition.ts";
import type { StudiedRun } from "./study.ts";

/** Runs that differ only in the seed. */
export interface Arm<M> {
  readonly label: string;
  /** The values of all axes but the seed. */
  readonly values: Readonly<Record<string, unknown>>;
  /** At least one. */
  readonly runs: readonly StudiedRun<M>[];
}

/** A number of a run; undefined where it has none, as after a divergence. */
export type Quantity<M> = (run: StudiedRun<M>) => number | undefined;

/** @param label what an arm is called, by its values */
export function armsOf<M>(
  runs: readonly StudiedRun<M>[],
  label: (values: Readonly<Record<string, unknown>>) => string,
): Arm<M>[] {
  const valuesOf = ({ result }: StudiedRun<M>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(result.values).filter(([axis]) => fieldOf(axis) !== "seed"));
  return [...groupBy(runs, (run) => JSON.stringify(valuesOf(run))).values()].map((group) => {
    const values = valuesOf(group[0]);
    return { label: label(values), values, runs: group };
  });
}

/** A number over the seeds of an arm; undefined where no seed has a finite one. */
export function over<M>({ runs }: Pick<Arm<M>, "runs">, quantity: Quantity<M>): Estimate | undefined {
  const values = runs.flatMap((run) => finite(quantity(run)));
  return values.length === 0 ? undefined : estimate(values);
}

/** A number of an arm minus that of another, seed by seed; undefined where no seed has both. */
export function difference<M>(
  arm: Pick<Arm<M>, "runs">,
  from: Pick<Arm<M>, "runs">,
  quantity: Quantity<M>,
): Estimate | undefined {
  const values = arm.runs.flatMap((run) => {
    const twin = from.runs.find(({ result }) => result.seed === run.result.seed);
    const [own, other] = [finite(quantity(run)), finite(twin && quantity(twin))];
    return own.length > 0 && other.length > 0 ? [own[0]! - other[0]!] : [];
  });
  return values.length === 0 ? undefined : estimate(values);
}

/** The number in a list; none where it is not finite. */
export const finite = (value: number | undefined): number[] =>
  value !== undefined && Number.isFinite(value) ? [value] : [];

/** Whether an interval excludes 0; never with one seed, which has none. */
export const excludesZero = (found: Estimate | undefined): boolean =>
  found?.half !== undefined && Math.abs(found.mean) > found.half;

/** Validation bits per byte at the end. */
export const bitsPerByte = <M>({ result }: StudiedRun<M>): number | undefined =>
  result.diverged ? undefined : result.bitsPerByte;

/** How many of the seeds diverged. */
export const divergedIn = <M>({ runs }: Pick<Arm<M>, "runs">): number =>
  runs.filter(({ result }) => result.diverged).length;

/** The last composite gain of the streams: the largest over all sublayers and both directions. */
export function largestGain<M>({ run }: StudiedRun<M>): number | undefined {
  const composite = run.gains.findLast((record) => record.composite)?.composite;
  return composite && Math.max(...composite.forward, ...composite.backward);
}
