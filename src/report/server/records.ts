// Question: how are the contents of metrics.jsonl, gains.jsonl and mixing.jsonl kept up to date by reading only what was added?
//
// They are kept as columns of numbers, one for each curve. A record of a step before the last one (the run was rolled
// back) replaces everything from its step on. The matrices stay in their file, which is read only when somebody asks for
// them; only the start of each line is remembered.

import { type Left, recordOf } from "../../runs/record-shapes.ts";
import type { InstrumentName } from "../../stability/instruments.ts";
import type { GainRecord, MetricRecord } from "../../training/records.ts";
import { type CurveName, curves } from "../../training/scalars.ts";
import { createFollower, type Follower, type Line } from "./follow.ts";
import {
  type Clock,
  type Curves,
  type ExpertLoads,
  gainKinds,
  type GainKind,
  type GainMaps,
  type LiveRow,
  type LiveValue,
  type Mixing,
  type Series,
} from "./messages.ts";
import { downsample } from "./downsample.ts";
import { createLoadKeeper } from "./expert-load.ts";
import type { OpenFile } from "./places.ts";

export interface RunRecords {
  /**
   * Everything that has been written of the curves so far.
   *
   * @param points the most points of a curve, at least 4
   * @param within return only these steps, from the first to the last, both included
   */
  curves(run: string, points: number, within?: StepRange): Curves;
  gainMaps(run: string, columns: number): GainMaps;
  expertLoads(run: string): ExpertLoads;
  mixing(step: number): Mixing | undefined;
}

/** From the first to the last step, both included. */
export type StepRange = readonly [from: number, to: number];

const EVERYTHING: StepRange = [0, Infinity];

interface GainRow {
  readonly step: number;
  /** In the order of `gainCurves`. */
  readonly values: readonly number[];
  readonly gains: Readonly<Record<GainKind, readonly number[]>>;
  readonly sublayers: readonly number[] | undefined;
}

/** The place of the matrices of a step. */
interface MixingRow {
  readonly step: number;
  readonly offset: number;
  readonly length: number;
}

const metricCurves = curves.filter(({ file }) => file === "metrics.jsonl");
const gainCurves = curves.filter(({ file }) => file === "gains.jsonl");

/** In the columns of curves, NaN means that a value was not recorded, and Infinity that it is not finite. */
const columnValue = (value: number | undefined): number =>
  value === undefined ? NaN : Number.isFinite(value) ? value : Infinity;

/** @param open opens a file of the run by its name */
export function createRunRecords(open: (file: string) => OpenFile | undefined): RunRecords {
  const steps: number[] = [];
  const seconds: number[] = [];
  const columns = metricCurves.map((curve) => ({ curve, values: [] as number[] }));
  const gains: GainRow[] = [];
  const loads = createLoadKeeper();
  /** Runs of older versions have their matrices in gains.jsonl. */
  const mixing = { "gains.jsonl": [] as MixingRow[], "mixing.jsonl": [] as MixingRow[] };
  const followers = {
    metrics: createFollower(() => open("metrics.jsonl")),
    gains: createFollower(() => open("gains.jsonl")),
    mixing: createFollower(() => open("mixing.jsonl")),
  };
  const cutMetrics = (step: number): void => {
    const count = countBelow(steps, step);
    for (const values of [steps, seconds, ...columns.map((column) => column.values)]) values.length = count;
    loads.cut(step);
  };
  const updateMetrics = (): void =>
    follow(
      followers.metrics,
      () => cutMetrics(-Infinity),
      ({ text }) => {
        const record = recordOf("metrics.jsonl", text);
        if (!record) return;
        if (record.step <= (steps.at(-1) ?? -1)) cutMetrics(record.step);
        steps.push(record.step);
        seconds.push(record.seconds ?? NaN);
        for (const { curve, values } of columns) values.push(columnValue(curve.read(record)));
        loads.add(record.step, record.expertLoad);
      },
    );
  const findMatrices = (): (MixingRow & { readonly file: keyof typeof mixing })[] => {
    const old = mixing["gains.jsonl"].map((row) => ({ ...row, file: "gains.jsonl" as const }));
    const rows = mixing["mixing.jsonl"].map((row) => ({ ...row, file: "mixing.jsonl" as const }));
    return [...old, ...rows].sort((a, b) => a.step - b.step);
  };
  const updateGains = (): void =>
    follow(
      followers.gains,
      () => (gains.length = mixing["gains.jsonl"].length = 0),
      ({ text, offset }) => {
        const record = recordOf("gains.jsonl", text, SHOWN);
        if (!record) return;
        put(gains, gainRow(record));
        if (record.mixing?.length)
          put(mixing["gains.jsonl"], { step: record.step, offset, length: Buffer.byteLength(text) });
      },
    );
  const updateMixing = (): void =>
    follow(
      followers.mixing,
      () => (mixing["mixing.jsonl"].length = 0),
      ({ text, offset }) => {
        const record = recordOf("mixing.jsonl", text, ["mixing"]);
        if (record?.mixing?.length)
          put(mixing["mixing.jsonl"], { step: record.step, offset, length: Buffer.byteLength(text) });
      },
    );
  return {
    curves(run, points, within = EVERYTHING) {
      updateMetrics();
      updateGains();
      const part = cut(steps, within);
      const step = part(steps);
      const ofGains = cut(
        gains.map((row) => row.step),
        within,
      )(gains);
      const gainSteps = ofGains.map((row) => row.step);
      const series = Object.fromEntries([
        ...columns.map(({ curve, values }) => [curve.curve.name, downsample(step, part(values), points)] as const),
        ...gainCurves.map(({ curve }, index) => {
          const values = ofGains.map((row) => row.values[index]!);
          return [curve.name, downsample(gainSteps, values, points)] as const;
        }),
      ]) as Readonly<Record<CurveName, Series>>;
      const cursor = formatCursor([followers.metrics.position, followers.gains.position]);
      return { run, cursor, series, clock: thinned(step, part(seconds), 400) };
    },
    gainMaps(run, most) {
      updateGains();
      updateMixing();
      const chosen = everyNth(
        gains.filter((row) => gainKinds.some((kind) => row.gains[kind].length > 0)),
        most,
      );
      const mapOf = (kind: GainKind): (number | null)[][] => chosen.map((row) => row.gains[kind].map(orNull));
      const depth = chosen.reduce(
        (deepest, row) => Math.max(deepest, ...gainKinds.map((kind) => row.gains[kind].length)),
        0,
      );
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
        mixingSteps: findMatrices().map((row) => row.step),
      };
    },
    expertLoads(run) {
      updateMetrics();
      return loads.loads(run);
    },
    mixing(step) {
      updateGains();
      updateMixing();
      const row = findMatrices().findLast((candidate) => candidate.step === step);
      const file = row && open(row.file);
      if (!file) return undefined;
      try {
        const text = file.read(row.offset, row.length).toString("utf8");
        const record = recordOf(row.file, text, ["sublayers", "mixing"]);
        if (record?.step !== step || !record.mixing) return undefined;
        const matrices = record.mixing.map((matrix) => Array.from(matrix, orNull));
        return { step, mixing: matrices, sublayers: record.sublayers ?? matrices.map((_, index) => index) };
      } finally {
        file.close();
      }
    },
  };
}

