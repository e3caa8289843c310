// Question: how is a simple chart written as SVG, without a library?
//
// Two kinds: horizontal bars of stacked parts, and a curve over whole numbers. Each is a panel, a piece of
// SVG of a known size; a drawing sets panels one below the other.

import { escape } from "./html.ts";
import type { Bar } from "./bars.ts";

export interface Panel {
  readonly height: number;
  readonly body: string;
}

export interface Mark {
  readonly value: number;
  readonly label: string;
}

const WIDTH = 760;
const LEFT = 150;
const RIGHT = 90;
const PLOT = WIDTH - LEFT - RIGHT;
const ROW = 30;
/** The start of the legend, and the distance between its entries. */
const LEGEND = 60;
const STEP = 100;
/** A mark this many times longer than the longest bar would leave no room for the bars, so it is left out. */
const FARTHEST = 4;
const COLOURS = ["#2e6fdb", "#7a869a", "#8e6bbf", "#e0a030", "#d1495b", "#3a9d6e"] as const;

/** Draw panels one below the other, on white. */
export function drawSvg(title: string, panels: readonly Panel[]): string {
  let top = 44;
  const placed = panels.map(({ height, body }) => {
    const group = `<g transform="translate(0 ${top})">${body}</g>`;
    top += height + 24;
    return group;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">`,
    `<rect width="${WIDTH}" height="${top}" fill="white"/>`,
    textAt(16, 26, title, 'font-size="16" font-weight="bold"'),
    ...placed,
    "</svg>\n",
  ].join("\n");
}

/** Bars from left to right, their parts stacked; a mark is a dashed line across all of them. A mark far beyond them is left out. */
export function barPanel(title: string, bars: readonly Bar[], show: (value: number) => string, mark?: Mark): Panel {
  const known = (value: number): number => (Number.isNaN(value) ? 0 : value);
  const sums = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + known(value), 0));
  const longest = Math.max(...sums);
  const near = mark && mark.value <= FARTHEST * longest ? mark : undefined;
  const scale = PLOT / Math.max(longest, near?.value ?? 0);
  const rows = bars.flatMap(({ label, parts }, index) => {
    const y = 28 + index * ROW;
    let x = LEFT;
    const pieces = parts.map(({ name, value }, part) => {
      const width = known(value) * scale;
      const piece = `<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${ROW - 8}" fill="${COLOURS[part % COLOURS.length]}"><title>${escape(`${name}: ${show(known(value))}`)}</title></rect>`;
      x += width;
      return piece;
    });
    return [
      textAt(LEFT - 8, y + 15, label, 'text-anchor="end"'),
      ...pieces,
      textAt(round(x) + 6, y + 15, show(sums[index]!), ""),
    ];
  });
  const bottom = 28 + bars.length * ROW;
  const legend = bars[0]!.parts.map(({ name }, part) => {
    const x = LEGEND + part * STEP;
    return `<rect x="${x}" y="${bottom + 6}" width="11" height="11" fill="${COLOURS[part % COLOURS.length]}"/>${textAt(x + 16, bottom + 16, name, "")}`;
  });
  const x = LEGEND + legend.length * STEP;
  const line = near && [
    `<path d="M${round(LEFT + near.value * scale)} 22V${bottom}M${x + 5} ${bottom + 3}v16" stroke="#222" stroke-dasharray="4 3"/>`,
    textAt(x + 16, bottom + 16, near.label, ""),
  ];
  return {
    height: bottom + 24,
    body: [textAt(16, 12, title, 'font-weight="bold"'), ...rows, ...(line ?? []), ...legend].join("\n"),
  };
}

/** A curve from the first to the last point, with one of them marked. */
export function curvePanel(
  title: string,
  points: readonly (readonly [x: number, y: number])[],
  marked: Mark,
  axis: string,
): Panel {
  const height = 150;
  const [first, last] = [points[0]![0], points.at(-1)![0]];
  const top = Math.max(...points.map(([, y]) => y));
  const at = ([x, y]: readonly [number, number]): string =>
    `${round(LEFT + (PLOT * (x - first)) / Math.max(1, last - first))} ${round(20 + height * (1 - y / top))}`;
  const dot = points.find(([x]) => x === marked.value)!;
  const [x, y] = at(dot).split(" ").map(Number) as [number, number];
  return {
    height: height + 46,
    body: [
      textAt(16, 12, title, 'font-weight="bold"'),
      `<path d="M${LEFT} 20V${20 + height}H${LEFT + PLOT}" fill="none" stroke="#999"/>`,
      textAt(LEFT - 8, 26, String(top), 'text-anchor="end"'),
      textAt(LEFT - 8, 24 + height, "0", 'text-anchor="end"'),
      `<polyline points="${points.map(at).join(" ")}" fill="none" stroke="${COLOURS[0]}" stroke-width="1.6"/>`,
      `<circle cx="${x}" cy="${y}" r="4" fill="${COLOURS[4]}"/>`,
      textAt(x, y - 8, marked.label, ""),
      textAt(LEFT, 36 + height, String(first), 'text-anchor="middle"'),
      textAt(LEFT + PLOT, 36 + height, String(last), 'text-anchor="middle"'),
      textAt(LEFT + PLOT / 2, 36 + height, axis, 'text-anchor="middle"'),
    ].join("\n"),
  };
}

/** A line of text in an SVG. The attributes are inserted as they are. */
export function textAt(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escape(content)}</text>`;
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
