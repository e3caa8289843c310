// Question: how are means with their intervals drawn, a line for each thing that is compared?
//
// A point at each mean and a rule over its 95 % interval; lines of several series stand beside each other. An axis of
// differences has a dashed rule at 0.

import type { Estimate } from "../../basics/interval.ts";
import { type Figure, logarithmicAxis, type Part, WIDTH, wholeSpec } from "./figure.ts";
import { digits } from "./series.ts";

/** A point: what it stands for, and its estimate. */
export interface EstimatePoint {
  readonly line: string;
  /** Lines with several points have one of each series. */
  readonly series?: string;
  readonly found: Estimate | undefined;
}

export interface EstimatesOptions extends Pick<Figure, "name" | "title" | "caption"> {
  /** The quantity and its unit. */
  readonly axis: string;
  readonly points: readonly EstimatePoint[];
  /** Whether the axis is logarithmic; values must be positive. */
  readonly logarithmic?: boolean;
  /** Whether the points are differences, so that 0 means none. */
  readonly differences?: boolean;
}

interface Drawn {
  readonly line: string;
  readonly series: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
}

/** The figure; undefined where there is nothing to draw. */
export function estimatesFigure(options: EstimatesOptions): Figure | undefined {
  const { name, title, caption, axis, points, logarithmic = false, differences = false } = options;
  const values = points.flatMap(({ line, series = "", found }): Drawn[] => {
    if (!found || !Number.isFinite(found.mean) || (logarithmic && found.mean <= 0)) return [];
    const { mean, half } = found;
    if (half === undefined) return [{ line, series, value: digits(mean) }];
    const low = logarithmic ? Math.max(mean - half, mean / 100) : mean - half;
    return [{ line, series, value: digits(mean), low: digits(low), high: digits(mean + half) }];
  });
  if (values.length === 0) return undefined;
  const lines = [...new Set(values.map(({ line }) => line))];
  const seriesNames = [...new Set(values.map(({ series }) => series))];
  const scale = logarithmic
    ? logarithmicAxis(values.flatMap(({ value, low = value, high = value }) => [low, value, high]))
    : { scale: { zero: false }, axis: {} };
  const x = { field: "value", type: "quantitative", title: axis, ...scale };
  const several = seriesNames.length > 1;
  const zero: Part[] = differences
    ? [
        {
          data: { values: [{ zero: 0 }] },
          mark: { type: "rule", opacity: 0.5, strokeDash: [3, 3] },
          encoding: { x: { field: "zero", type: "quantitative", title: axis, ...scale } },
        },
      ]
    : [];
  return {
    name,
    title,
    caption,
    spec: wholeSpec({
      width: WIDTH - 360,
      height: Math.max(90, lines.length * (12 + 9 * seriesNames.length)),
      layer: [
        ...zero,
        {
          data: { values },
          encoding: {
            y: {
              field: "line",
              type: "nominal",
              title: null,
              sort: lines,
              axis: { labelLimit: 0, ticks: false, grid: true, minExtent: 0, maxExtent: 340 },
            },
            ...(several
              ? {
                  yOffset: { field: "series", type: "nominal", sort: seriesNames, scale: { paddingOuter: 0.6 } },
                  color: {
                    field: "series",
                    type: "nominal",
                    sort: seriesNames,
                    legend: { title: null, symbolType: "circle" },
                  },
                }
              : { color: { value: "#3b82c4" } }),
          },
          layer: [
            {
              transform: [{ filter: "isValid(datum.low)" }],
              mark: { type: "rule", strokeWidth: 1.5, clip: true },
              encoding: { x: { ...x, field: "low" }, x2: { field: "high" } },
            },
            {
              mark: { type: "point", filled: true, size: 45, opacity: 1, tooltip: { content: "data" } },
              encoding: { x },
            },
          ],
        },
      ],
    }),
  };
}
