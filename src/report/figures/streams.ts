// Question: are the mixing maps saturated, and how many streams does a network really use?
//
// The figures are profiles over the sublayers at the last measured step. For several seeds they show the median in a
// band from the smallest to the largest. The definitions are in stability/instruments.ts.

import type { ProfilePanel } from "../../stability/fields.ts";
import { instrumentFields, type InstrumentName } from "../../stability/instruments.ts";
import type { GainRecord } from "../../training/records.ts";
import type { RunData } from "../../runs/run-data.ts";
import { type Figure, logarithmicAxis, type Part, seriesEncoding, WIDTH, wholeSpec } from "./figure.ts";
import { measuredAt, profileOf } from "./seeds.ts";
import { bandNote, digits, drawable, type Series, seriesOf } from "./series.ts";

interface Panel {
  readonly title: string;
  readonly value: (record: GainRecord) => readonly (number | null)[] | undefined;
  readonly logarithmic?: boolean;
  /** Ends of the axis (default: it begins at zero). */
  readonly scale?: ProfilePanel["scale"];
}

/** The instruments that are drawn in a figure, in their order. */
const panelsOf = (figure: ProfilePanel["figure"]): Panel[] =>
  Object.entries(instrumentFields).flatMap(([name, { title, profile: panel }]) =>
    panel?.figure === figure ? [{ ...panel, title, value: (record: GainRecord) => listOf(record, name) }] : [],
  );

/** The values of an instrument with one number for each sublayer. */
function listOf(record: GainRecord, name: string): readonly (number | null)[] | undefined {
  const values: unknown = record[name as InstrumentName];
  return Array.isArray(values) ? (values as readonly (number | null)[]) : undefined;
}

const saturation: readonly Panel[] = [
  ...panelsOf("saturation"),
  { title: "|Row or column sum − 1|", value: normalisationError, logarithmic: true },
];

/** The error that the iterations leave: in the columns, or in the rows if a convention normalises columns last. */
function normalisationError({ columnError, rowError }: GainRecord): readonly (number | null)[] | undefined {
  return columnError?.map((error, at) => {
    const other = rowError?.[at] ?? error;
    return error === null || other === null ? null : Math.max(error, other);
  });
}

/** Smallest and largest logit before normalisation, and the error that the iterations leave. */
export function saturationFigure(runs: readonly RunData[]): Figure | undefined {
  return profiles(runs, saturation, {
    name: "saturation",
    title: "Saturation",
    caption:
      "The largest and smallest logit of H_res of any token before it is normalised, and the largest |row or column sum − 1| that the iterations leave. Logits far apart make the iterations slow: the error grows, and the gradient of the logits fades. The last measured step",
  });
}

/** Whether the streams differ: cosine, effective number, share of the largest. */
export function streamUseFigure(runs: readonly RunData[]): Figure | undefined {
  return profiles(runs, panelsOf("stream-use"), {
    name: "stream-use",
    title: "Use of the streams",
    caption:
      "Mean cosine between two streams (1: all alike), effective number of streams (the participation ratio of their Gram matrix's eigenvalues) and the largest stream's share of the squared norm, by sublayer at the last measured step",
  });
}

/** How strongly single sublayers mix, and how near the product is to a mere mean. */
export function mixingStrengthFigure(runs: readonly RunData[]): Figure | undefined {
  return profiles(runs, panelsOf("mixing-strength"), {
    name: "mixing-strength",
    title: "How much is mixed",
    caption:
      "Token mean of the second largest |eigenvalue| of each H_res (1: the streams stay apart, 0: one sublayer makes them alike), and the distance of the product of all so far to J/n (0: only the streams' mean is left). The last measured step",
  });
}

function profiles(
  runs: readonly RunData[],
  panels: readonly Panel[],
  about: Pick<Figure, "name" | "title" | "caption">,
): Figure | undefined {
  const series = seriesOf(runs);
  const filled = panels
    .map((panel) => ({ panel, values: series.flatMap((one) => profile(one, panel)) }))
    .filter(({ values }) => values.length > 0);
  if (filled.length === 0) return undefined;
  const present = new Set(filled.flatMap(({ values }) => values.map((value) => value.series)));
  const shown = series.filter(({ label }) => present.has(label));
  const width = Math.floor(WIDTH / filled.length) - 76;
  return {
    ...about,
    caption: `${about.caption}${bandNote(shown, "median")}.`,
    spec: wholeSpec({
      hconcat: filled.map(({ panel, values }): Part => {
        const extent = values.flatMap(({ value, least = value, largest = value }) => [least, largest]);
        const vertical = panel.logarithmic
          ? logarithmicAxis(extent)
          : { scale: panel.scale ?? { zero: true }, axis: { tickCount: 5 } };
        const y = { field: "value", type: "quantitative", title: panel.title, ...vertical };
        const band: Part = {
          mark: { type: "area", opacity: 0.2 },
          encoding: {
            y: { ...y, field: "least" },
            y2: { field: "largest" },
            color: seriesEncoding(shown).color,
          },
        };
        const line: Part = {
          mark: { type: "line", strokeWidth: 2, point: { size: 24 }, tooltip: { content: "data" } },
          encoding: { y, ...seriesEncoding(shown) },
        };
        return {
          width,
          height: 170,
          data: { values },
          encoding: {
            x: {
              field: "sublayer",
              type: "quantitative",
              scale: { nice: false, zero: false },
              axis: { tickMinStep: 1, format: "d", tickCount: 6 },
            },
          },
          layer: values.some(({ least }) => least !== undefined) ? [band, line] : [line],
        };
      }),
      spacing: 24,
    }),
  };
}

interface Value {
  readonly sublayer: number;
  readonly value: number;
  readonly series: string;
  /** Present for several seeds, whose median `value` is. */
  readonly least?: number;
  readonly largest?: number;
}

/** The last records that have the values. */
function profile(series: Series, { value, logarithmic = false }: Panel): Value[] {
  const measured = measuredAt(series, (record) => value(record)?.some(drawable) ?? false);
  if (!measured) return [];
  const { seeds } = measured;
  return profileOf(
    seeds.map(({ record }) => record),
    value,
  )
    .filter(({ least }) => !logarithmic || least > 0)
    .map(({ x, median, least, largest }) => ({
      sublayer: x,
      value: digits(median),
      series: series.label,
      ...(seeds.length > 1 ? { least: digits(least), largest: digits(largest) } : {}),
    }));
}
