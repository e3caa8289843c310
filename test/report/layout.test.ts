// How figures are laid out: axes and titles below each other, scales that fit the runs that did not diverge, labels that
// do not crowd, and matrices without numbers that nobody reads as zeros.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Figure, Part } from "../../src/report/figures/figure.ts";
import { gainMapFigure, gainProfileFigure, gainTimeFigure } from "../../src/report/figures/gains.ts";
import { mixingFigure } from "../../src/report/figures/mixing.ts";
import { paperFigures } from "../../src/report/figures/paper.ts";
import { gradientNormFigure, lossFigure, lossGapFigure, validationFigure } from "../../src/report/figures/training.ts";
import { renderSvg } from "../../src/report/render.ts";
import { reportHtml } from "../../src/report/report-page.ts";
import { readRunData, type RunData } from "../../src/runs/run-data.ts";
import { storeRun } from "./stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "layout-"));
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));
let runs: RunData[];
let diverged: RunData;
beforeAll(() => {
  runs = (["residual", "hc", "mhc"] as const).map((kind) =>
    readRunData(storeRun(parent, { name: kind, kind, seed: 1 })),
  );
  const hc = readRunData(storeRun(parent, { name: "wild", kind: "hc", seed: 1, layers: 6 }));
  diverged = {
    ...hc,
    metrics: hc.metrics.map((record) => ({
      ...record,
      loss: 1000 + record.step,
      ...(record.validationLoss === undefined ? {} : { validationLoss: 2000 }),
    })),
    gains: hc.gains.map((record) => ({
      ...record,
      composite: { forward: [1, 1e9], backward: [1e9, 1] },
    })),
    events: [
      { step: 200, rule: "diverged", action: "stop", message: "the run diverges" },
    ] as unknown as RunData["events"],
  };
});

/** Where the plots of a drawing begin: the drawing's own shift and that of its groups. */
async function leftEdges({ spec }: Figure): Promise<Set<number>> {
  const svg = await renderSvg(spec);
  const root = Number(/<g fill="none"[^>]*transform="translate\(([\d.]+),/.exec(svg)![1]);
  const rows = [...svg.matchAll(/role-scope concat_\d+_(?:concat_0_)?group"[^>]*><g transform="translate\(([\d.]+),/g)];
  return new Set(rows.length === 0 ? [root] : rows.map(([, x]) => root + Number(x)));
}

test("plots above each other begin at one place, whatever their labels", async () => {
  const figures = [lossFigure, validationFigure, gradientNormFigure, gainTimeFigure, gainMapFigure].map((figure) =>
    figure([...runs, diverged])!,
  );
  const edges = new Set<number>();
  for (const figure of [...figures, lossGapFigure(runs)!]) for (const edge of await leftEdges(figure)) edges.add(edge);
  expect([...edges]).toHaveLength(1);
});

test("titles of rows have one indent", async () => {
  for (const figure of [gainProfileFigure([...runs, diverged])!, mixingFigure([...runs, diverged])!]) {
    const svg = await renderSvg(figure.spec);
    const titles = [
      ...svg.matchAll(/role-title"><g transform="translate\((-?[\d.]+),[^]*?Title text '([^']*step[^']*)'/g),
    ];
    expect(titles.length, figure.name).toBeGreaterThan(2);
    expect(new Set(titles.map(([, x]) => x)).size, figure.name).toBe(1);
  }
});

const partsOf = (spec: unknown): Part[] =>
  Array.isArray(spec)
    ? spec.flatMap(partsOf)
    : typeof spec === "object" && spec !== null
      ? [spec as Part, ...Object.entries(spec).flatMap(([key, value]) => (key === "values" ? [] : partsOf(value)))]
      : [];

test("colours of a map end at the largest factor of the runs that did not diverge, and at its inverse", () => {
  const domainOf = (all: readonly RunData[]): number[] =>
    partsOf(gainMapFigure(all)!.spec).find(({ interpolate }) => interpolate === "lab")!.domain as number[];
  const widest = Math.max(...runs.flatMap(({ gains }) => gains.flatMap(({ composite }) => composite?.backward ?? [])));
  const [low, middle, high] = domainOf([...runs, diverged]) as [number, number, number];
  expect(middle).toBe(1);
  expect(high / widest).toBeCloseTo(1, 4);
  expect(low).toBeCloseTo(1 / high, 9);
  // Alone it has the whole scale, up to where factors look alike.
  expect(domainOf([diverged])[2]).toBe(1e6);
});

test("a map has at most eleven labels of steps, all multiples of a round number", () => {
  const [map] = partsOf(gainMapFigure(runs)!.spec).filter(({ mark }) => (mark as Part | undefined)?.type === "rect");
  const { values } = ((map!.encoding as Part).x as { axis: { values: number[] } }).axis;
  expect(values.length).toBeGreaterThan(1);
  expect(values.length).toBeLessThan(12);
  for (const step of values) expect(step % 20).toBe(0);
});

test("an axis of losses fits the runs that did not diverge, and the caption says so", () => {
  for (const figure of [lossFigure, validationFigure, lossGapFigure]) {
    const { spec, caption } = figure([...runs, diverged])!;
    const domains = partsOf(spec).flatMap(({ domain }) =>
      typeof (domain as unknown[])?.[0] === "number" ? [domain] : [],
    );
    expect(domains.length).toBeGreaterThan(0);
    for (const [, high] of domains as [number, number][]) expect(high).toBeLessThan(20);
    expect(partsOf(spec).filter(({ clip }) => clip === true).length).toBeGreaterThan(1);
    expect(caption).toContain("A run that diverged leaves the axis");
    expect(figure(runs)!.caption).not.toContain("diverged");
  }
  // Alone it is shown whole.
  expect(partsOf(lossFigure([diverged])!.spec).some(({ clip }) => clip === true)).toBe(false);
});

test("the paper's matrices whose numbers are not known are hatched, and the caption is the legend", async () => {
  const figure = paperFigures(runs).find(({ name }) => name === "figure-8")!;
  const hatched = partsOf(figure.spec).filter(({ type, shape }) => type === "point" && shape !== undefined);
  expect(hatched).toHaveLength(4);
  expect(figure.caption).toContain("hatched ones: only their sums are known here");
});

test("the paper's gradient norms have an axis of their own", () => {
  const figure = paperFigures(runs).find(({ name }) => name === "figure-2")!;
  const right = partsOf(figure.spec).filter(({ orient }) => orient === "right");
  expect(right.length).toBeGreaterThan(0);
  expect(figure.caption).toContain("the paper's norms have the axis on the right");
});

test("versions are a sentence", async () => {
  const page = await reportHtml(runs);
  expect(page).toContain("Trained with Node 24.0.0 and kernels relaxed 8.");
  expect(page).not.toContain("{&quot;node&quot;");
});