/** Adds the lines that were added to a file. */
function follow(follower: Follower, onReset: () => void, onLine: (line: Line) => void): void {
  for (let more = true; more;) {
    const added = follower.advance();
    if (added.reset) onReset();
    added.lines.forEach(onLine);
    more = added.more;
  }
}

/** Adds a row, and removes rows of the same or later steps: the run went back. */
function put<R extends { readonly step: number }>(rows: R[], row: R): void {
  while (rows.length > 0 && rows.at(-1)!.step >= row.step) rows.pop();
  rows.push(row);
}

/** The live row for a line of one of the files. The curves of the other file have no values in it. */
export function liveRow(file: "metrics.jsonl" | "gains.jsonl", text: string): LiveRow | undefined {
  const record: Left<MetricRecord> | Left<GainRecord> | undefined = recordOf(file, text);
  if (!record) return undefined;
  const seconds = file === "metrics.jsonl" ? orNull((record as Left<MetricRecord>).seconds ?? NaN) : null;
  const values = curves.map((curve): LiveValue => {
    const value = curve.file === file ? curve.read(record) : undefined;
    return value === undefined ? null : Number.isFinite(value) ? value : "not finite";
  });
  return [record.step, seconds, ...values];
}

/** The positions in metrics.jsonl and gains.jsonl as one word. */
export function formatCursor([metrics, gains]: readonly [number, number]): string {
  return `${metrics}-${gains}`;
}

/** The positions for several runs; undefined if the text is not such a list. */
export function parseCursors(text: string, runs: number): (readonly [number, number])[] | undefined {
  const cursors = text.split("_").map((word) => /^(\d{1,15})-(\d{1,15})$/.exec(word));
  if (cursors.length !== runs || cursors.some((match) => !match)) return undefined;
  return cursors.map((match) => [Number(match![1]), Number(match![2])]);
}

/** What the page shows of a record of gains. */
const SHOWN: readonly InstrumentName[] = [
  "single",
  "composite",
  "sublayers",
  "mixing",
  ...gainCurves.map(({ name }) => name as InstrumentName),
];

function gainRow(record: Left<GainRecord>): GainRow {
  const { step, single, composite, sublayers } = record;
  return {
    step,
    values: gainCurves.map((curve) => columnValue(curve.read(record))),
    gains: {
      compositeBackward: composite?.backward ?? [],
      compositeForward: composite?.forward ?? [],
      singleBackward: single?.backward ?? [],
      singleForward: single?.forward ?? [],
    },
    sublayers,
  };
}

const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

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

/** Takes the part of a column that belongs to the chosen ones of the ascending steps. */
function cut(steps: readonly number[], [from, to]: StepRange): <T>(column: readonly T[]) => readonly T[] {
  const [first, end] = [countBelow(steps, from), countBelow(steps, to + 1)];
  return (column) => (first === 0 && end === steps.length ? column : column.slice(first, end));
}

function everyNth<T>(all: readonly T[], most: number): readonly T[] {
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, index) => all[Math.round((index * (all.length - 1)) / (most - 1))]!);
}

function thinned(step: readonly number[], value: readonly number[], most: number): Clock {
  const kept = everyNth(
    step.map((_, index) => index).filter((index) => Number.isFinite(value[index])),
    most,
  );
  return { step: kept.map((index) => step[index]!), value: kept.map((index) => value[index]!) };
}
