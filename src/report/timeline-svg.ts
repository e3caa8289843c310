// Question: how is a timeline drawn?
//
// It becomes an SVG that needs nothing else. There is a row for each stage, with computation above communication, and
// empty where the stage idles. Several timelines, one below the other, share one time scale.

import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { escape } from "./html.ts";
import { showPercent } from "../basics/show.ts";
import type { SimulatedSchedule } from "../planning/pipeline/schedules.ts";
import type { TaskKind, PassPart, TimedTask } from "../training/parallel/schedules/task.ts";

/** One timeline to draw, with its title. */
export interface Picture {
  readonly title: string;
  readonly run: SimulatedSchedule;
}

/** How timelines are drawn. */
export interface TimelineSvgOptions {
  /** Width in pixels (default 1200). */
  readonly width?: number;
  /** Whether hovering over a task shows what it is; this makes the file larger. */
  readonly hover?: boolean;
  /** The name of the unit of time. */
  readonly unit?: string;
  /** Draw only what runs in this window of time. */
  readonly window?: readonly [from: number, to: number];
}

/** The fills suit dark text on light and on dark pages, and differ in lightness as well as in hue. */
export const kinds: Readonly<Record<TaskKind, { readonly colour: string; readonly means: string }>> = {
  forward: { colour: "#78b0ff", means: "forward" },
  backward: { colour: "#5cc79a", means: "backward" },
  weights: { colour: "#d3e27c", means: "weight gradients" },
  both: { colour: "#b9a3e3", means: "forward and backward woven" },
  connection: { colour: "#ff7f5c", means: "connection: pre, post" },
  recompute: { colour: "#ffd166", means: "recomputation" },
  dispatch: { colour: "#a9b8d0", means: "dispatch to experts" },
  combine: { colour: "#7f93b2", means: "combine from experts" },
  message: { colour: "#e58fd4", means: "message between stages" },
};

const pictureRules: FieldRules<Picture> = { title: "text", run: "group" };

const LEFT = 62;
const RIGHT = 128;
const HEAD = 40;
const AXIS = 26;
const COMPUTE = 24;
const LINK = 13;
const GAP = 6;
const EDGE = 1.6;

/** One digit after the point, for lengths and for numbers to read. */
const short = (value: number): string => String(Math.round(value * 10) / 10);

/**
 * Draw timelines, one below the other on one time scale, as an SVG for light and dark pages.
 *
 * @throws RangeError if the window to draw is empty or lies after the end
 */
export function timelineSvg(pictures: readonly Picture[], options: TimelineSvgOptions = {}): string {
  expectFields("timelineSvg", options, { width: "number", hover: "flag", unit: "text", window: "list" });
  const { width = 1200, hover = false, unit = "units of time" } = options;
  for (const picture of pictures) {
    expectFields("timelineSvg", picture, pictureRules, "field of a picture");
    expectGiven("timelineSvg", picture, pictureRules, ["title", "run"]);
  }
  if (!(width > LEFT + RIGHT && width < Infinity))
    throw new RangeError(`timelineSvg: width is ${width}; it must be above ${LEFT + RIGHT} pixels. Give such as 1200.`);
  const longest = Math.max(...pictures.map(({ run }) => run.report.makespan), Number.MIN_VALUE);
  const [from, to] = options.window ?? [0, longest];
  if (!(from >= 0 && from < to && from < longest))
    throw new RangeError(
      `The window to draw must begin before it ends, within 0 to ${short(longest)}; got ${from} to ${to}.`,
    );
  const scale = (width - LEFT - RIGHT) / (Math.min(to, longest) - from);
  const body: string[] = [];
  let top = 8;
  for (const { title, run } of pictures) {
    const { lines, height } = panel(title, run, { top, from, to, scale, hover, unit });
    body.push(...lines);
    top += height;
  }
  const legend = legendLines(pictures, width, top + 4);
  const height = top + 4 + legend.height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(pictures.map(({ title }) => title).join("; "))}</title>`,
    `<style>${styles()}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    ...body,
    ...legend.lines,
    "</svg>\n",
  ].join("\n");
}

