// Question: what do the runs of a sweep say together, in a terminal and in a page of text?
//
// One row a group (a connection at a depth): optimum, tolerance, edge, seed spread, and what went wrong how often.

import { axisNames } from "../runs/sweep/definition.ts";
import type { GroupSummary } from "../runs/sweep/analysis.ts";
import type { SweepSummary } from "../runs/sweep/folder.ts";
import { drawTable } from "../basics/table.ts";

type Column = readonly [title: string, show: (group: GroupSummary) => string];

/** A learning rate: 0.003, 1.2e-5. */
export const showRate = (rate: number): string => {
  const short = Number(rate.toPrecision(2));
  return short >= 1e-4 ? String(short) : short.toExponential();
};

const columns: readonly Column[] = [
  ["runs", ({ runs }) => String(runs)],
  ["best rate", ({ optimum }) => (optimum ? showRate(optimum.measured) : "-")],
  ["optimum", ({ optimum }) => (optimum?.interpolated ? showRate(optimum.learningRate) : "-")],
  ["bits/byte", ({ optimum }) => optimum?.bitsPerByte.toFixed(4) ?? "-"],
  ["± seeds", (group) => bestBand(group)?.deviation?.toFixed(4) ?? "-"],
  [
    "tolerated rates",
    ({ tolerance }) => (tolerance ? `${showRate(tolerance.low)} to ${showRate(tolerance.high)}` : "-"),
  ],
  [
    "decades",
    ({ tolerance }) =>
      tolerance ? `${tolerance.openLow || tolerance.openHigh ? "≥ " : ""}${tolerance.decades.toFixed(2)}` : "-",
  ],
  ["largest sound rate", ({ edge }) => (edge === undefined ? "-" : showRate(edge))],
  ["diverged", ({ diverged }) => String(diverged)],
  ["loss spikes", ({ lossSpikes }) => String(lossSpikes)],
  ["gradient excursions", ({ gradientExcursions }) => String(gradientExcursions)],
];

/** The band over seeds at the best measured rate. */
function bestBand({ optimum, rates }: GroupSummary) {
  return rates.find(({ learningRate }) => learningRate === optimum?.measured)?.band;
}

/** Head and rows: the values that name a group, then its figures. */
export function sweepRows({ groups }: Pick<SweepSummary, "groups">): string[][] {
  const axes = Object.keys(groups[0]?.group ?? {});
  const names = axisNames(axes);
  return [
    [...axes.map((axis) => names.get(axis)!), ...columns.map(([title]) => title)],
    ...groups.map((group) => [
      ...axes.map((axis) => showValue(group.group[axis])),
      ...columns.map(([, show]) => show(group)),
    ]),
  ];
}

/** A value of an axis for people. */
export const showValue = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** For a terminal. */
export function sweepTable(summary: SweepSummary): string {
  const bits = summary.definitions.toleranceBits;
  return `${drawTable(sweepRows(summary))}\nTolerated: mean validation loss within ${bits} bits per byte of the best. ≥: as far as the measured rates go.`;
}
