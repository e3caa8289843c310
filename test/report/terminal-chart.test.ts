import { expect, test } from "vitest";
import { drawCurves } from "../../src/report/summary.ts";
import { drawChart } from "../../src/report/terminal-chart.ts";

test("lines turn, end before a gap and begin after it", () => {
  const text = drawChart([{ values: [5, 4, 3, undefined, undefined, 2, 2, 1, undefined] }], 4);
  expect(text.split("\n").map((line) => line.trimEnd())).toEqual([
    "       5.00 ┼╮",
    "       4.00 ┤╰╮",
    "       3.00 ┤ ╰╴",
    "       2.00 ┤    ╶─╮",
    "       1.00 ┤      ╰╴",
  ]);
  expect(drawChart([{ values: [7] }], 4).trimEnd()).toBe("       7.00 ┼");
});

test("a curve that is not finite at some steps has gaps there, and says how many", () => {
  const values = Array.from({ length: 30 }, (_, index) => (index >= 20 && index < 25 ? NaN : 5 - index / 10));
  for (const bad of [NaN, Infinity, -Infinity]) {
    const text = drawCurves([{ name: "loss", values: values.map((value) => (Number.isNaN(value) ? bad : value)) }]);
    expect(text).toMatch(/5\.00 ┼/);
    expect(text).toContain("── loss (5 of 30 steps are not finite)");
    expect(text).toContain("╴");
    expect(text).toContain("╶");
  }
  // Longer than it is wide: means over what is finite.
  expect(drawCurves([{ name: "loss", values: Array.from({ length: 700 }, (_, i) => (i % 2 ? NaN : 1)) }])).toContain(
    "1.00",
  );
  expect(drawCurves([{ name: "loss", values: [NaN, NaN] }])).toBe(
    "(no finite values)\n  ── loss (2 of 2 steps are not finite)",
  );
});
