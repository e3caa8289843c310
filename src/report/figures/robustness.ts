// Question: how far do disturbances move what a model predicts?
//
// The points are divergences of the next token's distribution, on a logarithmic axis: means over seeds, with their 95 %
// intervals.

import type { RunData } from "../../runs/run-data.ts";
import { robustnessEstimate, robustnessLines, robustnessSeries } from "../robustness-tables.ts";
import { type Figure, logarithmicAxis, seriesEncoding, WIDTH, wholeSpec } from "./figure.ts";
import { digits } from "./series.ts";

/** Smaller divergences are rounding errors of the computation itself. */
const LEAST = 1e-7;

/** The divergence by disturbance; undefined where no run was disturbed. */
export function robustnessFigure(runs: readonly RunData[]): Figure | undefined {
  const series = robustnessSeries(runs);
  const lines = robustnessLines(series);
  const values = lines.flatMap((line) =>
    series.flatMap((one) => {
      const found = robustnessEstimate(one, line, "divergence");
      if (!found || !(found.mean > LEAST)) return [];
      const { mean, half } = found;
      const range = half === undefined ? {} : { low: digits(Math.max(LEAST, mean - half)), high: digits(mean + half) };
      return [{ name: line.name, value: digits(mean), ...range, series: one.label }];
    }),
  );
  if (values.length === 0) return undefined;
  const axis = logarithmicAxis(values.flatMap(({ value, low = value, high = value }) => [low, value, high]));
  const x = { field: "value", type: "quantitative", title: "divergence, nats a token", ...axis };
  const { color } = seriesEncoding(series);
  return {
    name: "robustness",
    title: "Robustness",
    caption:
      "How far each disturbance moves the distribution of the next token from that of the unchanged model (Kullback and Leibler's divergence, logarithmic): means over seeds, and their 95 % intervals where there are several; an interval that reaches 0 ends at the left edge.",
    spec: wholeSpec({
      width: WIDTH - 320,
      height: Math.max(90, lines.length * (14 + 7 * series.length)),
      data: { values },
      encoding: {
        y: {
          field: "name",
          type: "nominal",
          title: null,
          sort: lines.map(({ name }) => name),
          axis: { labelLimit: 270, ticks: false, grid: true, minExtent: 0, maxExtent: 280 },
        },
        yOffset: { field: "series", type: "nominal", scale: { paddingOuter: 0.6 } },
        color: { ...(color as object), legend: { title: null, symbolType: "circle" } },
      },
      layer: [
        {
          transform: [{ filter: "isValid(datum.low)" }],
          mark: { type: "rule", strokeWidth: 1.5, clip: true },
          encoding: { x: { ...x, field: "low" }, x2: { field: "high" } },
        },
        { mark: { type: "point", filled: true, size: 45, opacity: 1, tooltip: { content: "data" } }, encoding: { x } },
      ],
    }),
  };
}
