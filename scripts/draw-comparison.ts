// Draw a comparison for the README: training loss and composite gain over the steps.
// Run: node scripts/draw-comparison.ts runs/sotu-nano-1 docs/comparison.svg

import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { largestComposite } from "../src/stability/gains.ts";
import { colourOf } from "../src/report/figures/palette.ts";
import { readGains, readMetrics } from "../src/runs/run-folder.ts";

const [folder, output] = process.argv.slice(2);
if (!folder || !output) throw new Error("usage: node scripts/draw-comparison.ts COMPARISON_FOLDER OUTPUT.svg");

const names = { residual: "residual", hc: "HC", mhc: "mHC" } as const;
const SMOOTHING = 15;
const kinds = (["residual", "hc", "mhc"] as const).filter((kind) => existsSync(path.join(folder, kind)));

const losses = kinds.flatMap((kind) => {
  const metrics = readMetrics(path.join(folder, kind));
  return metrics.map(({ step }, index) => {
    const window = metrics.slice(Math.max(0, index - SMOOTHING + 1), index + 1);
    return { model: names[kind], step, loss: window.reduce((sum, { loss }) => sum + loss, 0) / window.length };
  });
});
const gains = kinds.flatMap((kind) =>
  readGains(path.join(folder, kind)).flatMap((record) => {
    const { forward, backward } = largestComposite(record);
    return [
      { model: names[kind], step: record.step, direction: "forward", gain: forward },
      { model: names[kind], step: record.step, direction: "backward", gain: backward },
    ];
  }),
);

const colour = {
  field: "model",
  type: "nominal",
  legend: { title: null, orient: "top" },
  scale: { domain: ["residual", "HC", "mHC"], range: ["residual", "hc", "mhc"].map(colourOf) },
} as const;
const spec: TopLevelSpec = {
  background: "white",
  config: { font: "Helvetica, Arial, sans-serif", axis: { grid: true, gridOpacity: 0.4 } },
  resolve: { scale: { color: "shared" } },
  hconcat: [
    {
      width: 380,
      height: 240,
      title: "Training loss, nats a token",
      data: { values: losses },
      mark: { type: "line", strokeWidth: 1.6 },
      encoding: {
        x: { field: "step", type: "quantitative", title: "step" },
        y: { field: "loss", type: "quantitative", title: null, scale: { zero: false } },
        color: colour,
      },
    },
    {
      width: 380,
      height: 240,
      title: "Largest composite Amax gain",
      data: { values: gains },
      mark: { type: "line", strokeWidth: 1.6 },
      encoding: {
        x: { field: "step", type: "quantitative", title: "step" },
        y: { field: "gain", type: "quantitative", title: null, scale: { type: "log", domainMin: 0.9 } },
        color: colour,
        strokeDash: { field: "direction", type: "nominal", legend: { title: null, orient: "right" } },
      },
    },
  ],
};
const view = new View(parse(compile(spec).spec), { renderer: "none" });
writeFileSync(output, await view.toSVG());
