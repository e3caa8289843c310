// Question: what does a trained model lose when its mixers are changed?
//
// The bars show the change in validation loss, from interventions.json: of the runs of a report, or of the one run that
// `birkhoff intervene` has just measured. For several seeds a bar is the median, with a line from the smallest to the
// largest; a row needs a number from every seed. A bar within two standard errors of no change is pale. A diamond is
// the published result of the same change to another model.

import { showNats } from "../interventions-text.ts";
import { given } from "../../basics/given.ts";
import type { RunData } from "../../runs/run-data.ts";
import { isUndecided } from "../../study/intervene.ts";
import { publishedInterventions } from "../../study/interventions.ts";
import { type Figure, type Part, seriesEncoding, WIDTH, wholeSpec } from "./figure.ts";
import { digits, drawable, type Series, seriesOf, type Spread, spreadOf } from "./series.ts";

/** A published mark this many times longer than the longest bar would leave no room for the bars, so it is left out. */
const FARTHEST = 4;

/**
 * The change of the validation loss by intervention, the largest first; undefined if no run has interventions.
 *
 * @param most the most rows to show (default: 24)
 */
export function interventionsFigure(runs: readonly RunData[], most: number = MOST_ROWS): Figure | undefined {
  const series = seriesOf(runs.filter(({ interventions }) => (interventions?.rows.length ?? 0) > 0));
  const rows = series.flatMap((one) => rowsOf(one));
  const shown = shownNames(rows, most);
  const drawn = rows.filter(({ name }) => shown.has(name));
  if (drawn.length === 0) return undefined;
  const several = series.some(({ runs: members }) => members.length > 1);
  const published = publishedBeside(drawn);
  const values = drawn.map(({ name, undecided, change: { median, least, largest }, series: of }) => ({
    name,
    change: digits(median),
    ...(of.runs.length > 1 ? { least: digits(least), largest: digits(largest) } : {}),
    ...given({ undecided: undecided || undefined }),
    // Numbers beside the bars of several models would overlap.
    ...(series.length === 1
      ? { label: showNats(median), end: Math.max(0, digits(largest), (published.get(name) ?? -1) * 1.01) }
      : {}),
    series: of.label,
  }));
  const x = {
    field: "change",
    type: "quantitative",
    title: "change of the validation loss, nats a token",
    axis: { grid: true, tickCount: 6 },
  };
  const apart = series.length > 1 ? { yOffset: { field: "series", type: "nominal" } } : {};
  const bars: Part = {
    mark: { type: "bar", tooltip: { content: "data" }, cornerRadiusEnd: 2 },
    encoding: {
      x,
      ...apart,
      color: { ...(seriesEncoding(series).color as object), legend: { title: null, symbolType: "square" } },
      fillOpacity: { condition: { test: "isValid(datum.undecided)", value: 0.3 }, value: 1 },
    },
  };
  const ranges: Part = {
    transform: [{ filter: "isValid(datum.least)" }],
    mark: { type: "rule", strokeWidth: 1.5 },
    encoding: { x: { ...x, field: "least" }, x2: { field: "largest" }, ...apart },
  };
  const numbers: Part = {
    mark: { type: "text", align: "left", baseline: "middle", dx: 8, opacity: 0.75 },
    encoding: { x: { ...x, field: "end" }, text: { field: "label" } },
  };
  const marks: Part = {
    data: { values: [...published].map(([name, change]) => ({ name, change })) },
    mark: { type: "point", shape: "diamond", size: 60, color: "currentColor", opacity: 1 },
    encoding: { x },
  };
  return {
    name: "interventions",
    title: "Interventions",
    caption: [
      "Change of the validation loss, nats a token, when the trained model's mixing is changed and nothing is trained again.",
      "Near zero: the loss on this text hardly depends on it; pale: within two standard errors of no change.",
      ...(rows.length > drawn.length
        ? ["There are too many to show; these act on several sublayers and change most. interventions.json has all."]
        : []),
      ...(several ? ["For several seeds, bars are medians, with a line from the smallest to the largest."] : []),
      ...(published.size > 0 ? [publishedNote()] : []),
    ].join(" "),
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
      },
      layer: [
        bars,
        ...(several ? [ranges] : []),
        ...(series.length === 1 ? [numbers] : []),
        ...(published.size > 0 ? [marks] : []),
      ],
    }),
  };
}

/** The published changes of the shown rows in nats a token: ln of the ratio of perplexities. */
function publishedBeside(rows: readonly Row[]): ReadonlyMap<string, number> {
  const longest = Math.max(...rows.map(({ change: { median } }) => Math.abs(median)));
  return new Map(
    publishedInterventions.rows.flatMap(({ kind, sublayers, perplexity }) => {
      const name = `${kind}, ${sublayers}`;
      const change = digits(Math.log1p(perplexity));
      return rows.some((row) => row.name === name) && change <= FARTHEST * longest ? [[name, change] as const] : [];
    }),
  );
}

function publishedNote(): string {
  const { model, text, source } = publishedInterventions;
  return `Diamonds: ${model} on ${text} (${source}), its own early and late layers; marks far beyond the bars are left out.`;
}

const MOST_ROWS = 24;

interface Row {
  readonly series: Series;
  readonly name: string;
  readonly sublayers: readonly number[];
  readonly change: Spread;
  /** For a single seed: whether its change can be distinguished from none. */
  readonly undecided: boolean;
}

/** The interventions that every seed has, in the order of the first seed. */
function rowsOf(series: Series): Row[] {
  const [first = [], ...others] = series.runs.map(({ interventions }) => interventions!.rows);
  const lookups = others.map((rows) => new Map(rows.map(({ name, change }) => [name, change])));
  return first.flatMap((row) => {
    const { name, sublayers, change } = row;
    const changes = [change, ...lookups.map((lookup) => lookup.get(name))].filter(drawable);
    return changes.length === series.runs.length
      ? [{ series, name, sublayers, change: spreadOf(changes), undecided: others.length === 0 && isUndecided(row) }]
      : [];
  });
}

/** If there are more than fit, keep those on several sublayers, and of these the ones that change any series most. */
function shownNames(rows: readonly Row[], most: number): Set<string> {
  const all = new Set(rows.map(({ name }) => name));
  if (all.size <= most) return all;
  const several = rows.filter(({ sublayers }) => sublayers.length !== 1);
  const sorted = [...(several.length > 0 ? several : rows)].sort(
    (a, b) => Math.abs(b.change.median) - Math.abs(a.change.median),
  );
  return new Set([...new Set(sorted.map(({ name }) => name))].slice(0, most));
}
