// CSV tables: quoting, formulas, and every number of the instruments on a line of its own.

import fs from "node:fs";
import path from "node:path";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { csvTables, exportCsv, formatCsv } from "../../src/interop/csv.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { makeRuns, metric } from "../report/run-folders.ts";

const runs = makeRuns();
afterAll(() => runs.remove());

/** A reader of RFC 4180 that shares nothing with the writer. */
function parse(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    let cell = "";
    if (text[at] === '"') {
      for (at++; ; at++) {
        if (text[at] === '"' && text[at + 1] !== '"') break;
        if (text[at] === '"') at++;
        cell += text[at];
      }
      at++;
    } else while (text[at] !== "," && !(text[at] === "\r" && text[at + 1] === "\n")) cell += text[at++];
    row.push(cell);
    if (text[at] === ",") {
      at++;
      continue;
    }
    at += 2;
    rows.push(row);
    row = [];
  }
  return rows;
}

test("any texts come back, but for the apostrophe before what could be a formula", () => {
  const texts = fc.array(fc.array(fc.string({ unit: "binary" }), { minLength: 2, maxLength: 4 }), { minLength: 1 });
  fc.assert(
    fc.property(texts, (rows) => {
      const safe = rows.map((row) => row.map((text) => (/^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text)));
      expect(parse(formatCsv(rows))).toEqual(safe);
    }),
  );
  expect(formatCsv([["=cmd|'/c calc'!A1", -1e-5, undefined, 'a "b",\nc']])).toBe(
    '\'=cmd|\'/c calc\'!A1,-0.00001,,"a ""b"",\nc"\r\n',
  );
});

test("the tables of a run", () => {
  const folder = runs.write("run", {
    metrics: [metric(1), metric(2, { validationLoss: 2.5, bitsPerByte: 1.25, expertLoad: [[3, 5]] })],
    gains: [
      {
        step: 2,
        sublayers: [1, 3],
        single: { forward: [1, 1.5], backward: [1, 1] },
        columnError: [0.5, 0.25],
        largestLogit: [4, null],
        mixing: [
          [0.75, 0.25, 0.25, 0.75],
          [1, 0, 0, 1],
        ],
        activation: [1, 2, 3, 4],
        groups: { weight: { gradient: 1, weight: 2, update: 0.5 } },
      },
    ],
    events: [
      {
        step: 2,
        rule: "=HYPERLINK(1)",
        message: 'a "bad",\nname',
        action: "rollback",
        rollback: { step: 1, rateFactor: 0.5 },
      },
    ],
  });
  const tables = csvTables(readRunData(folder));
  expect(parse(tables["metrics.csv"])).toEqual([
    [
      "step",
      "loss",
      "gradientNorm",
      "learningRate",
      "tokensPerSecond",
      "seconds",
      "validationLoss",
      "bitsPerByte",
      "memory",
      "expertLoad",
      "rankSpeed",
      "rankWaiting",
      "rankSent",
      "rankMemory",
    ],
    ["1", "4", "0.5", "0.001", "1000", "0.5", "", "", "", "", "", "", "", ""],
    ["2", "2", "0.5", "0.001", "1000", "1", "2.5", "1.25", "", "[[3,5]]", "", "", "", ""],
  ]);
  const gains = parse(tables["gains.csv"]);
  expect(gains[0]).toEqual(["step", "sublayer", "field", "value"]);
  expect(gains.slice(1)).toEqual(
    expect.arrayContaining([
      ["2", "3", "single.forward", "1.5"],
      ["2", "3", "columnError", "0.25"],
      ["2", "1", "mixing[1]", "0.25"],
      ["2", "2", "activation", "3"],
      ["2", "", "groups.weight.update", "0.5"],
    ]),
  );
  expect(gains.filter(([, , field]) => field === "largestLogit")).toEqual([["2", "1", "largestLogit", "4"]]);
  expect(gains).toHaveLength(1 + 4 + 2 + 1 + 8 + 4 + 3);
  expect(parse(tables["events.csv"])[1]).toEqual([
    "2",
    "'=HYPERLINK(1)",
    "rollback",
    "",
    "",
    "",
    "1",
    "0.5",
    'a "bad",\nname',
  ]);
});

test("files are written where asked, and replaced only when asked", () => {
  const out = path.join(runs.folder, "out");
  const files = exportCsv(path.join(runs.folder, "run"), out);
  expect(files.map((file) => path.basename(file))).toEqual(["metrics.csv", "gains.csv", "events.csv"]);
  expect(() => exportCsv(path.join(runs.folder, "run"), out)).toThrow(/metrics\.csv: .*or replace it \(--overwrite\)/);
  fs.writeFileSync(files[0]!, "");
  exportCsv(path.join(runs.folder, "run"), out, { overwrite: true });
  expect(fs.readFileSync(files[0]!, "utf8")).toMatch(/^step,loss/);
  expect(() => exportCsv(path.join(runs.folder, "none"), out)).toThrow(/there is no run in/);
});

test("a folder full of nonsense gives tables all the same", () => {
  const folder = runs.write("hostile", {
    metrics: [metric(1, { loss: { toString: 1 } as never, expertLoad: "=1+1" as never })],
    gains: [
      {
        step: 1,
        "=a": ["x", 1],
        single: 7,
        composite: { forward: "no" },
        sublayers: "no",
        groups: { "=g": { n: 1 }, x: 3 },
      } as never,
      { step: 2, single: null, groups: null, mixing: [[1, "=x", null]] } as never,
    ],
    events: [{ step: 1, rollback: "x" } as never],
  });
  const tables = csvTables(readRunData(folder));
  expect(parse(tables["gains.csv"]).slice(1)).toEqual([["1", "1", "'=a", "1"]]);
  expect(parse(tables["metrics.csv"])[1]!.slice(0, 2)).toEqual(["1", ""]);
  expect(parse(tables["events.csv"])[1]![0]).toBe("1");
});
