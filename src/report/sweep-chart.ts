// Question: how is a sweep drawn?
//
// The chart shows validation loss against the learning rate, on a log scale. There is one panel for each depth (and
// whatever else varies) and one line for each connection: the mean over seeds, with a band from the lowest to the
// highest seed. A cross at the top marks a rate at which a seed diverged. The SVG follows the reader's light or dark
// scheme.

import { connectionKind, connectionKinds, type ConnectionKind } from "../connections/table.ts";
import { colourOf, mixed, shades } from "./figures/palette.ts";
import type { TopLevelSpec } from "vega-lite";
import { loadVega } from "./vega.ts";
import { axisNames, fieldOf } from "../runs/sweep/definition.ts";
import type { SweepSummary } from "../runs/sweep/folder.ts";
import { axisText } from "./sweep-table.ts";

/** The names of connections in papers. */
const NAMES: Readonly<Record<string, string>> = { hc: "HC", mhc: "mHC" };
/** Of lines that stand for no connection, as for sizes. */
const MORE_COLOURS = ["#3b82c4", "#e69f00", "#9a6fb0", "#cc79a7", "#56b4e9", "#a0803c"];
const [PANEL_WIDTH, PANEL_HEIGHT] = [270, 230];
/** Height of a row of crosses. */
const CROSS = 11;

/** The colours of the chart, and what each becomes in the dark scheme. */
const DARK = {
  "#ffffff": "#0f141a",
  "#1f2933": "#e4e8ee",
  "#9aa5b1": "#6b7683",
  "#e4e7eb": "#2b333d",
} as const;
const [PAPER, INK, AXIS, GRID] = Object.keys(DARK) as ["#ffffff", "#1f2933", "#9aa5b1", "#e4e7eb"];

interface Row {
  readonly panel: string;
  readonly line: string;
  readonly rate: number;
  readonly mean?: number;
  readonly min?: number;
  readonly max?: number;
  readonly diverged: number;
  readonly seeds: number;
}

/** The connection of a line such as "mhc:streams=2"; undefined for a line that stands for something else. */
const kindOfLine = (line: string): ConnectionKind | undefined => connectionKind(line.split(":")[0]!);

/** A line with its connection's name, today's in a sweep of an older version too. */
function lineName(line: string): string {
  const kind = kindOfLine(line);
  return kind === undefined ? line : (NAMES[kind] ?? kind) + line.slice(line.split(":")[0]!.length);
}

function rowsOf({ groups }: SweepSummary): Row[] {
  const axes = Object.keys(groups[0]?.group ?? {});
  const names = axisNames(axes);
  const lineAxis = axes.find((axis) => fieldOf(axis) === "connection") ?? axes[0];
  return groups.flatMap(({ group, rates }) => {
    const line = lineAxis === undefined ? "all runs" : axisText(group[lineAxis]);
    const panel = axes
      .filter((axis) => axis !== lineAxis)
      .map((axis) => `${names.get(axis)} ${axisText(group[axis])}`)
      .join(", ");
    return rates.map(({ learningRate, band, diverged, seeds }) => ({
      panel,
      line: lineName(line),
      rate: learningRate,
      ...(band ? { mean: band.mean, min: band.min, max: band.max } : {}),
      diverged,
      seeds,
    }));
  });
}

/** The colour of each line by its connection: several of one connection are shades of its colour. */
function coloursOf(kinds: readonly (ConnectionKind | undefined)[]): string[] {
  const seen = new Map<ConnectionKind | undefined, number>();
  return kinds.map((kind) => {
    const variant = seen.get(kind) ?? 0;
    seen.set(kind, variant + 1);
    if (kind === undefined) return MORE_COLOURS[variant % MORE_COLOURS.length]!;
    return shadeOf(kind, shades[variant % shades.length]!, INK);
  });
}

const shadeOf = (kind: ConnectionKind, share: number, ink: string): string => mixed(colourOf(kind), ink, share);

