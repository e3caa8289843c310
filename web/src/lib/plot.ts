// Question: how do lines become a chart of uPlot?
//
// Points first, then bands, then lines, so that no run's noise lies over another run's line. A diverged run does not set
// the vertical scale while there are others.

import uPlot from "uplot";
import type { Drawn, Values } from "../lines.ts";
import type { Axis } from "./curves.ts";
import { axisTicks, axisTickText, linearTicks, logRange, logTicks, tickTexts } from "./ticks.ts";

interface Series {
  /** The line of which it is a part. */
  readonly line: number;
  readonly part: "raw" | "low" | "high" | "line";
  readonly x: readonly number[];
  readonly y: Values;
}

export interface PlotStyle {
  readonly ink: string;
  readonly grid: string;
}

export const AXIS_NAMES: Readonly<Record<Axis, string>> = { step: "step", tokens: "tokens", time: "time of training" };
const [HEIGHT, X_AXIS, Y_AXIS, LABEL] = [226, 22, 46, 15];
export const FONT = "11px system-ui, sans-serif";
/** Fewer points than these are marked. */
const MARKED = 40;

/** What is drawn of lines, in the order of drawing. */
export function seriesOf(lines: readonly Drawn[], logarithmic: boolean): Series[] {
  const fit = (values: Values): Values =>
    logarithmic ? values.map((value) => (typeof value === "number" && value <= 0 ? undefined : value)) : values;
  const part = (
    name: Series["part"],
    take: (line: Drawn) => { x: readonly number[]; y: Values } | undefined,
  ): Series[] =>
    lines.flatMap((each, line) => {
      const found = take(each);
      return found ? [{ line, part: name, x: found.x, y: fit(found.y) }] : [];
    });
  return [
    ...part("raw", ({ raw }) => raw),
    ...part("high", ({ x, band }) => band && { x, y: band.high }),
    ...part("low", ({ x, band }) => band && { x, y: band.low }),
    ...part("line", (line) => line),
  ];
}

export function dataOf(series: readonly Series[]): uPlot.AlignedData {
  if (series.length === 0) return [[]];
  return uPlot.join(series.map(({ x, y }) => [x, y] as unknown as uPlot.AlignedData));
}

const marks = (values: ArrayLike<number | null | undefined>): boolean => {
  let count = 0;
  for (let i = 0; i < values.length && count <= MARKED; i++) if (values[i] !== null && values[i] !== undefined) count++;
  return count <= MARKED;
};

const looksOf = (lines: readonly Drawn[], { line, part }: Series): uPlot.Series => {
  const { colour, dash } = lines[line]!.look;
  if (part === "low" || part === "high") return { stroke: "transparent", width: 0, points: { show: false } };
  const raw = part === "raw";
  return {
    stroke: raw ? `${colour}${lines.length > 3 ? "24" : "38"}` : colour,
    width: raw ? 1 : 1.7,
    dash: raw || dash[1] === 0 ? [] : [...dash],
    spanGaps: false,
    points: { show: (self: uPlot, series: number) => !raw && marks(self.data[series]!), size: 5 },
  };
};

function bandsOf(lines: readonly Drawn[], series: readonly Series[]): uPlot.Band[] {
  const find = (line: number, part: Series["part"]): number =>
    1 + series.findIndex((each) => each.line === line && each.part === part);
  return lines.flatMap(({ band, look }, line) =>
    band ? [{ series: [find(line, "high"), find(line, "low")] as uPlot.Band.Bounds, fill: `${look.colour}2e` }] : [],
  );
}

export interface PlotWishes {
  readonly lines: readonly Drawn[];
  readonly series: readonly Series[];
  readonly width: number;
  readonly axis: Axis;
  readonly unit: string;
  readonly logarithmic: boolean;
  readonly style: PlotStyle;
  /** Room for the names at the right. */
  readonly labels: number;
  readonly stretch: () => readonly [number, number] | undefined;
  /** Of each line, whether it must not set the scale. */
  readonly isWild: (line: Drawn) => boolean;
  readonly hooks: uPlot.Hooks.Arrays;
  readonly onDoubleClick: () => void;
}

