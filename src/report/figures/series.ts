// Question: which curves does a figure show, and which points of them?
//
// Runs whose configurations differ only in the seed are one series. Its curve is the mean or the median of theirs; its
// band reaches from the smallest to the largest. Colours and dashes are in palette.ts. Long curves are thinned: raw ones
// keep the smallest and the largest value of every interval, so no spike is lost; smoothed ones keep every k-th point.

import { mean, median } from "../../basics/numbers.ts";
import { isMixed } from "../../model/overrides.ts";
import type { TrainingConfig } from "../../training/config.ts";
import type { RunData } from "../../runs/run-data.ts";
import { colourOf, dashes, kindColours } from "./palette.ts";

/** Runs that differ only in the seed. */
export interface Series {
  /** Unique among the series of a figure. */
  readonly label: string;
  readonly kind: string;
  readonly colour: string;
  /** Lengths of strokes and gaps; [1, 0] is a solid line. */
  readonly dash: readonly number[];
  readonly runs: readonly RunData[];
}

/** What a run's connection is called in figures; "unknown" for a run whose configuration cannot be read. */
export function kindOf({ config, net }: RunData): string {
  if (!config) return net?.model.connection?.kind ?? "unknown";
  const { connection } = config.model;
  return isMixed(connection) ? "mixed" : connection.kind;
}

/** Runs keep the order of the command line; those from one folder are ordered by connection. */
export function inOrder(paths: readonly string[], runs: readonly RunData[]): readonly RunData[] {
  const kinds = Object.keys(kindColours);
  const place = (run: RunData): number => kinds.indexOf(kindOf(run)) >>> 0;
  return paths.length > 1 ? runs : [...runs].sort((a, b) => place(a) - place(b));
}

/** Whether a loss was not finite, or the alarm "not-finite" or "diverged" was raised without a rollback. */
export function hasDiverged({ events, metrics }: RunData): boolean {
  return (
    events.some(({ rule, action }) => (rule === "not-finite" || rule === "diverged") && action !== "rollback") ||
    metrics.some(({ loss }) => typeof loss === "number" && !Number.isFinite(loss))
  );
}

/** The runs grouped by everything but their seed, in the order of the first run of each group. */
export function seriesOf(runs: readonly RunData[]): Series[] {
  const groups = new Map<string, RunData[]>();
  for (const run of runs) {
    const key = run.config ? JSON.stringify(apartFromSeed(run.config)) : `?${run.folder}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const perKind = new Map<string, number>();
  const taken = new Set<string>();
  return [...groups.values()].map((members) => {
    const kind = kindOf(members[0]!);
    const place = perKind.get(kind) ?? 0;
    perKind.set(kind, place + 1);
    return {
      label: unique(labelOf(members), taken),
      kind,
      colour: colourOf(kind),
      dash: dashes[place % dashes.length]!,
      runs: members,
    };
  });
}

/** The series that others are compared with: the one with the run of this name, else the first plain residual, else the first. */
export function baselineOf(series: readonly Series[], name?: string): Series | undefined {
  return (
    series.find(({ label, runs }) => label === name || runs.some((run) => run.name === name)) ??
    series.find(({ kind }) => kind === "residual") ??
    series[0]
  );
}

function apartFromSeed({ name: _name, seed: _seed, data, ...rest }: TrainingConfig): unknown {
  const { prepared, ...text } = data;
  return { ...rest, data: { ...text, text: prepared?.text } };
}

/** Connections as figures and sentences write them, also under the names that older runs have. */
const shownKinds: Readonly<Record<string, string>> = { hc: "HC", mhc: "mHC", hyper: "HC", manifold: "mHC" };

/** A run's name; where it begins with the connection's, as those of a comparison do, that is written mHC and HC. */
export function shownName(name: string): string {
  const [, kind = "", rest = ""] = /^([a-z]+)(?![a-z])(.*)$/is.exec(name) ?? [];
  return Object.hasOwn(shownKinds, kind) ? `${shownKinds[kind]}${rest}` : name;
}

/** Longer names would leave a legend no room for its figure. */
const LONGEST = 40;

function labelOf(members: readonly RunData[]): string {
  const [first] = members as [RunData];
  const name = shownName(members.length === 1 ? first.name : sharedStart(members.map((run) => run.name)));
  const short = name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name;
  return members.length === 1 ? short : `${short} (${members.length} seeds)`;
}

/** The common start of names that differ in a size or a seed; the first name if they have none in common. */
export function sharedStart(names: readonly string[]): string {
  const [first] = names as [string];
  let length = first.length;
  for (const name of names) while (!name.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length).replace(/[\W_]*(?:s|seed)?[\W_]*$/i, "") || first;
}

function unique(label: string, taken: Set<string>): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? label : `${label} #${number}`;
    if (taken.has(candidate)) continue;
    taken.add(candidate);
    return candidate;
  }
}