function styles(): string {
  const fills = Object.entries(kinds).map(([kind, { colour }]) => `.${kind}{fill:${colour}}`);
  return [
    "text{font:11px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2733}",
    ".page{fill:#fff}.lane{fill:#eceff4}.tick{stroke:#c9d0db;stroke-width:1}",
    ".title{font-size:14px;font-weight:600}.quiet{fill:#5d6b80}.in{font-size:9px;fill:#12171f;text-anchor:middle;pointer-events:none}",
    // Tasks that run from the last stage to the first have a darker lower edge.
    ".edge{fill:#12171f;fill-opacity:.55}",
    ".cut{stroke:#fff;stroke-width:.6;stroke-opacity:.85}",
    ...fills,
    "@media (prefers-color-scheme:dark){text{fill:#e4e9f1}.page{fill:#12171f}.lane{fill:#242c38}.tick{stroke:#3a4454}.quiet{fill:#9aa8bc}.in{fill:#12171f}.cut{stroke:#12171f}}",
  ].join("");
}

interface Place {
  readonly top: number;
  readonly from: number;
  readonly to: number;
  readonly scale: number;
  readonly hover: boolean;
  readonly unit: string;
}

function panel(title: string, run: SimulatedSchedule, { top, from, to, scale, hover, unit }: Place) {
  const { report, timeline, shape } = run;
  const links = timeline.tasks.some(({ stream }) => stream === "communication");
  const row = COMPUTE + (links ? LINK : 0) + GAP;
  const place = (time: number): number => LEFT + (time - from) * scale;
  const end = Math.max(LEFT, place(Math.min(report.makespan, to)));
  const summary = [
    `${short(report.makespan)} ${unit}`,
    `bubble ${showPercent(report.bubble)}`,
    `at most ${short(report.peakMemory)} ${report.peakMemory === 1 ? "micro-batch" : "micro-batches"} held`,
    ...(report.exposed > 0.0005 ? [`exposed communication ${showPercent(report.exposed)}`] : []),
  ].join(" · ");
  const lines = [
    `<text class="title" x="${LEFT}" y="${top + 14}">${escape(title)}</text>`,
    `<text class="quiet" x="${LEFT}" y="${top + 30}">${escape(summary)}</text>`,
  ];
  const first = top + HEAD;
  const bottom = first + row * timeline.stages;
  for (const { stage, bubble, peakMemory } of report.stages) {
    const y = first + row * stage;
    lines.push(
      `<text x="${LEFT - 8}" y="${y + 16}" text-anchor="end">stage ${stage}</text>`,
      `<rect class="lane" x="${LEFT}" y="${y}" width="${short(end - LEFT)}" height="${row - GAP}"/>`,
      `<text class="quiet" x="${short(end + 8)}" y="${y + 16}">idle ${showPercent(bubble)}, holds ${short(peakMemory)}</text>`,
    );
  }
  const fromBack = timeline.tasks.some(({ kind }) => kind === "both") || run.schedule === "dualpipe";
  const reverse = ({ microBatch }: PassPart): boolean => fromBack && microBatch >= shape.microBatches / 2;
  for (const task of timeline.tasks) {
    const y = first + row * task.stage + (task.stream === "communication" ? COMPUTE : 0);
    const height = task.stream === "communication" ? LINK - 1 : COMPUTE - 1;
    for (const [start, stop] of task.segments) {
      const x = place(Math.max(start, from));
      const w = place(Math.min(stop, to)) - x;
      if (w <= 0) continue;
      const boxes = boxesOf(task);
      for (const [i, { kind, part }] of boxes.entries()) {
        const h = height / boxes.length;
        const at = { x, y: y + i * h, w, h };
        lines.push(box(kind, at, hover ? hoverText(task, start, stop) : undefined));
        if (reverse(part)) lines.push(rect("edge", { ...at, y: at.y + at.h - EDGE, h: EDGE }));
        const text = fitting(task, part, w, h);
        if (text !== undefined)
          lines.push(
            `<text class="in" x="${short(x + w / 2)}" y="${short(at.y + h / 2 + 2.9)}">${escape(text)}</text>`,
          );
      }
    }
  }
  for (const tick of ticks(from, Math.min(report.makespan, to))) {
    const x = short(place(tick));
    lines.push(
      `<line class="tick" x1="${x}" x2="${x}" y1="${bottom}" y2="${bottom + 4}"/>`,
      `<text class="quiet" x="${x}" y="${bottom + 15}" text-anchor="middle">${short(tick)}</text>`,
    );
  }
  return { lines, height: bottom + AXIS + 8 - top };
}

