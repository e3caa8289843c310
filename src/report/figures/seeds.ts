// Question: what do several seeds show together about one step?
//
// The step is the newest at which any seed of a series measured the values in question. Seeds without a record of that
// step (they ended early, or are still training) are left out, and the title says how many are shown: a band over
// records of different ages would show their age, not the seed. Figures show the median and, for several seeds, the
// smallest and the largest value of each sublayer. If one seed has to represent all, as for matrices, it is the one
// whose largest composite gain is the median.

import type { GainRecord } from "../../training/records.ts";
import type { RunData } from "../../runs/run-data.ts";
import { bandOf, type BandPoint, drawable, type Series } from "./series.ts";

/** A seed's record of the step that is shown. */
export interface SeedRecord {
  readonly run: RunData;
  readonly record: GainRecord;
}

/** What the seeds of a series measured at one step. */
export interface MeasuredStep {
  readonly step: number;
  /** At least one seed. */
  readonly seeds: readonly SeedRecord[];
  /** The series, the step, and how many of its seeds have a record, if not all do. */
  readonly title: string;
}

/**
 * The newest records of a series that have the values in question; undefined if there are none.
 *
 * @param has whether a record has the values
 * @param latest the last step to look at
 */
export function measuredAt(
  { label, runs }: Series,
  has: (record: GainRecord) => boolean,
  latest: number = Infinity,
): MeasuredStep | undefined {
  const newest = runs.flatMap(({ gains }) => gains.findLast((one) => one.step <= latest && has(one)) ?? []);
  const step = newest.reduce((last, one) => Math.max(last, one.step), -1);
  const seeds = runs.flatMap((run): SeedRecord[] => {
    const record = run.gains.find((one) => one.step === step && has(one));
    return record ? [{ run, record }] : [];
  });
  if (seeds.length === 0) return undefined;
  const some = seeds.length < runs.length ? `, ${seeds.length} of them` : "";
  return { step, seeds, title: `${label}, step ${step}${some}` };
}

/** Position in the network, from 1, of each value of a record. */
export function positions(record: GainRecord, count: number): number[] {
  return Array.from({ length: count }, (_, index) => (record.sublayers?.[index] ?? index) + 1);
}

/** Values of several records by sublayer, for the sublayers where every record has a value that can be drawn. */
export function profileOf(
  records: readonly GainRecord[],
  values: (record: GainRecord) => readonly (number | null)[] | undefined,
): BandPoint[] {
  return bandOf(
    records.map((record) => {
      const measured = values(record) ?? [];
      return positions(record, measured.length).flatMap((sublayer, index) => {
        const value = measured[index];
        return drawable(value) ? [[sublayer, value] as const] : [];
      });
    }),
  );
}

/** The seed whose largest composite gain is the median; of two, the one with the smaller gain. */
export function middleSeed(seeds: readonly SeedRecord[]): SeedRecord {
  const gain = ({ record }: SeedRecord): number => largestGain(record) ?? 0;
  return [...seeds].sort((a, b) => gain(a) - gain(b))[(seeds.length - 1) >> 1]!;
}

/** The largest composite gain of a record, if it is more than zero. */
export function largestGain({ composite }: GainRecord): number | undefined {
  if (!composite) return undefined;
  const largest = [...composite.forward, ...composite.backward].reduce((a, b) => Math.max(a, b), 0);
  return largest > 0 ? largest : undefined;
}
