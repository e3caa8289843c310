// The text a Prometheus server reads: its grammar, its values, and names that try to break out of it.

import { afterAll, expect, test } from "vitest";
import { prometheusText } from "../../src/interop/prometheus.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { makeRuns, metric } from "../report/run-folders.ts";

const runs = makeRuns();
afterAll(() => runs.remove());

const hostileName = 'a"b\\c} 1\nbirkhoff_loss{x="';

test("one sample a run and metric, under HELP and TYPE", () => {
  const folder = runs.write("one", {
    metrics: [
      metric(1, { validationLoss: 2.25 }),
      metric(2, { loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY }),
    ],
    gains: [
      { step: 2, composite: { forward: [1, 3], backward: [7, 2] } },
      { step: 3, columnError: [0.5] },
    ],
    events: [{ step: 1, rule: "spike", message: "", action: "continue" }],
  });
  const text = prometheusText([readRunData(folder)]);
  const labels = `run="one",folder="${folder}",connection="mhc"`;
  for (const line of [
    "# HELP birkhoff_loss Training loss of the last step, nats a token.",
    "# TYPE birkhoff_loss gauge",
    `birkhoff_loss{${labels}} NaN`,
    `birkhoff_gradient_norm{${labels}} +Inf`,
    `birkhoff_validation_loss{${labels}} 2.25`,
    `birkhoff_step{${labels}} 2`,
    `birkhoff_composite_gain_max{${labels},direction="backward"} 7`,
    `birkhoff_column_error_max{${labels}} 0.5`,
    "# TYPE birkhoff_alarms_total counter",
    `birkhoff_alarms_total{${labels},rule="spike"} 1`,
    `birkhoff_alarms_total{${labels},rule="gain"} 0`,
  ])
    expect(text.split("\n")).toContain(line);
  expect(text).not.toContain("birkhoff_bits_per_byte");
});

test("every line is of the format's grammar and no series comes twice, whatever a run holds", () => {
  const places = [
    runs.write("first/same", { metrics: [metric(1)] }),
    runs.write("second/same", { metrics: [metric(1, { loss: "1\nx 2" as never, seconds: null as never })] }),
    runs.write("nothing", {}),
    runs.write("bad", {
      events: [{ step: 1, rule: hostileName, message: "", action: "stop" }, { step: 2, rule: 7 } as never],
      gains: [{ step: 1, composite: 3 } as never],
    }),
  ];
  const data = places.map(readRunData);
  const text = prometheusText([...data, { ...data[0]!, name: hostileName, config: undefined }]);
  const lines = text.slice(0, -1).split("\n");
  const sample =
    /^birkhoff_[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\} (?:NaN|[+-]Inf|-?[\d.]+(?:e[+-]\d+)?)$/;
  for (const line of lines) expect(line).toMatch(line.startsWith("#") ? /^# (HELP|TYPE) birkhoff_[a-z_]+ \S/ : sample);
  const series = lines.filter((line) => !line.startsWith("#")).map((line) => line.slice(0, line.lastIndexOf(" ")));
  expect(new Set(series).size).toBe(series.length);
  expect(text).toContain('run="a\\"b\\\\c} 1\\nbirkhoff_loss{x=\\""');
  expect(text).toContain('connection="unknown"');
  expect(prometheusText([])).toBe("");
});
