// Question: what does a trained model lose when its mixers are changed?
// Bars of the change in validation loss, from each run's interventions.json.

import type { RunData } from "../run-data.ts";
import { type Figure, seriesEncoding, WIDTH, wholeSpec } from "./figure.ts";
import { digits, drawable, seriesOf } from "./series.ts";

/** Change of the validation loss by intervention, the largest first; undefined when no run has any. */
export function interventionsFigure(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs).filter(({ runs: [run] }) => (run!.interventions?.rows.length ?? 0) > 0);
  const values = series.flatMap(({ label, runs: [run] }) =>
    shownRows(run!.interventions!.rows).map(({ name, change, loss }) => ({
      name,
      change: digits(change),
      loss: digits(loss),
      series: label,
    })),
  );
  if (values.length === 0) return undefined;
  const names = new Set(values.map(({ name }) => name)).size;
  return {
    name: "interventions",
    title: "Interventions",
    caption:
      "Change of the validation loss, nats a token, when the trained model's mixing is changed and nothing is trained again. Near zero: the loss on this text hardly depends on it; how sure that is, birkhoff intervene says. Of many, those on several sublayers that change most are shown; interventions.json has all. The first seed of each.",
    spec: wholeSpec({
      width: WIDTH - 260,
      height: Math.max(90, names * (series.length > 1 ? 26 : 20)),
      data: { values },
      mark: { type: "bar", tooltip: true, cornerRadiusEnd: 2 },
      encoding: {
        x: {
          field: "change",
          type: "quantitative",
          title: "change of the validation loss, nats a token",
          axis: { grid: true, tickCount: 6 },
        },
        y: { field: "name", type: "nominal", title: null, sort: "-x", axis: { labelLimit: 230, ticks: false } },
        ...(series.length > 1 ? { yOffset: { field: "series", type: "nominal" } } : {}),
        color: { ...(seriesEncoding(series).color as object), legend: { title: null, symbolType: "square" } },
      },
    }),
  };
}

const MOST_ROWS = 24;

type Rows = NonNullable<RunData["interventions"]>["rows"];

/** Of more than fit, those on several sublayers, and of them the ones that change most. */
function shownRows(rows: Rows): Rows {
  const known = rows.filter(({ change }) => drawable(change));
  if (known.length <= MOST_ROWS) return known;
  const several = known.filter(({ sublayers }) => sublayers.length !== 1);
  return [...(several.length > 0 ? several : known)]
    .sort((a, b) => Math.abs(b.change) - Math.abs(a.change))
    .slice(0, MOST_ROWS);
}
