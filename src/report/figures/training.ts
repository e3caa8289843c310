// Question: how did the training of these runs go?
//
// The figures are curves over steps: loss, its difference from a baseline, validation loss, gradient norm, load of experts.

import { given } from "../../basics/given.ts";
import { sum } from "../../basics/numbers.ts";
import { metricFields, type MetricName, type MetricRecord } from "../../training/records.ts";
import type { RunData } from "../../runs/run-data.ts";
import { lossUnit } from "../units.ts";
import {
  type Figure,
  hoverName,
  logarithmicAxis,
  type Part,
  ruleAt,
  seriesEncoding,
  stepAxis,
  WIDTH,
  wholeSpec,
} from "./figure.ts";
import {
  bandNote,
  bandOf,
  type BandPoint,
  baselineOf,
  digits,
  everyKth,
  gapsOf,
  hasDiverged,
  type Point,
  pointsOf,
  type Series,
  seriesOf,
  smooth,
  thin,
} from "./series.ts";

/** The vertical axis of a metric: its unit, or its name where it has none. */
function axisOf(name: MetricName, runs: readonly RunData[] = []): Pick<CurveFigure, "axis" | "logarithmic"> {
  const { title, unit, scalars } = metricFields[name];
  return {
    axis: lossUnit(runs) === "" ? "loss" : (unit ?? title.toLowerCase()),
    logarithmic: scalars?.some(({ curve }) => curve?.logarithmic) ?? false,
  };
}

/** The most points of a light raw curve, and of a smoothed one. */
const RAW = 500;
const SMOOTHED = 240;
/** The most points of all light raw curves together, so that many runs do not make a figure large. */
const RAW_TOGETHER = 6000;

/** Training loss by step: smoothed, with the raw curve lightly behind and a band over seeds. */
export function lossFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  return curves(series, {
    name: "loss",
    title: metricFields.loss.title,
    caption: `Mean over a step's batch${lossUnit(runs)}. Lines are means over a window of 4 % of the steps${bandNote(series)}; single steps are drawn lightly behind.`,
    ...axisOf("loss", runs),
    value: ({ loss }) => loss,
  });
}

/** Norm of all gradients before clipping, by step. */
export function gradientNormFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  return curves(series, {
    name: "gradient-norm",
    title: metricFields.gradientNorm.title,
    caption: `Euclidean norm of all gradients before clipping, on a logarithmic axis; smoothed as the loss is, single steps lightly behind${bandNote(series)}.`,
    ...axisOf("gradientNorm"),
    value: ({ gradientNorm }) => (gradientNorm <= 0 ? undefined : gradientNorm),
  });
}

/** Validation loss, at the steps where it was measured. */
export function validationFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const value = ({ validationLoss }: MetricRecord): number | undefined => validationLoss;
  const measured = series.map(({ label, runs: members }) => ({
    label,
    band: bandOf(members.map(({ metrics }) => pointsOf(metrics, value))),
    gaps: members.flatMap(({ metrics }) => gapsOf(metrics, value)),
  }));
  if (measured.every(({ band }) => band.length === 0)) return undefined;
  return {
    name: "validation-loss",
    title: metricFields.validationLoss.title,
    caption: `${lossUnit(runs) === "" ? "On what" : "Nats a token on text that"} is not trained on${bandNote(series)}.${leavesNote(series)}`,
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 260,
      ...bandLayer(measured, series, { title: axisOf("validationLoss", runs).axis, point: true }),
    }),
  };
}

/**
 * Smoothed training loss of each run minus the baseline's at the same step and, if the baseline has it, the same seed.
 *
 * @param baseline name of the run to compare with (default: a plain residual, else the first run)
 */
export function lossGapFigure(runs: readonly RunData[], baseline?: string): Figure | undefined {
  const series = seriesOf(runs);
  const base = baselineOf(series, baseline);
  if (!base || series.length < 2) return undefined;
  const gaps = series.filter((one) => one !== base).map((one) => ({ label: one.label, band: gapBand(one, base) }));
  if (gaps.every(({ band }) => band.length === 0)) return undefined;
  return {
    name: "loss-gap",
    title: `Loss compared with ${base.label}`,
    caption: `Training loss minus that of ${base.label} at the same step, both smoothed; below the line is better${bandNote(series)}.${leavesNote(series)}`,
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 240,
      layer: [
        ruleAt(0),
        bandLayer(
          gaps,
          series.filter((one) => one !== base),
          { title: `loss gap${lossUnit(runs)}` },
        ),
      ],
    }),
  };
}