export type Point = readonly [x: number, y: number];

/** A value beyond this only says that the run has gone wrong, and would flatten every other curve. */
const LARGEST_DRAWN = 1e30;

/** Whether a value can be drawn. */
export function drawable(value: number | null | undefined): value is number {
  return typeof value === "number" && Math.abs(value) <= LARGEST_DRAWN;
}

/** The drawable values of records, by step. */
export function pointsOf<R extends { readonly step: number }>(
  records: readonly R[],
  value: (record: R) => number | null | undefined,
): Point[] {
  return records.flatMap((record) => {
    const y = value(record);
    return drawable(y) ? [[record.step, y] as const] : [];
  });
}

/** The first step of every interval whose values cannot be drawn: the line has a gap there. */
export function gapsOf<R extends { readonly step: number }>(
  records: readonly R[],
  value: (record: R) => number | null | undefined,
): number[] {
  let inGap = false;
  return records.flatMap((record) => {
    const y = value(record);
    if (typeof y !== "number") return [];
    const begins = !drawable(y) && !inGap;
    inGap = !drawable(y);
    return begins ? [record.step] : [];
  });
}

/** At most `most` points: the smallest and the largest of each interval, in their order. */
export function thin(points: readonly Point[], most: number): readonly Point[] {
  if (points.length <= most) return points;
  const stretches = Math.max(1, Math.floor(most / 2));
  return Array.from({ length: stretches }, (_, index) => {
    const from = Math.floor((index * points.length) / stretches);
    const stretch = points.slice(from, Math.floor(((index + 1) * points.length) / stretches));
    const least = stretch.reduce((a, b) => (b[1] < a[1] ? b : a));
    const largest = stretch.reduce((a, b) => (b[1] > a[1] ? b : a));
    if (least === largest) return [least];
    return least[0] < largest[0] ? [least, largest] : [largest, least];
  }).flat();
}

/** Means over a window around each point: 4 % of the points, at least 5. At its ends it is as wide as the curve allows. */
export function smooth(points: readonly Point[], share = 0.04): Point[] {
  const half = Math.floor(Math.max(5, points.length * share) / 2);
  const sums = new Float64Array(points.length + 1);
  points.forEach(([, y], index) => (sums[index + 1] = sums[index]! + y));
  return points.map(([x], index) => {
    // At the start the loss falls fast, so the window shrinks on both sides equally; otherwise it would lower the mean.
    const ahead = Math.min(half, index, points.length - 1 - index);
    const behind = Math.min(half, index);
    const [from, to] = [index - behind, index + ahead + 1];
    return [x, (sums[to]! - sums[from]!) / (to - from)] as const;
  });
}

/** Every k-th point and the last one, at most `most` points. */
export function everyKth(points: readonly Point[], most: number): readonly Point[] {
  if (points.length <= most) return points;
  const step = Math.ceil(points.length / (most - 1));
  return points.filter((_, index) => index % step === 0 || index === points.length - 1);
}

/** Statistics of the values of several seeds. */
export interface Spread {
  readonly mean: number;
  /** For an even number, the mean of the middle two. */
  readonly median: number;
  readonly least: number;
  readonly largest: number;
}

export interface BandPoint extends Spread {
  readonly x: number;
}

/** Mean, median, smallest and largest of several curves, at the steps where all of them have a point. */
export function bandOf(curves: readonly (readonly Point[])[]): BandPoint[] {
  const [first, ...others] = curves;
  if (!first) return [];
  const lookups = others.map((curve) => new Map(curve));
  return first.flatMap(([x, y]) => {
    const values = [y, ...lookups.map((lookup) => lookup.get(x))].filter((value) => value !== undefined);
    return values.length < curves.length ? [] : [{ x, ...spreadOf(values) }];
  });
}

/** Mean, median, smallest and largest of at least one value. */
export function spreadOf(values: readonly number[]): Spread {
  return { mean: mean(values), median: median(values), least: Math.min(...values), largest: Math.max(...values) };
}

/** The end of a caption that says what is shown of several seeds; empty without several seeds. */
export function bandNote(series: readonly Series[], middle: "mean" | "median" = "mean"): string {
  return series.some(({ runs }) => runs.length > 1)
    ? `; over several seeds the ${middle}, with a band from the smallest to the largest`
    : "";
}

/** Round to six digits: as much as a chart can show, in a third of the bytes. */
export function digits(value: number): number {
  return Number(value.toPrecision(6));
}