/** The chart as a Vega-Lite specification with its data. */
export function sweepChart(summary: SweepSummary): TopLevelSpec {
  const rows = rowsOf(summary);
  const lines = [...new Set(rows.map(({ line }) => line))];
  const panels = [...new Set(rows.map(({ panel }) => panel))];
  const range = coloursOf(lines.map(kindOfLine));
  const x = {
    field: "rate",
    type: "quantitative",
    title: "learning rate",
    scale: { type: "log", nice: false, padding: 8 },
    axis: {
      format: "~g",
      labelOverlap: true,
      values: [...new Set(rows.map(({ rate }) => rate))].sort((a, b) => a - b),
    },
  } as const;
  const y = { type: "quantitative", title: "validation bits per byte", scale: { zero: false } } as const;
  const color = { field: "line", type: "nominal", title: null, scale: { domain: lines, range } } as const;
  const tooltip = [
    { field: "line", title: "model" },
    { field: "rate", title: "learning rate" },
    { field: "diverged", title: "diverged" },
    { field: "seeds", title: "of seeds" },
  ];
  const measured = [
    { field: "mean", title: "bits per byte", format: ".4f" },
    { field: "min", title: "lowest seed", format: ".4f" },
    { field: "max", title: "highest seed", format: ".4f" },
  ];
  const finite = [{ filter: "isValid(datum.mean)" }];
  const panel = {
    width: PANEL_WIDTH,
    height: PANEL_HEIGHT,
    layer: [
      {
        transform: finite,
        mark: { type: "area", opacity: 0.18 },
        encoding: { x, y: { ...y, field: "min" }, y2: { field: "max" }, color },
      },
      {
        transform: finite,
        mark: { type: "line", strokeWidth: 1.8 },
        encoding: { x, y: { ...y, field: "mean" }, color },
      },
      {
        transform: finite,
        mark: { type: "point", filled: true, size: 42, opacity: 1 },
        encoding: {
          x,
          y: { ...y, field: "mean" },
          color,
          shape: { field: "line", type: "nominal", title: null, scale: { domain: lines } },
          tooltip: [...tooltip, ...measured],
        },
      },
      // Each model has its own row of crosses, so that none hides another.
      ...lines.map((line, index) => ({
        transform: [{ filter: { and: [{ field: "line", equal: line }, "datum.diverged > 0"] } }],
        mark: { type: "text", text: "×", fontSize: 16, fontWeight: "bold" },
        encoding: { x, y: { value: CROSS * (index + 0.5) }, color, tooltip },
      })),
    ],
  };
  return {
    background: PAPER,
    padding: 12,
    title: {
      text: `${summary.name}: loss against learning rate`,
      subtitle: "Mean and range over seeds; × at the top: a seed diverged there",
      anchor: "start",
      offset: 12,
    },
    config: {
      font: "Helvetica, Arial, sans-serif",
      title: { color: INK, subtitleColor: INK, fontSize: 15, subtitleFontSize: 12 },
      header: { labelColor: INK, titleColor: INK, labelFontSize: 13, labelFontWeight: "bold" },
      legend: {
        labelColor: INK,
        titleColor: INK,
        orient: "top",
        labelFontSize: 12,
        labelLimit: 0,
        symbolOpacity: 1,
        symbolSize: 70,
      },
      axis: {
        labelColor: INK,
        titleColor: INK,
        gridColor: GRID,
        domainColor: AXIS,
        tickColor: AXIS,
        titleFontWeight: "normal",
      },
      view: { stroke: GRID },
    },
    data: { values: rows },
    facet: { field: "panel", type: "nominal", title: null, sort: panels },
    columns: Math.min(3, panels.length),
    spec: panel,
  } as unknown as TopLevelSpec;
}

/** The chart as an SVG document that follows the reader's light or dark scheme. */
export async function drawSweep(summary: SweepSummary): Promise<string> {
  const {
    vega: { parse, View },
    compile,
  } = await loadVega();
  const view = new View(parse(compile(sweepChart(summary)).spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  const lines = connectionKinds.flatMap((kind) =>
    shades.slice(1).map((share) => [shadeOf(kind, share, INK), shadeOf(kind, share, DARK[INK])] as const),
  );
  const used = [...Object.entries(DARK), ...lines].filter(([light]) => svg.includes(`"${light}"`));
  const rules = used.map(([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`);
  const style = `<style>@media (prefers-color-scheme:dark){${rules.join("")}}</style>`;
  return `${svg.replace(/^(<svg[^>]*>)/, (open) => `${open}${style}`)}\n`;
}
