// Question: how much do these networks amplify a signal, where and when?
//
// Amax gains are defined in stability/gains.ts. Networks whose mixing is bounded are drawn on a linear axis from 0 to
// 2, as in the mHC paper's Figure 7; those that leave that range on a logarithmic one, as in Figure 3. Over seeds, the
// figure shows the median in a band from the smallest to the largest. Gains multiply, so one seed could dominate a mean.

import type { GainPair } from "../../stability/gains.ts";
import type { GainRecord } from "../../training/records.ts";
import type { PaperGains } from "../paper-figures.ts";
import type { RunData } from "../../runs/run-data.ts";
import { type Figure, logarithmicAxis, PAPER_COLOUR, type Part, WIDTH, wholeSpec } from "./figure.ts";
import { largestGain, type MeasuredStep, measuredAt, profileOf } from "./seeds.ts";
import { bandLayer, thinBand } from "./training.ts";
import { bandNote, bandOf, digits, hasDiverged, pointsOf, type Series, seriesOf } from "./series.ts";

/** Composite gains above this are not due to rounding, so the axis becomes logarithmic. */
const LINEAR_TOP = 2;

const hasGains = ({ composite }: GainRecord): boolean => composite !== undefined;

/**
 * Gains by sublayer at one step: single on the left, composite on the right, one row for each series.
 *
 * @param step the step to show (default: the last measured one)
 */
export function gainProfileFigure(runs: readonly RunData[], step?: number): Figure | undefined {
  const series = seriesOf(runs);
  const rows = series.flatMap((one) => gainPanels(one, { step }) ?? []);
  if (rows.length === 0) return undefined;
  return {
    name: "gains",
    title: "Signal gain by sublayer",
    caption: `Amax gains: the largest |row sum| (forward) and |column sum| (backward), of signed entries, of the mixing matrices averaged over the tokens of one sequence. Single: of each sublayer; composite: of the products, forward of sublayers 1 to l, backward of l to the last. At 1 what all streams share is neither amplified nor weakened${bandNote(series, "median")}.`,
    spec: wholeSpec({ vconcat: rows, spacing: 24 }),
  };
}

export interface GainPanelOptions {
  /** The step to show (default: the last measured one). */
  readonly step?: number | undefined;
  /** A curve drawn lightly behind, with its sublayers scaled to the same depth. */
  readonly paper?: { readonly gains: PaperGains; readonly depth: number };
}

/** Two panels side by side, with axes that fit the values; undefined for a series without gains. */
export function gainPanels(series: Series, { step, paper }: GainPanelOptions = {}): Part | undefined {
  const measured = measuredAt(series, hasGains, step);
  if (!measured) return undefined;
  const panels = (["single", "composite"] as const).map((of) => {
    const own = directions.flatMap((direction) => gainValues(measured, of, direction));
    const depth = Math.max(2, ...own.map(({ sublayer }) => sublayer));
    const behind = paper ? paperValues(paper, of, depth) : [];
    const apart = of === "single" && paper?.gains.apart === true;
    return gainPanel(of, own, { values: behind, apart }, series.colour, depth);
  });
  // Rows have different colours, so they cannot share a legend.
  return { title: { text: measured.title, subtitle: "— forward   ╌ backward" }, hconcat: panels, spacing: 36 };
}

const directions = ["forward", "backward"] as const satisfies readonly (keyof GainPair)[];
const dashes = [
  [1, 0],
  [4, 3],
];

interface GainValue {
  readonly sublayer: number;
  readonly gain: number;
  readonly direction: string;
  /** Present for several seeds, whose median `gain` is. */
  readonly least?: number;
  readonly largest?: number;
}

function gainValues({ seeds }: MeasuredStep, of: "single" | "composite", direction: keyof GainPair): GainValue[] {
  const band = profileOf(
    seeds.map(({ record }) => record),
    (record) => record[of]?.[direction],
  );
  return band.map(({ x, median, least, largest }) => ({
    sublayer: x,
    gain: digits(median),
    direction,
    ...(seeds.length > 1 ? { least: digits(least), largest: digits(largest) } : {}),
  }));
}

