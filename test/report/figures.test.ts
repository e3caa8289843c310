import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Figure } from "../../src/report/figures/figure.ts";
import { figure6, paperFigures } from "../../src/report/figures/paper.ts";
import { kindColours } from "../../src/report/figures/palette.ts";
import { bandOf, type Point, seriesOf, smooth, type Spread, thin } from "../../src/report/figures/series.ts";
import { lossFigure, lossGapFigure } from "../../src/report/figures/training.ts";
import { figure8 } from "../../src/report/paper-figures.ts";
import { renderPng, renderSvg } from "../../src/report/render.ts";
import { reportFigures } from "../../src/report/report-page.ts";
import { readRunData, type RunData } from "../../src/runs/run-data.ts";
import { amaxGain } from "../../src/stability/gains.ts";
import { storeRun } from "./stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "figures-"));
let runs: RunData[];
beforeAll(() => {
  const stored = (["residual", "hc", "mhc"] as const).flatMap((kind) =>
    [1, 2].map((seed) => storeRun(parent, { name: `${kind}-s${seed}`, kind, seed })),
  );
  runs = stored.map(readRunData);
});
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));

test("curves are broken where the loss is not finite, and nowhere else", async () => {
  const [run] = runs as [RunData];
  const wrong = (steps: readonly number[]): RunData => ({
    ...run,
    metrics: run.metrics.map((record) => (steps.includes(record.step) ? { ...record, loss: NaN } : record)),
  });
  /** Strokes of the drawn lines, the faint and the smoothed one. */
  const strokes = async (of: RunData): Promise<number[]> => {
    const svg = await renderSvg(lossFigure([of])!.spec);
    const lines = [...svg.matchAll(/aria-roledescription="line mark container"[^]*?<path[^>]* d="([^"]*)"/g)];
    return lines.map(([, d = ""]) => d.match(/M/g)?.length ?? 0);
  };
  expect(await strokes(run)).toEqual([1, 1]);
  expect(await strokes(wrong([60, 61, 62, 120]))).toEqual([3, 3]);
});

describe("series", () => {
  test("runs that differ in the seed are one, and a connection has its colour", () => {
    const series = seriesOf(runs);
    expect(series.map(({ label, kind }) => [label, kind])).toEqual([
      ["residual (2 seeds)", "residual"],
      ["HC (2 seeds)", "hc"],
      ["mHC (2 seeds)", "mhc"],
    ]);
    expect(series.map(({ colour }) => colour)).toEqual([kindColours.residual, kindColours.hc, kindColours.mhc]);
  });

  test("two configurations of a connection differ in their dashes", () => {
    const other = readRunData(
      storeRun(parent, {
        name: "other",
        kind: "mhc",
        change: (config) => ({ ...config, batch: 8 }),
      }),
    );
    const [first, second] = seriesOf([runs[4]!, other]);
    expect(second!.colour).toBe(first!.colour);
    expect(second!.dash).not.toEqual(first!.dash);
  });

  test("thinning keeps the smallest and the largest value", () => {
    const points = Array.from({ length: 10_000 }, (_, x): Point => [x, x === 7321 ? 99 : Math.sin(x / 50)]);
    const few = thin(points, 500);
    expect(few.length).toBeLessThanOrEqual(500);
    expect(few.some(([x, y]) => x === 7321 && y === 99)).toBe(true);
    expect(few.map(([x]) => x)).toEqual(few.map(([x]) => x).sort((a, b) => a - b));
  });

  test("smoothing leaves a constant as it is, a band spans its curves", () => {
    const flat = Array.from({ length: 100 }, (_, x): Point => [x, 3]);
    expect(smooth(flat).every(([, y]) => Math.abs(y - 3) < 1e-12)).toBe(true);
    expect(
      bandOf([
        [
          [1, 2],
          [2, 4],
        ],
        [[1, 6]],
      ]),
    ).toEqual([{ x: 1, mean: 4, median: 4, least: 2, largest: 6 }]);
  });
});

