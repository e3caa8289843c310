// Question: what do the streams' mixing matrices look like?
//
// The heat maps are those of the mHC paper's Figure 8: the first, a middle and the last sublayer, and the products of
// the first half, of the second half and of all. Row sums (the factors of a forward signal) are on the left, column sums
// (of a backward one) below. Matrices, and products that start at the first sublayer, are token means of one sequence.
// The product of the second half is a product of token means, because no record holds that product itself.

import type { GainRecord } from "../../training/records.ts";
import { times } from "../../stability/gains.ts";
import type { RunData } from "../../runs/run-data.ts";
import { type Figure, PAPER_COLOUR, type Part, WIDTH, wholeSpec } from "./figure.ts";
import { measuredAt, middleSeed } from "./seeds.ts";
import { digits, drawable, type Series, seriesOf } from "./series.ts";

/** A matrix to draw, n × n row-major. For some matrices of a paper only the sums are known. */
export interface NamedMatrix {
  readonly name: string;
  readonly matrix?: readonly number[];
  /** The sums to print; computed from the matrix if absent. */
  readonly rows?: readonly number[];
  readonly columns?: readonly number[];
}

/** Heat maps of each series' last measured matrices; undefined when no run has any. */
export function mixingFigure(runs: readonly RunData[], step?: number): Figure | undefined {
  const series = seriesOf(runs);
  const rows = series.flatMap((one) => mixingRow(one, step) ?? []);
  if (rows.length === 0) return undefined;
  return {
    name: "mixing",
    title: "Mixing matrices H_res",
    caption: `Averaged over the tokens of one sequence: the first, a middle and the last sublayer, then the products (∏; for the second half, a product of averages). The row sums on the left are the factors of a forward signal; the column sums below are those of a backward one.${middleNote(series)}`,
    spec: wholeSpec({ vconcat: rows, spacing: 26 }),
  };
}

/** Heat maps of a series, for several seeds those of the middle one; undefined without matrices. */
export function mixingRow(series: Series, step?: number): Part | undefined {
  const measured = measuredAt(series, (record) => chosenMatrices(record).length > 0, step);
  if (!measured) return undefined;
  const { run, record } = middleSeed(measured.seeds);
  const seed = series.runs.length > 1 ? `, seed ${run.config?.seed}` : "";
  return matrixRow(`${measured.title}${seed}`, chosenMatrices(record));
}

/** A sentence for the caption that says which of several seeds is shown; empty without several seeds. */
export function middleNote(series: readonly Series[]): string {
  return series.some(({ runs }) => runs.length > 1)
    ? " For several seeds, the one whose largest composite gain is the median is shown (for an even number, the lower of the middle two)."
    : "";
}

/** The first, middle and last sublayer, and the products of both halves and of all; those that a record has. */
export function chosenMatrices(record: GainRecord): NamedMatrix[] {
  const { mixing = [], product = [], sublayers } = record;
  const depth = mixing.length;
  const place = (index: number): number => (sublayers?.[index] ?? index) + 1;
  const middle = Math.max(0, Math.floor(depth / 2) - 1);
  const singles = [...new Set([0, middle, depth - 1])].filter((index) => mixing[index] !== undefined);
  const chosen = singles.map((index) => ({ name: `sublayer ${place(index)}`, matrix: mixing[index]! }));
  // Products need sublayers that all mix the same number of streams.
  const equal = mixing.every(({ length }) => length === mixing[0]!.length);
  if (depth < 2 || !equal) return chosen;
  const named = (from: number, to: number, matrix: readonly number[] | undefined): NamedMatrix[] =>
    matrix ? [{ name: `∏ ${place(from)}…${place(to)}`, matrix }] : [];
  return [
    ...chosen,
    ...named(0, middle, product[middle]),
    ...named(middle + 1, depth - 1, productOf(mixing.slice(middle + 1))),
    ...named(0, depth - 1, product[depth - 1]),
  ];
}

function productOf(matrices: readonly (readonly number[])[]): number[] | undefined {
  const [first, ...later] = matrices;
  if (!first) return undefined;
  const n = Math.sqrt(first.length);
  let product: Float64Array = Float64Array.from(first);
  for (const matrix of later) product = times(Float64Array.from(matrix), product, n);
  return [...product];
}