/** Loss gaps of a series' runs to the baseline's run of the same seed, or to the mean of all its runs if it has none. */
export function gapBand(series: Series, base: Series): BandPoint[] {
  const mean = bandOf(base.runs.map(lossCurve)).map(({ x, mean: y }) => [x, y] as const);
  const differences = series.runs.map((run) => {
    const seed = run.config?.seed;
    const twin = base.runs.find((other) => seed !== undefined && other.config?.seed === seed);
    const reference = new Map(twin ? lossCurve(twin) : mean);
    return lossCurve(run).flatMap(([x, y]): Point[] => {
      const other = reference.get(x);
      return other === undefined ? [] : [[x, y - other]];
    });
  });
  return thinBand(bandOf(differences));
}

const lossCurve = ({ metrics }: RunData): Point[] => smooth(pointsOf(metrics, ({ loss }) => loss));

/** Tokens of the busiest expert of any layer, as a multiple of the mean, by step. */
export function expertLoadFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs).filter(({ runs: members }) =>
    members.some(({ metrics }) => metrics.some((record) => busiestShare(record) !== undefined)),
  );
  if (series.length === 0) return undefined;
  const bands = series.map(({ label, runs: members }) => ({
    label,
    band: thinBand(bandOf(members.map(({ metrics }) => smooth(pointsOf(metrics, busiestShare))))),
  }));
  return {
    name: "expert-load",
    title: "Load of the busiest expert",
    caption: `Tokens of the busiest expert of any layer's mixture in shares of the mean; 1 is a perfect balance. Smoothed as the loss is${bandNote(series)}.`,
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 200,
      ...bandLayer(bands, series, { title: "shares of the mean" }),
    }),
  };
}

function busiestShare({ expertLoad }: MetricRecord): number | undefined {
  return expertLoad && Math.max(...expertLoad.map((load) => Math.max(...load) / (sum(load) / load.length)));
}

interface CurveFigure extends Pick<Figure, "name" | "title" | "caption"> {
  readonly axis: string;
  readonly value: (record: MetricRecord) => number | undefined;
  readonly logarithmic: boolean;
}

function curves(series: readonly Series[], figure: CurveFigure): Figure | undefined {
  const { name, title, caption, axis, value, logarithmic } = figure;
  const points = series.map(({ runs }) => runs.map(({ metrics }) => pointsOf(metrics, value)));
  if (points.flat().every((curve) => curve.length === 0)) return undefined;
  const most = Math.min(RAW, RAW_TOGETHER / series.length);
  const raw = series.flatMap(({ label, runs }, index) =>
    runs.flatMap((run, member) =>
      thin(points[index]![member]!, Math.ceil(most / runs.length)).map(([step, y]) => ({
        step,
        y: digits(y),
        series: label,
        run: run.name,
      })),
    ),
  );
  const bands = series.map(({ label }, index) => ({
    label,
    band: thinBand(bandOf(points[index]!.map((curve) => smooth(curve)))),
    gaps: series[index]!.runs.flatMap(({ metrics }) => gapsOf(metrics, value)),
  }));
  const gaps = series.flatMap(({ label, runs }) =>
    runs.flatMap((run) => gapsOf(run.metrics, value).map((step) => ({ step, y: null, series: label, run: run.name }))),
  );
  const shown = raw.map((point) => point.y);
  const sound = soundLabels(series);
  const domain = logarithmic ? undefined : fitted(raw.filter((point) => sound?.has(point.series)).map(({ y }) => y));
  const y = {
    field: "y",
    type: "quantitative",
    title: axis,
    ...(logarithmic ? logarithmicAxis(shown) : { scale: linear(domain) }),
  };
  return {
    name,
    title,
    caption: `${caption}${domain ? LEAVES : ""}`,
    spec: wholeSpec({
      width: WIDTH - 70,
      height: 300,
      layer: [
        {
          data: { values: [...raw, ...gaps] },
          mark: { type: "line", strokeWidth: 0.7, opacity: 0.3, clip: domain !== undefined },
          encoding: { x: stepAxis, y, detail: { field: "run" }, ...seriesEncoding(series) },
        },
        bandLayer(bands, series, { title: axis, logarithmic, alongside: shown, ...given({ domain }) }),
      ],
    }),
  };
}