describe("drawing", () => {
  test("every figure compiles and is drawn without a warning", async () => {
    const figures = [...reportFigures(runs, { paper: true }), figure6(scaling)!];
    expect(figures.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "loss",
        "loss-gap",
        "gains",
        "gain-map",
        "mixing",
        "saturation",
        "stream-use",
        "figure-8",
      ]),
    );
    expect(new Set(figures.map(({ name }) => name)).size).toBe(figures.length);
    for (const { name, spec } of figures) {
      const told: string[] = [];
      const svg = await renderSvg(spec, { onWarning: (message) => told.push(message) });
      expect(told, name).toEqual([]);
      expect(/NaN|undefined/.test(svg), name).toBe(false);
    }
  });

  test("a loss chart has a line for each connection in its colour, and the band of its seeds", async () => {
    const svg = await renderSvg(lossFigure(runs)!.spec);
    for (const kind of ["residual", "hc", "mhc"]) expect(svg.includes(`stroke="${kindColours[kind]}"`)).toBe(true);
    expect(svg.match(/mark-area/g)!.length).toBeGreaterThan(0);
    expect(svg.includes("HC (2 seeds)")).toBe(true);
  });

  test("the loss gap is that of the records", () => {
    const { spec } = lossGapFigure(runs)!;
    const values = valuesOf(spec).filter(({ series }) => series === "mHC (2 seeds)");
    const last = values.at(-1)!;
    // The fixture's mHC ends 0.08 below its residual runs, with the same noise for the same seed.
    expect(last.step).toBe(200);
    expect(last.y).toBeCloseTo(-0.08, 2);
  });

  test("ids of two drawings in one page do not meet", async () => {
    const { spec } = paperFigures(runs)[0]!;
    const [a, b] = [await renderSvg(spec, { prefix: "a-" }), await renderSvg(spec, { prefix: "b-" })];
    const ids = (svg: string): string[] => [...svg.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!);
    expect(ids(a).length).toBeGreaterThan(0);
    expect(ids(a).filter((id) => ids(b).includes(id))).toEqual([]);
    for (const [, id] of a.matchAll(/url\(#([^)]+)\)/g)) expect(ids(a)).toContain(id);
  });

  test("a PNG is one", async () => {
    const png = await renderPng(await renderSvg(lossFigure(runs.slice(0, 1))!.spec, { background: "white" }), 1);
    expect([...png.subarray(1, 4)].map((byte) => String.fromCharCode(byte)).join("")).toBe("PNG");
    expect(png.length).toBeGreaterThan(5000);
  });
});

describe("beside the paper", () => {
  test("its values stand only where they are known", () => {
    const figures = new Map(paperFigures(runs).map((figure) => [figure.name, JSON.stringify(figure.spec)]));
    expect([...figures.keys()]).toEqual(["figure-2", "figure-3", "figure-5", "figure-7", "figure-8"]);
    // Composite backward gain of HC at sublayer 1, and the peak of mHC's.
    expect(figures.get("figure-3")!.includes('"gain":259')).toBe(true);
    expect(figures.get("figure-7")!.includes('"gain":1.65')).toBe(true);
    expect(figures.get("figure-8")!.includes('"value":5.43')).toBe(true);
    const plain = reportFigures(runs).map(({ spec }) => JSON.stringify(spec));
    expect(plain.some((spec) => spec.includes('"gain":259') || spec.includes("27B"))).toBe(false);
  });

  test("there is none for runs that lack a connection", () => {
    expect(paperFigures(runs.slice(0, 2))).toEqual([]);
    expect(paperFigures(runs.filter(({ name }) => name.startsWith("mhc"))).map(({ name }) => name)).toEqual([
      "figure-7",
      "figure-8",
    ]);
  });

  test("the printed matrix of HC has the gains that the paper states", () => {
    const [first] = figure8.hc;
    expect(amaxGain(first!.matrix!, 4).forward).toBeCloseTo(18.72, 2);
    expect(amaxGain(first!.matrix!, 4).backward).toBeCloseTo(6.81, 2);
  });

  test("old gains without matrices still give profiles", () => {
    const old = readRunData(storeRun(parent, { name: "old", kind: "hc", oldGains: true }));
    expect(reportFigures([old]).map(({ name }: Figure) => name)).toEqual([
      "loss",
      "validation-loss",
      "gradient-norm",
      "gains",
      "gain-by-step",
      "gain-map",
    ]);
  });
});

const spread = (mean: number, width: number): Spread => ({
  mean,
  median: mean,
  least: mean - width,
  largest: mean + width,
});
const scaling = [1e13, 5e13].map((flops, index) => ({
  name: `${index + 1} layers`,
  label: "mhc",
  kind: "mhc",
  flops,
  seeds: 3,
  gap: spread(-0.02, 0.005),
  relative: spread(99, 0.1),
}));

interface Value {
  readonly series?: string;
  readonly step: number;
  readonly y: number;
}

function valuesOf(spec: unknown): Value[] {
  if (typeof spec !== "object" || spec === null) return [];
  if (Array.isArray(spec)) return spec.flatMap(valuesOf);
  return Object.entries(spec).flatMap(([key, inner]) => (key === "values" ? (inner as Value[]) : valuesOf(inner)));
}
