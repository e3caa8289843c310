// Question: how much do these networks amplify a signal, where and when?
//
// Amax gains as in stability/gains.ts. Networks whose mixing is bounded are drawn on a linear axis from 0 to
// 2, as in the mHC paper's Figure 7; those that leave it on a logarithmic one, as in Figure 3.

import type { GainPair } from "../../stability/gains.ts";
import type { GainRecord } from "../../training/run-folder.ts";
import type { PaperGains } from "../paper-figures.ts";
import type { RunData } from "../run-data.ts";
import { type Figure, logarithmicAxis, PAPER_COLOUR, type Part, WIDTH, wholeSpec } from "./figure.ts";
import { bandLayer, thinBand } from "./training.ts";
import { bandOf, digits, drawable, pointsOf, type Series, seriesOf } from "./series.ts";

/** Composite gains from these on are no matter of rounding: the axis becomes logarithmic. */
const LINEAR_TOP = 2;

/** The record of a step, or the last one before it; the last of all when no step is given. */
export function gainsAt({ gains }: RunData, step: number = Infinity): GainRecord | undefined {
  return gains.findLast((record) => record.step <= step && record.composite !== undefined);
}

/** Position in the network, from 1, of each value of a record. */
export function positions(record: GainRecord, count: number): number[] {
  return Array.from({ length: count }, (_, index) => (record.sublayers?.[index] ?? index) + 1);
}

/**
 * Gains by sublayer at one step: single on the left, composite on the right, one row a series.
 *
 * @param step the last measured one by default
 */
export function gainProfileFigure(runs: readonly RunData[], step?: number): Figure | undefined {
  const rows = seriesOf(runs).flatMap((series) => {
    const [run] = series.runs as [RunData];
    const record = gainsAt(run, step);
    return record ? [gainPanels({ title: `${series.label}, step ${record.step}`, colour: series.colour, record })] : [];
  });
  if (rows.length === 0) return undefined;
  return {
    name: "gains",
    title: "Signal gain by sublayer",
    caption:
      "Amax gains: the largest |row sum| (forward) and |column sum| (backward), of signed entries, of the mixing matrices averaged over the tokens of one sequence. Single: of each sublayer; composite: of the products, forward of sublayers 1 to l, backward of l to the last. At 1 what all streams share is neither amplified nor weakened. The first seed of each.",
    spec: wholeSpec({ vconcat: rows, spacing: 24 }),
  };
}

export interface GainPanels {
  readonly title: string;
  readonly colour: string;
  readonly record: GainRecord;
  /** Drawn lightly behind, its sublayers scaled to the same depth. */
  readonly paper?: { readonly gains: PaperGains; readonly depth: number };
}

/** Two panels side by side, on the axes that fit the values. */
export function gainPanels({ title, colour, record, paper }: GainPanels): Part {
  const panels = (["single", "composite"] as const).map((of) => {
    const pair = record[of] ?? { forward: [], backward: [] };
    const own = directions.flatMap((direction) =>
      positions(record, pair[direction].length).flatMap((sublayer, index) => {
        const gain = pair[direction][index]!;
        return drawable(gain) ? [{ sublayer, gain: digits(gain), direction }] : [];
      }),
    );
    const depth = Math.max(2, ...own.map(({ sublayer }) => sublayer));
    const behind = paper ? paperValues(paper, of, depth) : [];
    const apart = of === "single" && paper?.gains.apart === true;
    return gainPanel(of, own, { values: behind, apart }, colour, depth);
  });
  // A legend shared by rows of different colours would have none of its own.
  return { title: { text: title, subtitle: "— forward   ╌ backward" }, hconcat: panels, spacing: 36 };
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
}