interface BandLook {
  readonly title: string;
  readonly logarithmic?: boolean;
  readonly point?: boolean;
  /** What the line shows for several seeds (default: the mean). */
  readonly middle?: "mean" | "median";
  /** Other values on the same axis. */
  readonly alongside?: readonly number[];
  /** The ends of a linear axis. Default: those of the sound series, where some diverged and others did not. */
  readonly domain?: readonly [number, number];
}

/** The end of the caption of a figure whose axis does not hold all. */
const LEAVES = " A run that diverged leaves the axis, which fits the others.";

const leavesNote = (series: readonly Series[]): string => (soundLabels(series) ? LEAVES : "");

/** Labels of the series without a run that diverged; undefined where all are of one sort and share an axis. */
function soundLabels(series: readonly Series[]): ReadonlySet<string> | undefined {
  const sound = series.filter(({ runs }) => !runs.some(hasDiverged)).map(({ label }) => label);
  return sound.length === 0 || sound.length === series.length ? undefined : new Set(sound);
}

/** The range of values with a little room; undefined without values. */
function fitted(values: readonly number[]): readonly [number, number] | undefined {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const room = 0.05 * (high - low || 1);
  return low <= high ? [digits(low - room), digits(high + room)] : undefined;
}

/** A linear scale with these ends, or the library's choice. */
const linear = (domain: readonly [number, number] | undefined): Part =>
  domain === undefined ? { zero: false } : { domain, nice: true };

/** A line of means or medians, broken at gaps. For several seeds, an area reaches from the smallest to the largest. */
export function bandLayer(
  bands: readonly { readonly label: string; readonly band: readonly BandPoint[]; readonly gaps?: readonly number[] }[],
  series: readonly Series[],
  { title, logarithmic = false, point = false, middle = "mean", alongside = [], domain: asked }: BandLook,
): Part {
  const several = new Set(series.filter(({ runs }) => runs.length > 1).map(({ label }) => label));
  const values = bands.flatMap(({ label, band }) =>
    band.map(({ x, least, largest, [middle]: y }) => ({
      step: x,
      y: digits(y),
      ...(several.has(label) ? { least: digits(least), largest: digits(largest) } : {}),
      series: label,
    })),
  );
  const extentOf = (shown: typeof values): number[] =>
    shown.flatMap(({ y: line, least = line, largest = line }) => [least, largest]);
  const extent = extentOf(values);
  const sound = soundLabels(series);
  const domain = logarithmic
    ? undefined
    : (asked ?? fitted(extentOf(values.filter((each) => sound?.has(each.series)))));
  const y = {
    field: "y",
    type: "quantitative",
    title,
    ...(logarithmic ? logarithmicAxis([...extent, ...alongside]) : { scale: linear(domain) }),
  };
  const clip = domain !== undefined;
  const area: Part = {
    transform: [{ filter: "isValid(datum.least)" }],
    mark: { type: "area", opacity: 0.2, clip },
    encoding: { y: { ...y, field: "least" }, y2: { field: "largest" }, color: seriesEncoding(series).color },
  };
  const line: Part = {
    mark: { type: "line", strokeWidth: 2, clip, ...(point ? { point: { size: 30 } } : {}) },
    encoding: { y, ...seriesEncoding(series) },
  };
  const quantity = (field: string, name: string): Part => ({ field, type: "quantitative", title: name, format: ".5" });
  // Wide, invisible marks along the line, which the pointer can hit.
  const targets: Part = {
    name: hoverName(title),
    mark: { type: "circle", size: 90, opacity: 0, clip },
    encoding: {
      y,
      tooltip: [
        { field: "series", type: "nominal", title: "run" },
        { field: "step", type: "quantitative", title: "step", format: "," },
        quantity("y", title),
        ...(several.size > 0 ? [quantity("least", "smallest"), quantity("largest", "largest")] : []),
      ],
    },
  };
  const broken = bands.flatMap(({ label, gaps = [] }) => gaps.map((step) => ({ step, y: null, series: label })));
  return {
    data: { values: [...values, ...broken] },
    encoding: { x: stepAxis },
    layer: [...(several.size > 0 ? [area] : []), line, targets],
  };
}

/** Every k-th point and the last one. */
export function thinBand(band: readonly BandPoint[]): BandPoint[] {
  const kept = new Set(
    everyKth(
      band.map(({ x, mean }) => [x, mean] as const),
      SMOOTHED,
    ).map(([x]) => x),
  );
  return band.filter(({ x }) => kept.has(x));
}
