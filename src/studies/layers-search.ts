// Question: which sublayers does a search choose for mHC, one at a time?
//
// Two walks over sets of sublayers with mHC; the others pass the streams on (model/places.ts):
//
//   adding     ∅ → {a} → {a, b} → …      in each round the sublayer that buys the most loss per parameter
//   removing   all → all \ {a} → …       in each round the sublayer that costs the least
//
// Every set is a connection that a model is trained with, over all seeds; the choice is by the mean over seeds, so a walk
// is a function of the runs that have ended, and asks for those that it lacks. A set of which fewer seeds diverged comes
// first, because a mean over other seeds is not comparable. mHC has as many parameters in one sublayer as in another, so
// most loss per parameter is most loss.

import { writePlaces } from "../model/places.ts";
import { type Arm, bitsPerByte, divergedIn, over } from "./arms.ts";

/** A sublayer that might be added or removed. */
export interface Candidate<M> {
  readonly sublayer: number;
  /** The models with the set that it makes. */
  readonly arm: Arm<M>;
}

/** A round of a walk. */
export interface Round<M> {
  /** The set before it. */
  readonly before: Arm<M>;
  /** Those that were tried, the chosen one first, then by their losses. */
  readonly candidates: readonly Candidate<M>[];
}

/** Where a walk begins. */
export type Direction = "adding" | "removing";

/** What a walk found, and the connections that it lacks. */
export interface Walk<M> {
  readonly rounds: readonly Round<M>[];
  /** None where the walk is done. */
  readonly lacking: readonly string[];
}

/** mHC in some of L sublayers, as the command line names it. */
export function mhcIn(sublayers: readonly number[], count: number): string {
  return sublayers.length === count ? "mhc" : `mhc:at=${writePlaces(sublayers)}`;
}

/**
 * A walk as far as the runs go.
 *
 * @param arms by their connection
 * @param count how many sublayers there are
 * @param rounds how many of them are added or removed at most
 */
export function walk<M>(
  arms: ReadonlyMap<string, Arm<M>>,
  direction: Direction,
  count: number,
  rounds: number,
): Walk<M> {
  const all = Array.from({ length: count }, (_, sublayer) => sublayer);
  let chosen: readonly number[] = direction === "adding" ? [] : all;
  const found: Round<M>[] = [];
  while (found.length < Math.min(rounds, count)) {
    const tried = all
      .filter((sublayer) => chosen.includes(sublayer) === (direction === "removing"))
      .map((sublayer) => {
        const set = direction === "adding" ? [...chosen, sublayer] : chosen.filter((one) => one !== sublayer);
        return { sublayer, set, label: mhcIn(set, count) };
      });
    const lacking = [mhcIn(chosen, count), ...tried.map(({ label }) => label)].filter((label) => !arms.has(label));
    if (lacking.length > 0) return { rounds: found, lacking };
    const byLoss = tried
      .map(({ label, ...others }) => ({ ...others, arm: arms.get(label)! }))
      .sort(
        (a, b) => divergedIn(a.arm) - divergedIn(b.arm) || lossOf(a.arm) - lossOf(b.arm) || a.sublayer - b.sublayer,
      );
    found.push({
      before: arms.get(mhcIn(chosen, count))!,
      candidates: byLoss.map(({ sublayer, arm }) => ({ sublayer, arm })),
    });
    chosen = byLoss[0]!.set;
  }
  return { rounds: found, lacking: [] };
}

/** Of an arm of which every seed diverged there is none. */
const lossOf = <M>(arm: Arm<M>): number => over(arm, bitsPerByte)?.mean ?? Number.POSITIVE_INFINITY;
