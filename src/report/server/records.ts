// Question: what is in a run's metrics.jsonl and gains.jsonl, kept up to date at the cost of what was added?
//
// Columns of numbers; what is missing or no number is NaN. A record of an earlier step than the last (a
// run that was rolled back) replaces everything from its step on. The mixing matrices stay in the file,
// and only where their line begins is kept.

import { type Left, recordOf } from "../../runs/record-shapes.ts";
import { createFollower } from "./follow.ts";
import {
  type CurveName,
  type Curves,
  curveNames,
  gainKinds,
  type GainKind,
  type GainMaps,
  type LiveRow,
  type Mixing,
  type Points,
} from "./messages.ts";
import { downsample } from "./downsample.ts";
import type { OpenFile } from "./places.ts";

export interface RunRecords {
  /**
   * Everything of the curves that is written by now.
   *
   * @param points at most so many of a curve, at least 4
   * @param within only the steps from the first to the last, both included
   */
  curves(run: string, points: number, within?: StepRange): Curves;
  gainMaps(run: string, columns: number): GainMaps;
  mixing(step: number): Mixing | undefined;
}

/** From the first to the last step, both included. */
export type StepRange = readonly [from: number, to: number];

const EVERYTHING: StepRange = [0, Infinity];

type MetricCurve = Exclude<CurveName, "forwardGain" | "backwardGain">;
const metricCurves = curveNames.filter((name): name is MetricCurve => !name.endsWith("Gain"));

/** A record of metrics.jsonl whose fields are looked up by the names of curves. */
type MetricFields = Left<Readonly<Record<string, unknown>>>;

interface GainRow {
  readonly step: number;
  readonly offset: number;
  readonly length: number;
  readonly gains: Readonly<Record<GainKind, readonly number[]>>;
  readonly sublayers: readonly number[] | undefined;
  readonly hasMixing: boolean;
}

/** @param open a file of the run by its name */
export function createRunRecords(open: (file: string) => OpenFile | undefined): RunRecords {
  const metrics = new Map<string, number[]>(["step", "seconds", ...metricCurves].map((name) => [name, []]));
  const column = (name: string): number[] => metrics.get(name)!;
  const gains: GainRow[] = [];
  const followers = {
    metrics: createFollower(() => open("metrics.jsonl")),
    gains: createFollower(() => open("gains.jsonl")),
  };
  const cutMetrics = (step: number): void => {
    const count = countBelow(column("step"), step);
    for (const values of metrics.values()) values.length = count;
  };
  const updateMetrics = (): void => {
    for (let more = true; more;) {
      const added = followers.metrics.advance();
      if (added.reset) cutMetrics(-Infinity);
      for (const { text } of added.lines) {
        const record: MetricFields | undefined = recordOf("metrics.jsonl", text);
        if (!record) continue;
        if (record.step <= (column("step").at(-1) ?? -1)) cutMetrics(record.step);
        for (const [name, values] of metrics) values.push(numberOf(record[name]));
      }
      more = added.more;
    }
  };
  const updateGains = (): void => {
    for (let more = true; more;) {
      const added = followers.gains.advance();
      if (added.reset) gains.length = 0;
      for (const { text, offset } of added.lines) {
        const row = gainRow(text, offset);
        if (!row) continue;
        while (gains.length > 0 && gains.at(-1)!.step >= row.step) gains.pop();
        gains.push(row);
      }
      more = added.more;
    }
  };
  return {
    curves(run, points, within = EVERYTHING) {
      updateMetrics();
      updateGains();
      const part = cut(column("step"), within);
      const step = part(column("step"));
      const shownGains = cut(
        gains.map((row) => row.step),
        within,
      )(gains);
      const gainSteps = shownGains.map((row) => row.step);
      const gain = (kind: GainKind): Curves["series"][CurveName] =>
        downsample(
          gainSteps,
          shownGains.map((row) => largest(row.gains[kind])),
          points,
        );
      const series = {
        ...(Object.fromEntries(
          metricCurves.map((name) => [name, downsample(step, part(column(name)), points)]),
        ) as Record<MetricCurve, Curves["series"][CurveName]>),
        forwardGain: gain("compositeForward"),
        backwardGain: gain("compositeBackward"),
      };
      const cursor = formatCursor([followers.metrics.position, followers.gains.position]);
      return { run, cursor, series, clock: thinned(step, part(column("seconds")), 400) };
    },
    gainMaps(run, columns) {
      updateGains();
      const chosen = everyNth(
        gains.filter((row) => gainKinds.some((kind) => row.gains[kind].length > 0)),
        columns,
      );
      const mapOf = (kind: GainKind): (number | null)[][] => chosen.map((row) => row.gains[kind].map(orNull));
      const depth = chosen.reduce((most, row) => Math.max(most, ...gainKinds.map((kind) => row.gains[kind].length)), 0);
      return {
        run,
        step: chosen.map((row) => row.step),
        maps: {
          compositeBackward: mapOf("compositeBackward"),
          compositeForward: mapOf("compositeForward"),
          singleBackward: mapOf("singleBackward"),
          singleForward: mapOf("singleForward"),
        },
        sublayers: chosen.at(-1)?.sublayers ?? Array.from({ length: depth }, (_, index) => index),
        mixingSteps: gains.filter((row) => row.hasMixing).map((row) => row.step),
      };
    },
    mixing(step) {
      updateGains();
      const row = gains.find((candidate) => candidate.step === step && candidate.hasMixing);
      const file = row && open("gains.jsonl");
      if (!file) return undefined;
      try {
        const record = recordOf("gains.jsonl", file.read(row.offset, row.length).toString("utf8"), gainFields);
        if (record?.step !== step || !record.mixing) return undefined;
        const mixing = record.mixing.map((matrix) => Array.from(matrix, orNull));
        return { step, mixing, sublayers: row.sublayers ?? mixing.map((_, index) => index) };
      } finally {
        file.close();
      }
    },
  };
}

