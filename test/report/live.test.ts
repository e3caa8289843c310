// The live lines on a terminal of 80 columns, with short names and with those of variants.

import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { createLiveView, type LiveRow } from "../../src/report/live.ts";

function linesFor(names: readonly string[], columns = 80): string[] {
  let text = "";
  const stream = { isTTY: true, columns, write: (part: string) => void (text += part) };
  const view = createLiveView(stream as unknown as NodeJS.WriteStream);
  const row = {
    step: 100,
    steps: 700,
    loss: 3.25,
    tokensPerSecond: 12345,
    gradientNorm: 0.5,
    gain: 1.01,
    bitsPerByte: 2,
  };
  view.update(
    names.map((name): LiveRow => ({ name, ...row })),
    60,
  );
  view.close();
  return stripVTControlCharacters(text).split("\n");
}

test("short names leave room for the bar", () => {
  const [header, first] = linesFor(["residual", "mhc"]);
  expect(header).toMatch(/^ {5}model .* gain$/);
  expect(first).toMatch(/^ {2}residual .*█.*1\.010$/);
  expect(first!.length).toBe(78);
});

test("long names take the bar's place, and keep the end that tells them apart", () => {
  const lines = linesFor(["attention-residuals", "mhc-residualMap=identity", "mhc-residualMap=cayley"]);
  for (const line of lines.slice(0, 4)) expect(line.length).toBe(79);
  expect(lines[1]).toMatch(/^attention-residuals .*1\.010$/);
  expect(lines[2]).toMatch(/^…sidualMap=identity .*1\.010$/);
  expect(lines[3]).toMatch(/^…residualMap=cayley .*1\.010$/);
  expect(lines.join("")).not.toContain("█");
  expect(linesFor(["attention-residuals"], 120)[1]).toContain("█");
});
