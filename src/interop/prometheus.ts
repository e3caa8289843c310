// Question: how does a Prometheus server watch runs?
//
// The answer is the text exposition format, version 0.0.4: for each metric a line HELP, a line TYPE and one line per
// run. Label values have \ " and line feeds escaped; values that are not finite are NaN, +Inf or -Inf. A run without
// a value has no line. Source: prometheus.io, "Exposition formats".

import { showValue } from "../basics/show.ts";
import { isMixed } from "../model/overrides.ts";
import { alarmNames } from "../stability/alarms.ts";
import { type Scalar, scalars } from "../training/scalars.ts";
import type { RunData } from "../runs/run-data.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: unknown, labels?: Labels | undefined];

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  read(run: RunData): readonly Sample[];
}

const gauge = (name: string, help: string, read: Metric["read"]): Metric => ({
  name: `birkhoff_${name}`,
  help,
  type: "gauge",
  read,
});
const last = <T>(values: readonly T[]): T | undefined => values.at(-1);

/** The last step's value for fields that every step has, the last measurement for the others. */
function newest({ metrics, gains }: RunData, { file, name, field, read }: Scalar): number | undefined {
  if (file === "metrics.jsonl" && field.always) return read(last(metrics) ?? {});
  const records: readonly Readonly<Record<string, unknown>>[] = file === "metrics.jsonl" ? metrics : gains;
  return read(records.findLast((record) => record[name] !== undefined) ?? {});
}

/** The numbers of the tables of fields; several with the same name are one metric with labels. */
const shown = scalars.flatMap((scalar) => (scalar.prometheus ? [{ ...scalar.prometheus, scalar }] : []));
const gauges = shown
  .filter(({ name }, index) => shown.findIndex((other) => other.name === name) === index)
  .map(({ name, help }) => {
    const group = shown.filter((other) => other.name === name);
    return gauge(name, help, (run) => group.map(({ scalar, labels }) => [newest(run, scalar), labels]));
  });

const metrics: readonly Metric[] = [
  gauge("step", "Training steps done.", (run) => [[last(run.metrics)?.step ?? 0]]),
  gauge("steps", "Training steps of the whole run.", ({ config, net }) => [[(config ?? net)?.steps]]),
  ...gauges,
  {
    name: "birkhoff_alarms_total",
    help: "Alarms so far, by rule; a run that goes back to a checkpoint forgets those of later steps.",
    type: "counter",
    read({ events }) {
      const seen = events.map(({ rule }) => rule).filter((rule) => typeof rule === "string");
      return [...new Set([...alarmNames, ...seen])].map((rule) => [
        seen.filter((name) => name === rule).length,
        { rule },
      ]);
    },
  },
];

/**
 * What a Prometheus server reads about runs, one sample per run and metric; serve it as
 * `text/plain; version=0.0.4; charset=utf-8`. Labels: run, folder (distinguishes runs of the same name), connection.
 */
export function prometheusText(runs: readonly RunData[]): string {
  if (!Array.isArray(runs))
    throw new TypeError(
      `prometheusText: ${showValue(runs)} is given; it must be a list of runs. Give what readRunData returns.`,
    );
  for (const [at, run] of runs.entries())
    if (!["metrics", "gains", "events"].every((records) => Array.isArray(run?.[records as "metrics"])))
      throw new TypeError(`prometheusText: run ${at} has no records; give what readRunData returns.`);
  return metrics.map((metric) => linesOf(metric, runs)).join("");
}

function linesOf({ name, help, type, read }: Metric, runs: readonly RunData[]): string {
  const lines = runs.flatMap((run) =>
    read(run).flatMap(([value, labels]) =>
      typeof value === "number" ? `${name}{${labelText({ ...labelsOf(run), ...labels })}} ${number(value)}\n` : [],
    ),
  );
  return lines.length === 0 ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function labelsOf({ name, folder, config, net }: RunData): Labels {
  const joined = config?.model.connection;
  const kind = joined && isMixed(joined) ? "mixed" : (joined ?? net?.model.connection)?.kind;
  return { run: name, folder, connection: kind ?? "unknown" };
}

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

const number = (value: number): string =>
  Number.isNaN(value) ? "NaN" : Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
