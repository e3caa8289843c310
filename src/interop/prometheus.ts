// Question: how does a Prometheus server watch runs?
//
// The text exposition format, version 0.0.4: for each metric a line HELP, a line TYPE and one line a run.
// Label values have \ " and line feeds escaped; what is not finite is NaN, +Inf or -Inf. A run without a value
// has no line. Source: prometheus.io, "Exposition formats".

import { isMixed } from "../model/overrides.ts";
import { alarmNames } from "../stability/alarms.ts";
import { extreme } from "../runs/extremes.ts";
import type { RunData } from "../runs/run-data.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: unknown, labels?: Labels];

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  read(run: RunData): readonly Sample[];
}

const gauge = (name: string, help: string, read: (run: RunData) => unknown): Metric => ({
  name: `birkhoff_${name}`,
  help,
  type: "gauge",
  read: (run) => [[read(run)]],
});
const last = <T>(values: readonly T[]): T | undefined => values.at(-1);
const latest = (run: RunData, field: "validationLoss" | "bitsPerByte"): unknown =>
  run.metrics.findLast((record) => record[field] !== undefined)?.[field];

const metrics: readonly Metric[] = [
  gauge("step", "Training steps done.", (run) => last(run.metrics)?.step ?? 0),
  gauge("steps", "Training steps of the whole run.", ({ config }) => config?.steps),
  gauge(
    "seconds",
    "Seconds of training, without the times when the run was stopped.",
    (run) => last(run.metrics)?.seconds,
  ),
  gauge("loss", "Training loss of the last step, nats a token.", (run) => last(run.metrics)?.loss),
  gauge("validation_loss", "Last validation loss, nats a token.", (run) => latest(run, "validationLoss")),
  gauge("bits_per_byte", "Last validation loss, bits a byte.", (run) => latest(run, "bitsPerByte")),
  gauge(
    "gradient_norm",
    "Norm of all gradients of the last step, before clipping.",
    (run) => last(run.metrics)?.gradientNorm,
  ),
  gauge("learning_rate", "Learning rate of the last step.", (run) => last(run.metrics)?.learningRate),
  gauge(
    "tokens_per_second",
    "Tokens trained on a second, of the last step.",
    (run) => last(run.metrics)?.tokensPerSecond,
  ),
  {
    name: "birkhoff_composite_gain_max",
    help: "Largest composite Amax gain of the last measurement; at 1 what all streams share keeps its size.",
    type: "gauge",
    read({ gains }) {
      const composite = gains.findLast((record) => record.composite)?.composite;
      return [
        [extreme(composite?.forward), { direction: "forward" }],
        [extreme(composite?.backward), { direction: "backward" }],
      ];
    },
  },
  gauge("column_error_max", "Largest |column sum - 1| of any mixing matrix at the last measurement.", ({ gains }) =>
    extreme(gains.findLast(({ columnError }) => columnError)?.columnError),
  ),
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
 * What a Prometheus server reads of runs, one sample a run and metric; serve it as
 * `text/plain; version=0.0.4; charset=utf-8`. Labels: run, folder (which tells runs of one name apart), connection.
 */
export function prometheusText(runs: readonly RunData[]): string {
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

function labelsOf({ name, folder, config }: RunData): Labels {
  const { connection } = config?.model ?? {};
  return { run: name, folder, connection: !connection ? "unknown" : isMixed(connection) ? "mixed" : connection.kind };
}

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

const number = (value: number): string =>
  Number.isNaN(value) ? "NaN" : Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