function paperValues(
  { gains, depth: paperDepth }: NonNullable<GainPanelOptions["paper"]>,
  of: "single" | "composite",
  depth: number,
): GainValue[] {
  return directions.flatMap((direction) =>
    gains[of][direction].map(([sublayer, gain]) => ({
      sublayer: digits(1 + ((sublayer - 1) * (depth - 1)) / (paperDepth - 1)),
      gain,
      direction,
    })),
  );
}

function gainPanel(
  of: "single" | "composite",
  own: readonly GainValue[],
  behind: { readonly values: readonly GainValue[]; readonly apart: boolean },
  colour: string,
  depth: number,
): Part {
  const all = [...own, ...behind.values].flatMap(({ gain, least = gain, largest = gain }) => [least, largest]);
  const linear = Math.max(...all) <= LINEAR_TOP;
  const positive = (values: readonly GainValue[]): readonly GainValue[] =>
    linear ? values : values.filter(({ gain, least = gain }) => least > 0);
  const vertical = linear
    ? { scale: { domain: [0, LINEAR_TOP] }, axis: { tickCount: 5 } }
    : logarithmicAxis([...all, 1]);
  const x = {
    field: "sublayer",
    type: "quantitative",
    title: "sublayer",
    scale: { domain: [1, depth], nice: false },
    axis: { tickMinStep: 1, format: "d", tickCount: Math.min(depth, 10) },
  };
  const y = {
    field: "gain",
    type: "quantitative",
    title: `${of} gain`,
    ...vertical,
  };
  const strokeDash = {
    field: "direction",
    type: "nominal",
    legend: null,
    scale: { domain: directions, range: dashes },
  };
  const several = own.some(({ least }) => least !== undefined);
  const level: Part = {
    data: { values: [{ gain: 1 }] },
    mark: { type: "rule", opacity: 0.4, strokeDash: [2, 2] },
    encoding: { y },
  };
  const band: Part = {
    data: { values: positive(own) },
    mark: { type: "area", color: colour, opacity: 0.2 },
    encoding: { x, y: { ...y, field: "least" }, y2: { field: "largest" }, detail: { field: "direction" } },
  };
  const line: Part = {
    data: { values: positive(own) },
    mark: { type: "line", strokeWidth: 2, color: colour, point: { size: depth > 40 ? 12 : 24, color: colour } },
    encoding: {
      x,
      y,
      strokeDash,
      tooltip: [
        { field: "sublayer", type: "quantitative" },
        { field: "direction", type: "nominal" },
        ...(several ? ["gain", "least", "largest"] : ["gain"]).map((field) => ({
          field,
          type: "quantitative",
          format: ".5",
        })),
      ],
    },
  };
  const reference: Part = {
    data: { values: positive(behind.values) },
    mark: behind.apart
      ? { type: "point", filled: true, size: 70, color: PAPER_COLOUR, opacity: 0.6 }
      : { type: "line", strokeWidth: 4, color: PAPER_COLOUR, opacity: 0.45 },
    encoding: behind.apart ? { x, y } : { x, y, strokeDash },
  };
  return {
    width: (WIDTH - 170) / 2,
    height: 190,
    layer: [level, ...(behind.values.length > 0 ? [reference] : []), ...(several ? [band] : []), line],
  };
}

/** The largest composite gain, backward and forward, by step. */
export function gainTimeFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs).filter(({ runs: members }) => members.some(({ gains }) => gains.some(hasGains)));
  const largest = series.map(({ label, runs: members }) => ({
    label,
    band: thinBand(bandOf(members.map((run) => pointsOf(run.gains, largestGain)))),
  }));
  if (largest.every(({ band }) => band.length === 0)) return undefined;
  return {
    name: "gain-by-step",
    title: "Largest composite gain",
    caption: `The largest composite Amax gain of any sublayer, forward or backward, on a logarithmic axis; at 1 what all streams share keeps its size${bandNote(series, "median")}.`,
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 220,
      ...bandLayer(largest, series, { title: "composite gain", logarithmic: true, middle: "median" }),
    }),
  };
}

/** The most steps that a map shows; with more steps it shows every k-th. */
const MAP_STEPS = 80;