/** A woven block is drawn as its two passes, one above the other. */
function boxesOf(task: TimedTask): { kind: TaskKind; part: PassPart }[] {
  if (task.kind !== "both") return [{ kind: task.kind, part: task.parts[0]! }];
  return task.parts.map((part) => ({ kind: part.pass === "forward" ? "forward" : "backward", part }));
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

const rect = (classes: string, { x, y, w, h }: Box): string =>
  `<rect class="${classes}" x="${short(x)}" y="${short(y)}" width="${short(w)}" height="${short(h)}"/>`;

function box(kind: TaskKind, at: Box, hover: string | undefined): string {
  // Lines between tasks would cover tasks that are only a pixel or two wide.
  const drawn = rect(at.w > 5 ? `${kind} cut` : kind, at);
  return hover === undefined ? drawn : `${drawn.slice(0, -2)}><title>${escape(hover)}</title></rect>`;
}

const CHARACTER = 5.4;

/** The longest text that fits into a task: what it is and which micro-batch, or the micro-batch alone. */
function fitting(
  { label, stream, kind }: TimedTask,
  part: PassPart,
  width: number,
  height: number,
): string | undefined {
  const micro = String(part.microBatch);
  const single = label.length < 3 || kind === "both";
  const texts = stream === "communication" || single ? [micro] : [`${label} ${micro}`, label, micro];
  return height < 9 ? undefined : texts.find((text) => text.length * CHARACTER + 4 < width);
}

function hoverText({ label, parts, duration, segments }: TimedTask, start: number, stop: number): string {
  const whom = parts.map(
    ({ pass, position, microBatch }) => `${pass} of micro-batch ${microBatch}, position ${position}`,
  );
  const broken = segments.length > 1 ? ` (one of ${segments.length} parts of ${duration.toFixed(3)})` : "";
  return `${label}: ${whom.join(" and ")}, ${start.toFixed(3)} to ${stop.toFixed(3)}${broken}`;
}

/** About eight round numbers, for the axis. */
function ticks(from: number, to: number): number[] {
  if (to <= from) return [];
  const rough = (to - from) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough)!;
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

function legendLines(pictures: readonly Picture[], width: number, top: number) {
  const used = new Set(
    pictures.flatMap(({ run }) => run.timeline.tasks.flatMap((task) => boxesOf(task).map(({ kind }) => kind))),
  );
  const entries: { classes: string; text: string }[] = Object.entries(kinds)
    .filter(([kind]) => used.has(kind as TaskKind))
    .map(([kind, { means }]) => ({ classes: kind, text: means }));
  entries.push({ classes: "lane", text: "idle" });
  const both = pictures.some(({ run }) => run.schedule === "dualpipe");
  if (both) entries.push({ classes: "edge", text: "dark edge: runs from the last stage to the first" });
  const lines: string[] = [];
  let [x, y] = [LEFT, top];
  for (const { classes, text } of entries) {
    const needed = 34 + text.length * 6;
    if (x + needed > width - 8) [x, y] = [LEFT, y + 18];
    lines.push(
      rect(classes === "edge" ? "forward" : classes, { x, y, w: 14, h: 12 }),
      ...(classes === "edge" ? [rect("edge", { x, y: y + 9, w: 14, h: 3 })] : []),
      `<text x="${x + 20}" y="${y + 10}">${escape(text)}</text>`,
    );
    x += needed;
  }
  return { lines, height: y - top + 24 };
}