function paperValues(
  { gains, depth: paperDepth }: NonNullable<GainPanels["paper"]>,
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
  const all = [...own, ...behind.values].map(({ gain }) => gain);
  const linear = Math.max(...all) <= LINEAR_TOP;
  const positive = (values: readonly GainValue[]): readonly GainValue[] =>
    linear ? values : values.filter(({ gain }) => gain > 0);
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
  const layers: Part[] = [
    {
      data: { values: [{ gain: 1 }] },
      mark: { type: "rule", opacity: 0.4, strokeDash: [2, 2] },
      encoding: { y },
    },
    {
      data: { values: positive(own) },
      mark: { type: "line", strokeWidth: 2, color: colour, point: { size: depth > 40 ? 12 : 24, color: colour } },
      encoding: {
        x,
        y,
        strokeDash,
        tooltip: [
          { field: "sublayer", type: "quantitative" },
          { field: "direction", type: "nominal" },
          { field: "gain", type: "quantitative", format: ".5" },
        ],
      },
    },
  ];
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
    layer: behind.values.length > 0 ? [layers[0], reference, layers[1]] : layers,
  };
}

/** The largest composite gain, backward and forward, by step. */
export function gainTimeFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs).filter(({ runs: members }) => members.some((run) => gainsAt(run)));
  const largest = series.map(({ label, runs: members }) => ({
    label,
    band: thinBand(bandOf(members.map((run) => pointsOf(run.gains, largestGain)))),
  }));
  if (largest.every(({ band }) => band.length === 0)) return undefined;
  return {
    name: "gain-by-step",
    title: "Largest composite gain",
    caption:
      "The largest composite Amax gain of any sublayer, forward or backward, on a logarithmic axis; at 1 what all streams share keeps its size.",
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 220,
      ...bandLayer(largest, series, { title: "composite gain", logarithmic: true }),
    }),
  };
}

/** The largest composite gain of a record, if it is more than zero. */
export function largestGain({ composite }: GainRecord): number | undefined {
  if (!composite) return undefined;
  const largest = [...composite.forward, ...composite.backward].reduce((a, b) => Math.max(a, b), 0);
  return largest > 0 ? largest : undefined;
}

/** So many steps and sublayers a map shows; beyond it shows every k-th step. */
const MAP_STEPS = 80;

/** Composite backward gain by sublayer and step, one map a series: where amplification begins, and when. */
export function gainMapFigure(runs: readonly RunData[]): Figure | undefined {
  const maps = seriesOf(runs).flatMap((series) => {
    const [run] = series.runs as [RunData];
    return run.gains.some(({ composite }) => composite && composite.backward.length > 0) ? [gainMap(series, run)] : [];
  });
  if (maps.length === 0) return undefined;
  return {
    name: "gain-map",
    title: "Composite backward gain by sublayer and step",
    caption:
      "How much a gradient grows on its way from the last sublayer to each one (logarithm of the composite backward Amax gain): grey keeps its size, warm grows, blue shrinks. The first seed of each.",
    spec: wholeSpec({ vconcat: maps, spacing: 20, resolve: { scale: { color: "shared", x: "independent" } } }),
  };
}

function gainMap(series: Series, run: RunData): Part {
  const records = run.gains.filter(({ composite }) => composite !== undefined);
  const every = Math.ceil(records.length / MAP_STEPS);
  const shown = records.filter((_, index) => (records.length - 1 - index) % every === 0);
  const values = shown.flatMap((record) => {
    const { backward } = record.composite!;
    return positions(record, backward.length).flatMap((sublayer, index) => {
      const gain = backward[index]!;
      return drawable(gain) && gain > 0 ? [{ step: record.step, sublayer, gain: digits(gain) }] : [];
    });
  });
  const depth = new Set(values.map(({ sublayer }) => sublayer)).size;
  const axis = { domain: false, ticks: false, labelAngle: 0, labelOverlap: "greedy" };
  return {
    title: series.label,
    width: WIDTH - 170,
    height: Math.min(260, Math.max(60, depth * 14)),
    data: { values },
    mark: { type: "rect", tooltip: true },
    encoding: {
      x: { field: "step", type: "ordinal", title: "step", axis },
      y: { field: "sublayer", type: "ordinal", title: "sublayer", axis },
      color: {
        field: "gain",
        type: "quantitative",
        title: "gain",
        scale: {
          type: "log",
          domain: [1e-3, 1, 1e3],
          range: ["#2b6cb0", "#d7dade", "#c2410c"],
          clamp: true,
          interpolate: "lab",
        },
        legend: { orient: "right", direction: "vertical", format: "~g", values: [1e-3, 1e-2, 0.1, 1, 10, 100, 1e3] },
      },
    },
  };
}