/** Composite backward gain by sublayer and step, one map for each series: it shows where and when amplification begins. */
export function gainMapFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const measured = series.map((one) => mapValues(one));
  // One that diverged would leave the others no colour.
  const sound = measured.filter((_, index) => !series[index]!.runs.some(hasDiverged));
  const fitted = (sound.some((values) => values.length > 0) ? sound : measured).flat();
  const widest = fitted.reduce((most, { gain }) => Math.max(most, gain, 1 / gain), LEAST_MAP_GAIN);
  const maps = series.flatMap(({ label }, index) => gainMap(label, measured[index]!, widest) ?? []);
  if (maps.length === 0) return undefined;
  const several = series.some(({ runs: members }) => members.length > 1);
  return {
    name: "gain-map",
    title: "Composite backward gain by sublayer and step",
    caption: `How much a gradient grows on its way from the last sublayer to each one (logarithm of the composite backward Amax gain): grey keeps its size, warm grows, blue shrinks; the colours end at the largest factor of runs that did not diverge, but not below ${LEAST_MAP_GAIN}, and at its inverse${several ? "; the median over the seeds that measured the step" : ""}.`,
    spec: wholeSpec({ vconcat: maps, spacing: 20, resolve: { scale: { color: "shared", x: "independent" } } }),
  };
}

interface MapValue {
  readonly step: number;
  readonly sublayer: number;
  readonly gain: number;
}

/** Colours tell no smaller factors apart: a map of gains near one is to look like it. */
const LEAST_MAP_GAIN = 4;

/** Larger factors look alike. */
const MOST_MAP_GAIN = 1e6;

function mapValues({ runs }: Series): MapValue[] {
  const measured = new Map<number, GainRecord[]>();
  for (const record of runs.flatMap(({ gains }) => gains.filter(hasGains)))
    measured.set(record.step, [...(measured.get(record.step) ?? []), record]);
  const steps = [...measured.keys()].sort((a, b) => a - b);
  const every = Math.ceil(steps.length / MAP_STEPS);
  const shown = steps.filter((_, index) => (steps.length - 1 - index) % every === 0);
  return shown.flatMap((step) =>
    profileOf(measured.get(step)!, ({ composite }) => composite!.backward)
      .filter(({ median }) => median > 0)
      .map(({ x, median }) => ({ step, sublayer: x, gain: digits(median) })),
  );
}

/** So many labels stand side by side. */
const MOST_STEP_LABELS = 10;

/** The steps of a map that get a label: multiples of a round number, or the ends where there are too few of them. */
function labelledSteps(steps: readonly number[]): number[] {
  const last = steps.at(-1) ?? 0;
  const rounds = [1, 2, 5].flatMap((first) => Array.from({ length: 10 }, (_, power) => first * 10 ** power));
  const every = rounds.sort((a, b) => a - b).find((round) => last / round <= MOST_STEP_LABELS) ?? last;
  const labelled = steps.filter((step) => step % every === 0);
  return labelled.length > 1 ? labelled : [...new Set([steps[0]!, last])];
}

function gainMap(label: string, values: readonly MapValue[], widest: number): Part | undefined {
  if (values.length === 0) return undefined;
  const depth = new Set(values.map(({ sublayer }) => sublayer)).size;
  const axis = { domain: false, ticks: false, labelAngle: 0 };
  const end = Math.min(widest, MOST_MAP_GAIN);
  const { axis: ticks } = logarithmicAxis([1 / end, end]);
  return {
    title: label,
    width: WIDTH - 170,
    height: Math.min(260, Math.max(60, depth * 14)),
    data: { values },
    mark: { type: "rect", tooltip: true },
    encoding: {
      x: {
        field: "step",
        type: "ordinal",
        title: "step",
        axis: { ...axis, ticks: true, values: labelledSteps([...new Set(values.map(({ step }) => step))]) },
      },
      y: { field: "sublayer", type: "ordinal", title: "sublayer", axis: { ...axis, labelOverlap: "greedy" } },
      color: {
        field: "gain",
        type: "quantitative",
        title: "gain",
        scale: {
          type: "log",
          domain: [1 / end, 1, end],
          range: ["#2b6cb0", "#d7dade", "#c2410c"],
          clamp: true,
          interpolate: "lab",
        },
        legend: { orient: "right", direction: "vertical", ...ticks },
      },
    },
  };
}
