// Question: how are the results of a sweep shown in a table, for a terminal or a page of text?
//
// There is one row for each group (a connection at a depth): its optimum, tolerance, edge and seed spread, and how often
// something went wrong.

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

/** The heading and the rows: the values that name a group, then its figures. */
export function sweepRows({ groups }: Pick<SweepSummary, "groups">): string[][] {
  const axes = Object.keys(groups[0]?.group ?? {});
  const names = axisNames(axes);
  return [
    [...axes.map((axis) => names.get(axis)!), ...columns.map(([title]) => title)],
    ...groups.map((group) => [
      ...axes.map((axis) => axisText(group.group[axis])),
      ...columns.map(([, show]) => show(group)),
    ]),
  ];
}

/** A value of an axis, for people to read. */
export const axisText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** A line for each group whose best rate is the first or the last that was tried, so that a better one may lie beyond. */
function edgeNotes({ groups }: Pick<SweepSummary, "groups">): string {
  return groups
    .flatMap(({ group, optimum, rates }) => {
      const tried = rates.map(({ learningRate }) => learningRate);
      const [lowest, highest] = [Math.min(...tried), Math.max(...tried)];
      if (optimum === undefined || (optimum.measured !== lowest && optimum.measured !== highest)) return [];
      const name = Object.values(group).map(axisText).join(", ");
      const where =
        tried.length === 1
          ? "the only rate that was tried"
          : optimum.measured === lowest
            ? "the lowest rate that was tried"
            : "the highest rate that was tried";
      const more = tried.length === 1 ? "other" : optimum.measured === lowest ? "lower" : "higher";
      return [
        `\n${name ? `${name}: ` : ""}the best rate, ${showRate(optimum.measured)}, is ${where}; the optimum may lie beyond. Add ${more} rates to the axis learningRate.`,
      ];
    })
    .join("");
}

/**
 * The table for a terminal.
 *
 * @param width columns of the terminal
 */
export function sweepTable(summary: SweepSummary, width?: number): string {
  const bits = summary.definitions.toleranceBits;
  const labels = Object.keys(summary.groups[0]?.group ?? {}).length;
  return `${drawTable(sweepRows(summary), { width, labels })}${edgeNotes(summary)}\nTolerated: rates with a mean validation loss within ${bits} bits per byte of the best. ≥: the range reaches the end of the measured rates.`;
}