export function optionsOf(wishes: PlotWishes): uPlot.Options {
  const { lines, series, width, axis, unit, logarithmic, style, labels } = wishes;
  const shared = {
    stroke: style.ink,
    grid: { stroke: style.grid, width: 1 },
    ticks: { stroke: style.grid, width: 1, size: 4 },
    font: FONT,
    labelFont: FONT,
    labelSize: LABEL,
    filter: (_: uPlot, splits: number[]) => splits,
  };
  const ticksY = (_: uPlot, __: number, low: number, high: number): number[] =>
    logarithmic ? logTicks(low, high, 6) : linearTicks(low, high, 5);
  return {
    width,
    height: HEIGHT,
    padding: [10, Math.max(22, labels), 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      // The other charts show the position of the pointer too. `zoom` tells them which interval to show.
      sync: { key: axis, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      points: { show: false },
      drag: { x: true, y: false, setScale: false },
      bind: { dblclick: () => () => (wishes.onDoubleClick(), null) },
    },
    scales: {
      x: { time: false, range: (_, low, high) => [...(wishes.stretch() ?? [low, high])] },
      y: { distr: logarithmic ? 3 : 1, range: (self, low, high) => rangeOf(self, low, high, wishes) },
    },
    axes: [
      {
        ...shared,
        size: X_AXIS,
        gap: 3,
        label: AXIS_NAMES[axis],
        splits: (self, _, low, high) =>
          axisTicks(low, high, Math.max(2, self.bbox.width / devicePixelRatio / 72), axis),
        values: (_, ticks) => ticks.map((tick) => axisTickText(tick, axis)),
      },
      {
        ...shared,
        size: Y_AXIS,
        gap: 4,
        // All charts have the same room at the left, so that their steps lie below one another.
        label: unit || " ",
        splits: ticksY,
        values: (_, ticks) => tickTexts(ticks, logarithmic),
      },
    ],
    series: [{}, ...series.map((each) => looksOf(lines, each))],
    bands: bandsOf(lines, series),
    hooks: wishes.hooks,
  };
}

/** The vertical scale: of the lines that may set it, with some air. */
function rangeOf(self: uPlot, low: number | null, high: number | null, wishes: PlotWishes): [number, number] {
  const { lines, series, logarithmic, isWild } = wishes;
  const wild = lines.map(isWild);
  let [least, most] = [low, high];
  if (wild.includes(true) && wild.includes(false)) {
    [least, most] = [null, null];
    const [from, to] = self.series[0]!.idxs ?? [0, self.data[0].length - 1];
    for (const [index, { line }] of series.entries()) {
      if (wild[line]) continue;
      const values = self.data[index + 1]!;
      for (let at = from; at <= to; at++) {
        const value = values[at];
        if (value == null) continue;
        [least, most] = [Math.min(least ?? value, value), Math.max(most ?? value, value)];
      }
    }
  }
  if (logarithmic) return logRange(least, most);
  if (least === null || most === null) return [0, 1];
  // Room for where the wild ones leave the others.
  const air = most > least ? (most - least) * 0.06 : Math.abs(most) * 0.1 || 1;
  const floor = least >= 0 && least - air < 0 ? 0 : least - air;
  return [floor, most + air];
}

/** The names at the ends of the lines, apart from one another; none where they do not fit. */
export function drawLabels(self: uPlot, lines: readonly Drawn[], room: number, alpha: (line: Drawn) => number): void {
  const scale = devicePixelRatio;
  const { left, top, width, height } = self.bbox;
  const [from, to] = [self.scales.x!.min!, self.scales.x!.max!];
  const lasts = lines.flatMap((line) => {
    let at = line.x.length - 1;
    while (at > 0 && (line.x[at]! > to || line.y[at] == null)) at--;
    const [x, value] = [line.x[at], line.y[at]];
    return x === undefined || value == null ? [] : [{ line, x, y: self.valToPos(value, "y", true) }];
  });
  // A name far from its line's end would seem to be another line's.
  const end = Math.max(...lasts.map(({ x }) => x));
  const ends = lasts.filter(({ x, y }) => x >= end - (to - from) * 0.04 && y >= top && y <= top + height);
  const gap = 13 * scale;
  if (ends.length * gap > height) return;
  const context = self.ctx;
  context.save();
  context.font = `${11 * scale}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const { line, y } of apart(ends, gap, top, top + height)) {
    context.globalAlpha = alpha(line);
    context.fillStyle = line.look.colour;
    context.fillText(line.name, left + width + 6 * scale, y, room * scale - 8 * scale);
  }
  context.restore();
}

/** Places moved as little as possible so that neighbours are a gap apart. */
export function apart<T extends { readonly y: number }>(
  places: readonly T[],
  gap: number,
  top: number,
  bottom: number,
): T[] {
  const sorted = [...places].sort((a, b) => a.y - b.y);
  const moved: number[] = [];
  for (const { y } of sorted) moved.push(Math.max(y, (moved.at(-1) ?? top - gap) + gap));
  for (let at = moved.length - 1, limit = bottom; at >= 0; at--, limit = moved[at + 1]! - gap)
    moved[at] = Math.min(moved[at]!, limit);
  return sorted.map((place, index) => ({ ...place, y: moved[index]! }));
}
