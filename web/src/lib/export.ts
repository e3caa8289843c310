// Question: how does a chart become a file: SVG, PNG or CSV?
//
// The picture is drawn anew as an SVG with title, axes and a legend with names, as it is shown; the PNG is that picture
// at twice the size. The CSV has every value that was recorded, a column a run, not smoothed.

import type { Drawn, Values } from "../lines.ts";
import { type Axis } from "./curves.ts";
import { AXIS_NAMES } from "./plot.ts";
import { axisTicks, axisTickText, linearTicks, logTicks, tickTexts } from "./ticks.ts";

export interface Picture {
  readonly title: string;
  readonly unit: string;
  readonly axis: Axis;
  readonly logarithmic: boolean;
  readonly lines: readonly Drawn[];
  /** The shown part of both axes. */
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

const [WIDTH, LEFT, RIGHT, PLOT, ROW] = [760, 74, 24, 320, 18];
const PER_ROW = 3;

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const round = (value: number): number => Math.round(value * 10) / 10;

/** The picture as an SVG document, on white. */
export function svgOf({ title, unit, axis, logarithmic, lines, x, y }: Picture): string {
  const legend = Math.ceil(lines.length / PER_ROW) * ROW;
  const [top, wide] = [48 + legend, WIDTH - LEFT - RIGHT];
  const height = top + PLOT + 46;
  const scaled = (value: number): number => (logarithmic ? Math.log10(value) : value);
  const [low, high] = [scaled(y[0]), scaled(y[1])];
  const atX = (value: number): number => round(LEFT + ((value - x[0]) / (x[1] - x[0])) * wide);
  const atY = (value: number): number => round(top + PLOT - ((scaled(value) - low) / (high - low)) * PLOT);
  const text = (left: number, at: number, content: string, more = ""): string =>
    `<text x="${left}" y="${at}" ${more}>${escaped(content)}</text>`;

  const ticksX = axisTicks(x[0], x[1], 9, axis);
  const ticksY = logarithmic ? logTicks(y[0], y[1], 8) : linearTicks(y[0], y[1], 7);
  const textsY = tickTexts(ticksY, logarithmic);
  const grid = [
    ...ticksX.map((tick) => `<path d="M${atX(tick)} ${top}V${top + PLOT}"/>`),
    ...ticksY.map((tick) => `<path d="M${LEFT} ${atY(tick)}H${LEFT + wide}"/>`),
  ];
  const labels = [
    ...ticksX.map((tick) => text(atX(tick), top + PLOT + 17, axisTickText(tick, axis), 'text-anchor="middle"')),
    ...ticksY.map((tick, index) => text(LEFT - 7, atY(tick) + 4, textsY[index]!, 'text-anchor="end"')),
    text(LEFT + wide / 2, top + PLOT + 36, AXIS_NAMES[axis], 'text-anchor="middle"'),
    text(0, 0, unit, `text-anchor="middle" transform="translate(16 ${top + PLOT / 2}) rotate(-90)"`),
  ];
  const path = (xs: readonly number[], ys: Values): string => {
    let pen = "M";
    return xs
      .map((place, index) => {
        const value = ys[index];
        if (value === undefined || (logarithmic && value !== null && value <= 0)) return "";
        if (value === null) return ((pen = "M"), "");
        const part = `${pen}${atX(place)} ${atY(value)}`;
        pen = "L";
        return part;
      })
      .join("");
  };
  const strokes = (line: Drawn): string =>
    line.look.dash[1] === 0 ? "" : ` stroke-dasharray="${line.look.dash.join(" ")}"`;
  const curves = [
    ...lines.flatMap(({ raw, look }) =>
      raw ? [`<path d="${path(raw.x, raw.y)}" stroke="${look.colour}" stroke-opacity="0.22"/>`] : [],
    ),
    ...lines.flatMap(({ x: xs, band, look }) => {
      if (!band) return [];
      const there = xs.flatMap((place, index) =>
        band.low[index] == null || band.high[index] == null || (logarithmic && band.low[index] <= 0) ? [] : [index],
      );
      const along = (side: Values, order: readonly number[]): string =>
        order.map((index) => `${atX(xs[index]!)} ${atY(side[index]!)}`).join("L");
      if (there.length === 0) return [];
      return [
        `<path d="M${along(band.high, there)}L${along(band.low, there.toReversed())}Z" fill="${look.colour}" fill-opacity="0.18" stroke="none"/>`,
      ];
    }),
    ...lines.map(
      (line) => `<path d="${path(line.x, line.y)}" stroke="${line.look.colour}" stroke-width="1.7"${strokes(line)}/>`,
    ),
  ];
  const entries = lines.map((line, index) => {
    const left = LEFT + (index % PER_ROW) * (wide / PER_ROW);
    const at = 50 + Math.floor(index / PER_ROW) * ROW;
    return `<path d="M${round(left)} ${at - 4}h24" stroke="${line.look.colour}" stroke-width="2"${strokes(line)}/>${text(round(left) + 30, at, line.name)}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1f2933">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(LEFT, 26, title, 'font-size="15" font-weight="bold"'),
    ...entries,
    `<g stroke="#e4e7eb" fill="none">${grid.join("")}</g>`,
    ...labels,
    `<clipPath id="plot"><rect x="${LEFT}" y="${top}" width="${wide}" height="${PLOT}"/></clipPath>`,
    `<g clip-path="url(#plot)" fill="none" stroke-linejoin="round">${curves.join("")}</g>`,
    `<rect x="${LEFT}" y="${top}" width="${wide}" height="${PLOT}" fill="none" stroke="#c3cad2"/>`,
    "</svg>\n",
  ].join("\n");
}

/** A picture as a PNG, at twice its size. */
export async function pngOf(svg: string): Promise<Blob> {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * image.naturalWidth, 2 * image.naturalHeight];
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture cannot be drawn."))), "image/png"),
    );
  } finally {
    URL.revokeObjectURL(address);
  }
}

export interface Column {
  readonly name: string;
  readonly step: readonly number[];
  readonly value: readonly (number | null)[];
}

/** A table with a row a step and a column a run; empty where a run has no value, "not finite" where it is none. */
export function csvOf(columns: readonly Column[]): string {
  const quoted = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const values = columns.map(({ step, value }) => new Map(step.map((each, index) => [each, value[index]])));
  const steps = [...new Set(columns.flatMap(({ step }) => step))].sort((a, b) => a - b);
  const cell = (value: number | null | undefined): string =>
    value === undefined ? "" : value === null ? "not finite" : String(value);
  const rows = steps.map((step) => [String(step), ...values.map((own) => cell(own.get(step)))].join(","));
  return `${[["step", ...columns.map(({ name }) => name)].map(quoted).join(","), ...rows].join("\n")}\n`;
}

/** Let the browser save something under a name. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
