// Draw what mHC costs over plain residuals, against the width and the number of streams, for the docs.
// Run: npx birkhoff bench chart.overhead --json > overhead.jsonl
//      node scripts/draw-overhead.ts overhead.jsonl docs/overhead.svg

import { readFileSync, writeFileSync } from "node:fs";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { chartPoint } from "../bench/overhead.ts";
import type { Figure } from "../bench/lib/report.ts";
import { colourOf, mixed } from "../src/report/figures/palette.ts";

const [from, to] = process.argv.slice(2);
if (!from || !to) throw new Error("usage: node scripts/draw-overhead.ts FIGURES.jsonl OUTPUT.svg");

const figures = readFileSync(from, "utf8")
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line) as Figure);
const points = figures.flatMap((figure) => {
  const point = chartPoint(figure.name);
  return point && "value" in figure ? [{ ...point, stored: `streams in ${point.precision}`, extra: figure.value }] : [];
});
if (points.length === 0)
  throw new Error(`${from} has no figure chart.overhead.*; make it as the first line here says.`);

/** Every line is mHC: shades of its colour, darker with more streams. */
const mhc = colourOf("mhc");
const greens = [mixed(mhc, "#ffffff", 0.6), mixed(mhc, "#ffffff", 0.3), mhc, mixed(mhc, "#15171c", 0.6)];
const spec: TopLevelSpec = {
  background: "white",
  config: { font: "Helvetica, Arial, sans-serif", axis: { grid: true, gridOpacity: 0.4 } },
  data: { values: points },
  facet: { column: { field: "stored", title: null, sort: "descending" } },
  spec: {
    width: 300,
    height: 260,
    mark: { type: "line", point: true, strokeWidth: 1.6 },
    encoding: {
      x: {
        field: "width",
        type: "quantitative",
        title: "channels C",
        scale: { type: "log", base: 2, domain: [224, 1440], nice: false },
        axis: { values: [256, 512, 1280], format: "d" },
      },
      y: {
        field: "extra",
        type: "quantitative",
        title: "extra time of forward + backward",
        axis: { format: ".0%" },
        scale: { zero: true },
      },
      color: {
        field: "streams",
        type: "ordinal",
        legend: { title: "streams n", orient: "right" },
        scale: { domain: [1, 2, 4, 8], range: greens },
      },
    },
  },
};
const view = new View(parse(compile(spec).spec), { renderer: "none" });
writeFileSync(to, await view.toSVG());
