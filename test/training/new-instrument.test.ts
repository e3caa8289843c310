// A new instrument is one entry in the table of instruments and its measurement: a made-up one, the trace of
// H_res, comes out everywhere.

import fs from "node:fs";
import { afterAll, expect, test, vi } from "vitest";
import type { Field } from "../../src/stability/fields.ts";

vi.mock(import("../../src/stability/instruments.ts"), async (importOriginal) => {
  const original = await importOriginal();
  const trace: Field = {
    title: "Trace",
    about: "token mean of the trace of H",
    shape: "list",
    of: "mixing",
    column: { table: "maps", head: "trace", digits: 2 },
    scalars: [
      {
        take: "largest",
        curve: { name: "trace", note: "largest", place: 7 },
        tensorboard: "mixing/trace_max",
        prometheus: { name: "trace_max", help: "Largest trace." },
      },
    ],
    profile: { figure: "mixing-strength" },
  };
  return {
    ...original,
    instrumentFields: { ...original.instrumentFields, trace },
    mixingNames: [...original.mixingNames, "trace" as never],
  };
});

const { csvTables } = await import("../../src/interop/csv.ts");
const { prometheusText } = await import("../../src/interop/prometheus.ts");
const { exportTensorBoard } = await import("../../src/interop/tensorboard.ts");
const { describeInstruments } = await import("../../src/report/instruments-text.ts");
const { mixingStrengthFigure } = await import("../../src/report/figures/streams.ts");
const { createRunRecords } = await import("../../src/report/server/records.ts");
const { readRunData } = await import("../../src/runs/run-data.ts");
const { withRecordTables } = await import("../../scripts/record-tables.ts");
const { curves } = await import("../../src/training/scalars.ts");
const { makeRuns, metric } = await import("../report/run-folders.ts");

const runs = makeRuns();
afterAll(() => runs.remove());

const seen = { single: { forward: [1, 1], backward: [1, 1] }, trace: [1.5, 2.5] };
const folder = runs.write("run", {
  metrics: [metric(1), metric(2), metric(3)],
  gains: [
    { step: 1, ...seen },
    { step: 2, ...seen, trace: [1] },
    { step: 3, ...seen, trace: "no" },
  ] as never,
});
const data = readRunData(folder);

test("it is read, and taken out where it is not sound", () => {
  expect(data.gains.map((gain) => "trace" in gain)).toEqual([true, false, false]);
  expect(data.problems.join("\n")).toMatch(/line 2: .*trace\n.*line 3: .*trace/);
});

test("it is exported and scraped", () => {
  expect(csvTables(data)["gains.csv"]).toContain("1,1,trace,2.5\r\n");
  expect(prometheusText([data])).toMatch(
    /# HELP birkhoff_trace_max Largest trace\.\n.*\nbirkhoff_trace_max\{.*\} 2\.5\n/,
  );
  const [file] = exportTensorBoard(folder, `${folder}/out`);
  expect(fs.readFileSync(file!, "latin1")).toContain("mixing/trace_max");
});

test("the page draws it, the report and the terminal show it, the documentation says what it is", () => {
  expect(curves.map(({ curve: { name } }) => name as string)).toContain("trace");
  const bytes = fs.readFileSync(`${folder}/gains.jsonl`);
  const records = createRunRecords((name) =>
    name === "gains.jsonl"
      ? {
          size: bytes.length,
          mark: "",
          read: (from, length) => bytes.subarray(from, from + length),
          close: () => undefined,
        }
      : undefined,
  );
  expect(records.curves("run", 100).series["trace" as "loss"]).toEqual({ step: [1], value: [2.5] });
  expect(JSON.stringify(mixingStrengthFigure([data])!.spec)).toContain('"title":"Trace"');
  expect(describeInstruments(seen, ["a", "b"])).toMatch(/trace\n.*\n.* 1\.50\n.* 2\.50/);
  expect(withRecordTables("<!-- table: instruments -->\n<!-- end -->")).toContain(
    "| `trace` | list | `gains.jsonl` | token mean of the trace of H |",
  );
});
