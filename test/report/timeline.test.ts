// Drawings: every task is there, the text is safe, and the pictures in docs/ are what the command draws today.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compareOverlap } from "../../src/planning/pipeline/compare.ts";
import { fullOverlap, layerCosts } from "../../src/planning/pipeline/layer-costs.ts";
import { layerTimes, paper27b } from "../../src/planning/pipeline/paper-times.ts";
import { passCosts } from "../../src/planning/pipeline/pass-costs.ts";
import { simulateSchedule } from "../../src/planning/pipeline/schedules.ts";
import { timelineHtml } from "../../src/report/timeline-html.ts";
import { kinds, timelineSvg } from "../../src/report/timeline-svg.ts";

const shape = { stages: 4, microBatches: 8, chunks: 1 };
const layered = simulateSchedule("dualpipe", shape, () =>
  layerCosts(layerTimes(paper27b, "mhc").times, 1, fullOverlap),
);
const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

describe("a drawing", () => {
  test("has a box for every segment of every task, each of which tells itself on hover", () => {
    const svg = timelineSvg([{ title: "all", run: layered }], { hover: true });
    const segments = layered.timeline.tasks.flatMap(({ segments }) => segments).length;
    expect(segments).toBeGreaterThan(layered.timeline.tasks.length);
    expect(count(svg, /<rect[^>]*><title>/g)).toBe(segments);
    for (const label of ["post^M(F)", "recompute", "PP(B)", "DISPATCH(F)"]) expect(svg).toContain(`<title>${label}: `);
  });

  test("draws a woven block as its two passes, with their micro-batches", () => {
    const run = simulateSchedule("dualpipe", shape, () => passCosts({ forward: 1, backward: 2, weights: 1 }));
    const woven = run.timeline.tasks.filter(({ kind }) => kind === "both").length;
    const blocks = run.timeline.tasks.length;
    expect(woven).toBeGreaterThan(0);
    const svg = timelineSvg([{ title: "woven", run }]);
    const boxes = count(svg, /<rect class="(forward|backward|weights)( cut)?"/g);
    // Three boxes of the legend show the colours, one more what a dark edge is.
    expect(boxes).toBe(blocks + woven + 4);
    expect(count(svg, /<text class="in"/g)).toBe(blocks + woven);
  });

  test("a window shows only what runs in it", () => {
    const svg = timelineSvg([{ title: "part", run: layered }], { hover: true, window: [5, 8] });
    const inside = layered.timeline.tasks.flatMap(({ segments }) =>
      segments.filter(([start, end]) => start < 8 && end > 5),
    );
    expect(count(svg, /<rect[^>]*><title>/g)).toBe(inside.length);
    for (const [, x, w] of svg.matchAll(
      /<rect class="\w+(?: cut)?" x="([\d.]+)" [^>]*width="([\d.]+)"[^>]*><title>/g,
    )) {
      expect(Number(x)).toBeGreaterThanOrEqual(62);
      expect(Number(x) + Number(w)).toBeLessThanOrEqual(1200 - 128 + 0.2);
    }
    expect(() => timelineSvg([{ title: "none", run: layered }], { window: [900, 901] })).toThrow(
      /must begin before it ends, within 0 to [\d.]+; got 900 to 901/,
    );
  });

  test("escapes what it is given and stands alone as a page", () => {
    const page = timelineHtml({
      title: '<b>&"',
      notes: ["a < b"],
      tables: [{ caption: "figures", head: ["schedule", "time"], rows: [["x>y", "1"]] }],
      pictures: [{ title: "<script>", run: layered }],
    });
    expect(page).not.toMatch(/<script|<b>|(src|href)=|url\(/);
    expect(page).toContain("x&gt;y");
    expect(page).toContain("prefers-color-scheme:dark");
    expect(page).toContain(kinds.recompute.means);
  });
});

// The defaults of the command.
const rows = compareOverlap({ stages: 8, microBatches: 32, chunks: 1 }, paper27b, 4);

describe("the comparison of connections", () => {
  const of = (title: string) => rows.find((row) => row.title === title)!;

  test("mHC costs time, less with the paper's overlap, and never less than its computation", () => {
    const [residual, plain, both] = ["residual", "mHC without overlap", "mHC with both"].map(of);
    expect([residual!.extra, residual!.steadyExtra]).toEqual([0, 0]);
    expect(both!.extra).toBeGreaterThan(0);
    expect(both!.extra).toBeLessThan(plain!.extra);
    expect(both!.steadyExtra).toBeLessThan(plain!.steadyExtra);
    for (const { run } of rows) expect(run.report.makespan).toBeGreaterThan(run.report.stages[0]!.busy);
  });

  test("computation is the same for every choice of overlap", () => {
    const [busy, ...others] = rows.slice(1).map(({ run }) => run.report.stages.map(({ busy }) => busy));
    for (const other of others) for (const [stage, time] of other.entries()) expect(time).toBeCloseTo(busy![stage]!, 8);
  });

  test("a given ratio of the connection is the time of its kernels beside the layer's computation", () => {
    const { times } = layerTimes({ ...paper27b, connectionShare: 0.2 }, "mhc");
    expect(2 * (times.connection.pre.forward + times.connection.post.forward)).toBeCloseTo(0.2, 12);
    expect(times.attention.forward + times.mlp.forward).toBeCloseTo(1, 12);
  });

  test("messages grow with the streams", () => {
    const message = (streams: number): number => layerTimes({ ...paper27b, streams }, "mhc").times.message;
    expect(message(4)).toBeCloseTo(4 * layerTimes(paper27b, "residual").times.message, 12);
    expect(message(8)).toBeCloseTo(2 * message(4), 12);
  });
});

describe("docs/pipeline", () => {
  const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

  test("has a line for every schedule and the figures of today's defaults", () => {
    const page = read("pipeline.md");
    for (const { title, extra, steadyExtra } of rows.slice(1))
      expect(page).toContain(`| ${title} | ${(100 * extra).toFixed(1)} % | ${(100 * steadyExtra).toFixed(1)} % |`);
  });
});
