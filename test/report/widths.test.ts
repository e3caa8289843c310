// What is drawn fits 40, 80 and 200 columns without losing anything, and colours are obeyed.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { drawTable, wrapLastColumn, wrapText } from "../../src/basics/table.ts";
import { createLiveView } from "../../src/report/live.ts";
import { drawCurves, summaryTable } from "../../src/report/summary.ts";
import { hasColours, painterOf, prose, widthOf } from "../../src/report/terminal.ts";

const WIDTHS = [40, 80, 200];
const longest = (text: string): number =>
  Math.max(
    ...stripVTControlCharacters(text)
      .split("\n")
      .map((line) => line.length),
  );

const summaries = ["residual", "hc", "mhc", "mhc-residualMap=identity"].map((name, at) => ({
  name,
  parameters: 1_234_567 + at,
  bitsPerByte: 2.3456,
  tokensPerSecond: 12_345,
  memoryBytes: 2 ** 28,
  largestGradientNorm: 1.234,
  largestForwardGain: at === 0 ? undefined : 1.2345,
  largestBackwardGain: at === 0 ? undefined : 12.3456,
  alarms: at,
  lastAlarm: at === 3 ? "gain at step 120" : undefined,
}));

test.each(WIDTHS)("the summary of a comparison fits %i columns and keeps every value", (width) => {
  const text = summaryTable(summaries, width);
  expect(longest(text)).toBeLessThanOrEqual(width);
  for (const { name, parameters } of summaries) {
    expect(text).toContain(name);
    expect(text).toContain(parameters.toLocaleString("en"));
  }
  for (const value of ["2.3456", "12,345", "256.0 MiB", "1.234", "1.2345", "12.3456"]) expect(text).toContain(value);
  expect(text.replaceAll("\n", " ")).toMatch(/last alarm of mhc-residualMap=identity: gain at step 120$/);
});

test("a table that does not fit: titles break, rows become columns, columns stand in bands, rows are blocks", () => {
  const rows = [
    ["model", "bits a byte", "tokens a second"],
    ["residual", "2.31", "1,234"],
    ["mhc", "2.29", "987"],
  ];
  expect(drawTable(rows, { width: 38 })).toBe(drawTable(rows));
  expect(drawTable(rows, { width: 30 }).split("\n")).toEqual([
    "          bits  tokens",
    "             a       a",
    "model     byte  second",
    "──────────────────────",
    "residual  2.31   1,234",
    "mhc       2.29     987",
  ]);
  const wide = [
    ["model", ...Array.from({ length: 6 }, (_, at) => `value${at}`)],
    ["a", ...Array.from({ length: 6 }, () => "1.000000")],
  ];
  expect(drawTable(wide, { width: 20 }).split("\n")[2]).toBe("value0  1.000000");
  const many = [wide[0]!, ...Array.from({ length: 4 }, () => wide[1]!)];
  const bands = drawTable(many, { width: 30 }).split("\n\n");
  expect(bands.map((band) => band.split("\n")[0])).toEqual([
    "model    value0    value1",
    "model    value2    value3",
    "model    value4    value5",
  ]);
  const sentences = [
    ["claim", "what we found here"],
    ["stays near one", "the product of all maps stays near one over all of the sublayers"],
  ];
  const blocks = drawTable(sentences, { width: 36 });
  expect(longest(blocks)).toBeLessThanOrEqual(36);
  expect(blocks.split("\n")[0]).toBe("stays near one");
  expect(blocks.replaceAll(/\s+/g, " ")).toContain("the product of all maps stays near one over all of the sublayers");
});

test("text breaks at spaces; a word that is too long keeps its line; a last column goes on below itself", () => {
  expect(wrapText("one two three four", 9)).toBe("one two\nthree\nfour");
  expect(wrapText("  see https://example.org/a/long/address now", 12)).toBe(
    "  see\n  https://example.org/a/long/address\n  now",
  );
  expect(wrapLastColumn("n  calls\n1  alpha beta gamma delta epsilon", 24)).toBe(
    "n  calls\n1  alpha beta gamma\n   delta epsilon",
  );
});

test.each(WIDTHS)("curves fit %i columns and use them", (width) => {
  const values = Array.from({ length: 500 }, (_, step) => 5 - Math.log(step + 1) / 2);
  const curves = summaries.map(({ name }) => ({ name, values }));
  const paint = painterOf({ isTTY: true }, {});
  for (const text of [drawCurves(curves, { width }), drawCurves(curves, { width, paint })]) {
    expect(longest(text)).toBe(width);
    expect(text).toContain("step 500");
  }
  expect(drawCurves(curves, { width })).toContain("c mhc");
  expect(drawCurves(curves, { width })).not.toContain("\x1b");
  expect(drawCurves(curves, { width, paint })).toContain("\x1b[36m── residual");
});

test("a run that ended early ends early in the chart", () => {
  const text = drawCurves([
    { name: "long", values: Array.from({ length: 700 }, () => 2) },
    { name: "short", values: Array.from({ length: 70 }, () => 1) },
  ]);
  const lowest = text.split("\n").find((line) => line.includes("1.00"))!;
  expect(lowest.trimEnd().length).toBe(13 + 7);
});

