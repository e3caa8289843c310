import { expect, test } from "vitest";
import { drawBars } from "../../src/report/bars.ts";

test("bars are as long as their sums, each part with a pattern of its own; unknown parts are left out", () => {
  const bars = [
    {
      label: "a",
      parts: [
        { name: "x", value: 3 },
        { name: "y", value: 1 },
      ],
    },
    {
      label: "bb",
      parts: [
        { name: "x", value: 1 },
        { name: "y", value: Number.NaN },
      ],
    },
  ];
  const [first, second, ...legend] = drawBars(bars, String, 15).split("\n");
  expect(first).toBe("a   ██████▓▓  4");
  expect(second).toBe("bb  ██        1");
  expect(legend).toEqual(["    █ x   ▓ y"]);
  expect(drawBars(bars, String, 80).split("\n")[0]).toBe(`a   ${"█".repeat(55)}${"▓".repeat(18)}  4`);
  // In a narrow place an entry of the legend is a line.
  expect(drawBars(bars, String, 10).split("\n").slice(2)).toEqual(["    █ x", "    ▓ y"]);
});