/** Up to six heat maps in a row. */
export function matrixRow(title: string, matrices: readonly NamedMatrix[], opacity: number = 1): Part {
  const size = Math.floor(WIDTH / 6) - 48;
  return {
    title: { text: title, dx: -SUMS },
    hconcat: matrices.map((one) => heatMap(one, size, opacity)),
    // Whatever the sums' width: rows of matrices, and their titles, stand below each other.
    bounds: "flush",
    spacing: 10 + SUMS,
  };
}

/** Room for the row sums, so that rows of matrices stand below each other. */
const SUMS = 30;

/** Strokes across a cell, which go on in the next one. */
const hatch: Part = {
  type: "point",
  shape: "M-1,0L0,-1M-1,1L1,-1M0,1L1,0",
  filled: false,
  stroke: PAPER_COLOUR,
  strokeWidth: 0.8,
  opacity: 0.8,
};

function heatMap({ name, matrix, rows, columns }: NamedMatrix, size: number, opacity: number): Part {
  const n = Math.sqrt(matrix?.length ?? (rows ?? columns ?? []).length ** 2);
  // Without its numbers a matrix is hatched, so that nobody reads it as zeros.
  const hatched = matrix === undefined;
  const streams = Array.from({ length: n }, (_, index) => index);
  const cells = streams.flatMap((row) =>
    streams.map((column) => {
      const value = matrix?.[row * n + column] ?? Number.NaN;
      return {
        row: row + 1,
        column: column + 1,
        value: drawable(value) ? digits(value) : null,
        text: short(value).replace(/^(−?)0\./, "$1."),
      };
    }),
  );
  const sums = (printed: readonly number[] | undefined, of: (index: number, other: number) => number): string[] =>
    streams.map((index) =>
      short(printed?.[index] ?? streams.reduce((sum, other) => sum + (matrix?.[of(index, other)] ?? Number.NaN), 0)),
    );
  const rowSums = sums(rows, (row, column) => row * n + column);
  const columnSums = sums(columns, (column, row) => row * n + column);
  const largest = Math.max(1, ...cells.map(({ value }) => Math.abs(value ?? 0)));
  const axis = { domain: false, ticks: false, title: null, labelAngle: 0, labelFontSize: 9.5, labelPadding: 3 };
  const room = { minExtent: SUMS, maxExtent: SUMS };
  // The sums replace the numbers of the streams as axis labels, so they are looked up by position.
  const lookup = (values: readonly string[]): string => `${JSON.stringify(values)}[datum.value - 1]`;
  return {
    title: { text: name, fontSize: 11, fontWeight: "normal", anchor: "middle", offset: 4 },
    width: size,
    height: size,
    data: { values: cells },
    encoding: {
      x: { field: "column", type: "ordinal", axis: { ...axis, labelExpr: lookup(columnSums), orient: "bottom" } },
      y: { field: "row", type: "ordinal", axis: { ...axis, ...room, labelExpr: lookup(rowSums) } },
    },
    layer: [
      {
        mark: { type: "rect", opacity },
        encoding: {
          color: {
            field: "value",
            type: "quantitative",
            scale: {
              domain: [-largest, 0, largest],
              range: ["#c2410c", "#f1f3f4", "#0f766e"],
              clamp: true,
              interpolate: "lab",
            },
            legend: null,
          },
          tooltip: [
            { field: "row", type: "ordinal", title: "to stream" },
            { field: "column", type: "ordinal", title: "from stream" },
            { field: "value", type: "quantitative", format: ".4" },
          ],
        },
      },
      ...(hatched ? [{ mark: { ...hatch, size: (size / n) ** 2 } }] : []),
      ...(n <= 6 && !hatched
        ? [
            {
              mark: { type: "text", fontSize: n <= 4 ? 10 : 8 },
              encoding: {
                text: { field: "text", type: "nominal" },
                color: {
                  condition: {
                    test: `abs(datum.value) > ${0.6 * largest}`,
                    value: opacity < 1 ? "#202428" : "#ffffff",
                  },
                  value: "#202428",
                },
              },
            },
          ]
        : []),
    ],
    resolve: { scale: { color: "independent" } },
  };
}

/** A number in about four characters: 0.25, −3.1, 509, 1e9. */
function short(value: number): string {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  const digitsLeft = size >= 99.95 ? 0 : size >= (value < 0 ? 0.995 : 9.995) ? 1 : 2;
  const text = size >= 1e4 ? value.toExponential(0).replace("e+", "e") : value.toFixed(digitsLeft);
  return text.replace("-", "−").replace(/^−(0(\.0+)?)$/, "$1");
}