test.each(WIDTHS)("the live lines fit %i columns; ^C does not shift them", (columns) => {
  const written: string[] = [];
  const stream = { isTTY: true, columns, rows: 24, write: (text: string) => void written.push(text) };
  const view = createLiveView(stream as unknown as NodeJS.WriteStream);
  const row = { steps: 700, loss: 3.25, tokensPerSecond: 12345, gradientNorm: 0.5, gain: 1.01, bitsPerByte: 2 };
  const rows = summaries.map(({ name }) => ({ ...row, name, step: 120 }));
  view.update(rows, 60);
  const lines = stripVTControlCharacters(written.join("")).split("\n");
  expect(longest(lines.join("\n"))).toBeLessThan(columns);
  expect(lines[1]).toContain("120/700");
  expect(lines[1]).toContain("3.2500");
  expect(lines[5]).toMatch(/^1 min 00 s left · Ctrl-C saves and st/);
  if (columns === 200) expect(lines[1]).toMatch(/█{5,}░{25,}/);
  written.length = 0;
  view.ending!();
  expect(written.join("").startsWith("\r\x1b[6A\x1b[0J")).toBe(true);
  expect(stripVTControlCharacters(written.join(""))).toContain("saving · Ctrl-C again leaves at once");
  view.close();
});

test("more runs than lines: the rest is counted, for lines above the top could not be erased", () => {
  const written: string[] = [];
  const stream = { isTTY: true, columns: 80, rows: 10, write: (text: string) => void written.push(text) };
  const view = createLiveView(stream as unknown as NodeJS.WriteStream);
  const row = { steps: 7, step: 1, loss: 3, tokensPerSecond: 1, gradientNorm: 1, gain: 1, bitsPerByte: 2 };
  view.update(
    Array.from({ length: 30 }, (_, at) => ({ ...row, name: `run${at}` })),
    undefined,
  );
  const lines = stripVTControlCharacters(written.join("")).trimEnd().split("\n");
  expect(lines).toHaveLength(8);
  expect(lines.at(-1)).toBe("… and 24 more");
  view.close();
});

test("a log has the date and the time of day", () => {
  let text = "";
  const stream = { write: (part: string) => void (text += part) };
  const view = createLiveView(stream as unknown as NodeJS.WriteStream);
  const row = { name: "mhc", steps: 7, step: 1, loss: 3, tokensPerSecond: 1, gradientNorm: 1, gain: 1, bitsPerByte: 2 };
  view.update([row], 5);
  view.note("an alarm");
  expect(text).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d mhc: step 1\/7 {2}loss 3\.0000 .*left 5 s\n\d{4}-\d\d-\d\d \S+ an alarm\n$/,
  );
});

test("colours: a terminal has them, NO_COLOR and TERM=dumb turn them off, FORCE_COLOR decides", () => {
  const [terminal, pipe] = [{ isTTY: true }, {}];
  expect(hasColours(terminal, {})).toBe(true);
  expect(hasColours(pipe, {})).toBe(false);
  expect(hasColours(terminal, { NO_COLOR: "1" })).toBe(false);
  expect(hasColours(terminal, { NO_COLOR: "" })).toBe(true);
  expect(hasColours(terminal, { TERM: "dumb" })).toBe(false);
  expect(hasColours(pipe, { FORCE_COLOR: "1" })).toBe(true);
  expect(hasColours(terminal, { FORCE_COLOR: "0" })).toBe(false);
  expect(hasColours(pipe, { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(true);
});

test("widths: a terminal says its own, a pipe has COLUMNS or 80; commands are never broken", () => {
  expect(widthOf({ isTTY: true, columns: 132 }, {})).toBe(132);
  expect(widthOf({ isTTY: true, columns: 0 }, {})).toBe(80);
  expect(widthOf({}, {})).toBe(80);
  expect(widthOf({}, { COLUMNS: "200" })).toBe(200);
  const narrow = { isTTY: true, columns: 20 };
  expect(prose("a sentence of several words", narrow)).toBe("a sentence of\nseveral words");
  expect(prose("Continue: birkhoff train --resume runs/my", narrow)).toBe("Continue: birkhoff train --resume runs/my");
  expect(prose("a sentence of several words", {})).toBe("a sentence of several words");
});

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const hasScript = spawnSync("script", ["--version"]).status === 0;
test.skipIf(!hasScript).each([
  ["schedule", 40],
  ["schedule", 80],
  ["plan", 40],
  ["plan", 80],
  ["plan", 200],
] as const)("%s on a real terminal of %i columns", { timeout: 120_000 }, (command, columns) => {
  const shell = `stty cols ${columns}; exec ${process.execPath} ${main} ${command}`;
  const { stdout } = spawnSync("script", ["-qec", shell, "/dev/null"], {
    encoding: "utf8",
    input: "",
    env: { ...process.env, NO_COLOR: "1" },
  });
  const lines = stdout.replaceAll("\r", "").split("\n");
  expect(lines.length).toBeGreaterThan(20);
  expect(stdout).not.toContain("\x1b");
  expect(lines.filter((line) => line.length > columns && !line.includes("birkhoff "))).toEqual([]);
});

test.skipIf(!hasScript)("inspect draws its chart in colours without breaking its lines", { timeout: 120_000 }, () => {
  const run = fileURLToPath(new URL("../fixtures/runs-0.1/residual", import.meta.url));
  const { stdout } = spawnSync(
    "script",
    ["-qec", `stty cols 80; exec ${process.execPath} ${main} inspect ${run} --runtime wasm`, "/dev/null"],
    { encoding: "utf8", input: "", env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: "1" } },
  );
  expect(stdout).toContain("\x1b");
  const lines = stripVTControlCharacters(stdout).replaceAll("\r", "").split("\n");
  // From the first value of the axis down to its foot, every line has its value.
  const [first, last] = [lines.findIndex((line) => / [┼┤]/.test(line)), lines.findIndex((line) => line.includes("└"))];
  expect(last - first).toBeGreaterThan(5);
  expect(lines.slice(first, last).filter((line) => !/ [┼┤]/.test(line))).toEqual([]);
});
