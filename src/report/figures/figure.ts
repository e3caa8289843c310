// Question: what is a figure?
//
// A figure is a name, a title, a caption and one Vega-Lite specification (https://vega.github.io/vega-lite/docs/):
// plain JSON that includes its data. Lines and texts that are not data are `currentColor`, so the same drawing works on
// light and on dark paper. Figures are made from runs, and drawn by render.ts, by the report and by the page.

import type { Series } from "./series.ts";

/** A Vega-Lite 6 specification. */
export type VegaLiteSpec = Readonly<Record<string, unknown>>;

export interface Figure {
  /** Used as a file name: letters, digits and dashes. */
  readonly name: string;
  readonly title: string;
  /** What is drawn, its units, and how it was measured, in one or two sentences. */
  readonly caption: string;
  readonly spec: VegaLiteSpec;
}

/** A part of a specification. */
export type Part = Record<string, unknown>;

const INK = "currentColor";
const FONT = "'Inter', 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";
/** Room for the labels of a vertical axis. */
const LABELS = 42;
const THEME = {
  aria: false,
  background: null,
  font: FONT,
  padding: { left: 4, right: 12, top: 6, bottom: 4 },
  view: { stroke: null },
  axis: {
    labelColor: INK,
    titleColor: INK,
    domainColor: INK,
    tickColor: INK,
    gridColor: INK,
    gridOpacity: 0.12,
    domainOpacity: 0.45,
    tickOpacity: 0.45,
    labelOpacity: 0.8,
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: "normal",
    titlePadding: 8,
  },
  axisX: { grid: false },
  // The labels of all vertical axes take as much room, so that panels above each other begin and end together.
  axisY: { minExtent: LABELS, maxExtent: LABELS },
  legend: {
    labelColor: INK,
    titleColor: INK,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    labelLimit: 320,
    symbolStrokeWidth: 2.5,
    symbolSize: 220,
    orient: "top",
    direction: "horizontal",
    columns: 4,
    columnPadding: 18,
  },
  title: { color: INK, subtitleColor: INK, fontSize: 13, fontWeight: 600, anchor: "start", offset: 8 },
  header: { labelColor: INK, titleColor: INK, labelFontSize: 12 },
  text: { color: INK, fontSize: 11 },
  rule: { color: INK },
} as const;

/** The width of a figure across the whole page. */
export const WIDTH = 900;

/** Make a whole specification from a part. */
export function wholeSpec(part: Part): VegaLiteSpec {
  return { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config: THEME, ...part };
}

/** Colour and dashes by the field `series`, with one legend for both. */
export function seriesEncoding(series: readonly Pick<Series, "label" | "colour" | "dash">[]): Part {
  const domain = series.map(({ label }) => label);
  const legend = { title: null, symbolType: "stroke", symbolOpacity: 1, symbolSize: 340 };
  return {
    color: {
      field: "series",
      type: "nominal",
      scale: { domain, range: series.map(({ colour }) => colour) },
      legend,
    },
    strokeDash: {
      field: "series",
      type: "nominal",
      scale: { domain, range: series.map(({ dash }) => dash) },
      legend,
    },
  };
}

/** The axis of steps: from 0, whole numbers. */
export const stepAxis: Part = {
  field: "step",
  type: "quantitative",
  title: "step",
  scale: { zero: true, nice: false },
  axis: { labelExpr: "format(datum.value, '~s')", tickCount: 8 },
};

/** Few characters for any power of ten: 0.01, 1000, 1e6. */
const SHORT =
  "datum.value < 1e5 && datum.value > 1e-4 ? format(datum.value, '~g') : replace(format(datum.value, '~e'), '+', '')";

/** A logarithmic axis that fits these values: powers of ten, with 2 and 5 between them when there are few. */
export function logarithmicAxis(values: readonly number[]): { readonly scale: Part; readonly axis: Part } {
  const positive = values.filter((value) => value > 0);
  const low = positive.reduce((a, b) => Math.min(a, b), Infinity);
  const high = positive.reduce((a, b) => Math.max(a, b), 0);
  if (!(low <= high)) return { scale: { type: "log" }, axis: {} };
  const [from, to] = [low / 1.15, high * 1.15];
  const decades = Math.log10(to / from);
  const steps = decades < 2.5 ? [1, 2, 5] : [1];
  const every = Math.ceil(decades / 6);
  const powers = Array.from({ length: Math.ceil(decades) + 2 }, (_, index) => Math.floor(Math.log10(from)) + index);
  const ticks = powers
    .filter((power) => power % every === 0)
    .flatMap((power) => steps.map((step) => Number(`${step}e${power}`)))
    .filter((tick) => tick >= from && tick <= to);
  return {
    scale: { type: "log", domain: [from, to], nice: false },
    axis: ticks.length > 1 ? { values: ticks, labelExpr: SHORT } : { tickCount: 4, labelExpr: SHORT },
  };
}

/** A grey line at a value that means something, such as a gain of 1. */
export function ruleAt(y: number): Part {
  return {
    data: { values: [{ y }] },
    mark: { type: "rule", opacity: 0.5, strokeDash: [3, 3] },
    encoding: { y: { field: "y", type: "quantitative" } },
  };
}

/** The grey of values that come from a paper instead of these runs. */
export const PAPER_COLOUR = "#9aa0a6";

/**
 * The name of a layer of invisible marks that only react to the pointer; a drawing on paper leaves them out. Layers
 * with the same name would share their scales, so each is named after what it is drawn on.
 */
export function hoverName(owner: string): string {
  return `${HOVER}${owner}`;
}

const HOVER = "hover: ";

/** The same specification without the layers that only react to the pointer. */
export function onPaper<S>(spec: S): S {
  if (Array.isArray(spec)) return spec.filter((part) => !isHover(part)).map(onPaper) as S;
  if (typeof spec !== "object" || spec === null) return spec;
  return Object.fromEntries(
    Object.entries(spec).map(([key, value]) => [key, key === "values" ? value : onPaper(value)]),
  ) as S;
}

function isHover(part: unknown): boolean {
  return typeof part === "object" && part !== null && "name" in part && String(part.name).startsWith(HOVER);
}