/** The live rows of some lines of metrics.jsonl. */
export function metricRow(text: string): LiveRow | undefined {
  const record: MetricFields | undefined = recordOf("metrics.jsonl", text);
  if (!record) return undefined;
  return [record.step, ...["seconds", ...curveNames].map((name) => orNull(numberOf(record[name])))];
}

/** The live row of a line of gains.jsonl: only the gains have values. */
export function gainLiveRow(text: string): LiveRow | undefined {
  const row = gainRow(text, 0);
  if (!row) return undefined;
  const { gains } = row;
  const values: Partial<Record<CurveName, number>> = {
    forwardGain: largest(gains.compositeForward),
    backwardGain: largest(gains.compositeBackward),
  };
  return [row.step, null, ...curveNames.map((name) => orNull(values[name] ?? NaN))];
}

/** Positions in metrics.jsonl and gains.jsonl as one word. */
export function formatCursor([metrics, gains]: readonly [number, number]): string {
  return `${metrics}-${gains}`;
}

/** Of several runs; undefined when the text is no such list. */
export function parseCursors(text: string, runs: number): (readonly [number, number])[] | undefined {
  const cursors = text.split("_").map((word) => /^(\d{1,15})-(\d{1,15})$/.exec(word));
  if (cursors.length !== runs || cursors.some((match) => !match)) return undefined;
  return cursors.map((match) => [Number(match![1]), Number(match![2])]);
}

/** What the page shows of a record. */
const gainFields = ["single", "composite", "sublayers", "mixing"] as const;

/** Undefined for a line that is no record. */
function gainRow(text: string, offset: number): GainRow | undefined {
  const head = beforeMatrices(text);
  const record = recordOf("gains.jsonl", head ?? text, gainFields);
  if (!record) return undefined;
  const { step, single, composite, sublayers, mixing } = record;
  return {
    step,
    offset,
    length: Buffer.byteLength(text),
    gains: {
      compositeBackward: composite?.backward ?? [],
      compositeForward: composite?.forward ?? [],
      singleBackward: single?.backward ?? [],
      singleForward: single?.forward ?? [],
    },
    sublayers,
    hasMixing: head !== undefined || (mixing?.length ?? 0) > 0,
  };
}

/**
 * The fields before the mixing matrices, as a record of their own. Matrices are nine tenths of a line and are read
 * when one is looked at. Undefined when there are none, or when something that is shown comes after them.
 */
function beforeMatrices(text: string): string | undefined {
  const at = text.indexOf(',"mixing":[[');
  const isLast = at > 0 && ['"single":', '"composite":', '"sublayers":'].every((field) => !text.includes(field, at));
  return isLast ? `${text.slice(0, at)}}` : undefined;
}

/** What is no number was taken out of the record; Infinity is one, though none that can be drawn. */
const numberOf = (value: unknown): number => (typeof value === "number" ? value : NaN);
const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => (value > most || Number.isNaN(most) ? value : most), NaN);
}

/** How many of the ascending values lie below a bound. */
function countBelow(ascending: readonly number[], bound: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Takes the part of a column that belongs to those of the ascending steps. */
function cut(steps: readonly number[], [from, to]: StepRange): <T>(column: readonly T[]) => readonly T[] {
  const [first, end] = [countBelow(steps, from), countBelow(steps, to + 1)];
  return (column) => (first === 0 && end === steps.length ? column : column.slice(first, end));
}

function everyNth<T>(all: readonly T[], most: number): readonly T[] {
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, index) => all[Math.round((index * (all.length - 1)) / (most - 1))]!);
}

function thinned(step: readonly number[], value: readonly number[], most: number): Points {
  const kept = everyNth(
    step.map((_, index) => index).filter((index) => Number.isFinite(value[index])),
    most,
  );
  return { step: kept.map((index) => step[index]!), value: kept.map((index) => value[index]!) };
}
