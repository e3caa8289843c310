// Question: what does a trained model lose when its mixers are changed?
//
// Bars of the change in validation loss, from the runs' interventions.json. Of several seeds a bar is the
// median, with a line from the smallest to the largest; a row needs a number of each of them.

import type { RunData } from "../../runs/run-data.ts";
import { type Figure, type Part, seriesEncoding, WIDTH, wholeSpec } from "./figure.ts";
import { digits, drawable, type Series, seriesOf, type Spread, spreadOf } from "./series.ts";

/** Change of the validation loss by intervention, the largest first; undefined when no run has any. */
export function interventionsFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs.filter(({ interventions }) => (interventions?.rows.length ?? 0) > 0));
  const rows = series.flatMap((one) => rowsOf(one));
  const shown = shownNames(rows);
  const values = rows.flatMap(({ name, change: { median, least, largest }, series: { label, runs: members } }) =>
    shown.has(name)
      ? {
          name,
          change: digits(median),
          ...(members.length > 1 ? { least: digits(least), largest: digits(largest) } : {}),
          series: label,
        }
      : [],
  );
  if (values.length === 0) return undefined;
  const several = series.some(({ runs: members }) => members.length > 1);
  const x = {
    field: "change",
    type: "quantitative",
    title: "change of the validation loss, nats a token",
    axis: { grid: true, tickCount: 6 },
  };
  const bars: Part = {
    mark: { type: "bar", tooltip: { content: "data" }, cornerRadiusEnd: 2 },
    encoding: {
      x,
      color: { ...(seriesEncoding(series).color as object), legend: { title: null, symbolType: "square" } },
    },
  };
  const ranges: Part = {
    transform: [{ filter: "isValid(datum.least)" }],
    mark: { type: "rule", strokeWidth: 1.5 },
    encoding: { x: { ...x, field: "least" }, x2: { field: "largest" } },
  };
  return {
    name: "interventions",
    title: "Interventions",
    caption: `Change of the validation loss, nats a token, when the trained model's mixing is changed and nothing is trained again. Near zero: the loss on this text hardly depends on it; how sure that is, birkhoff intervene says. Of many, those on several sublayers that change most are shown; interventions.json has all.${several ? " Of several seeds the median, with a line from the smallest to the largest." : ""}`,
    spec: wholeSpec({
      width: WIDTH - 260,
      height: Math.max(90, shown.size * (series.length > 1 ? 26 : 20)),
      data: { values },
      encoding: {
        y: {
          field: "name",
          type: "nominal",
          title: null,
          sort: { field: "change", op: "max", order: "descending" },
          axis: { labelLimit: 230, ticks: false },
        },
        ...(series.length > 1 ? { yOffset: { field: "series", type: "nominal" } } : {}),
      },
      layer: several ? [bars, ranges] : [bars],
    }),
  };
}

const MOST_ROWS = 24;

interface Row {
  readonly series: Series;
  readonly name: string;
  readonly sublayers: readonly number[];
  readonly change: Spread;
}

/** The interventions that every seed has, in the order of the first one's. */
function rowsOf(series: Series): Row[] {
  const [first = [], ...others] = series.runs.map(({ interventions }) => interventions!.rows);
  const lookups = others.map((rows) => new Map(rows.map(({ name, change }) => [name, change])));
  return first.flatMap(({ name, sublayers, change }) => {
    const changes = [change, ...lookups.map((lookup) => lookup.get(name))].filter(drawable);
    return changes.length === series.runs.length ? [{ series, name, sublayers, change: spreadOf(changes) }] : [];
  });
}

/** Of more than fit, those on several sublayers, and of them the ones that change any series most. */
function shownNames(rows: readonly Row[]): Set<string> {
  const all = new Set(rows.map(({ name }) => name));
  if (all.size <= MOST_ROWS) return all;
  const several = rows.filter(({ sublayers }) => sublayers.length !== 1);
  const sorted = [...(several.length > 0 ? several : rows)].sort(
    (a, b) => Math.abs(b.change.median) - Math.abs(a.change.median),
  );
  return new Set([...new Set(sorted.map(({ name }) => name))].slice(0, MOST_ROWS));
}
