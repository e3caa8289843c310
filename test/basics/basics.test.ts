// Numbers as text, tables, sums, and the fields of an object that have a value.

import { expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { largestMagnitude, mean, median, sampleVariance, sum, parseDecimal } from "../../src/basics/numbers.ts";
import { isObject } from "../../src/basics/objects.ts";
import { showBytes, showCount, showDecimal, showPercent, showPlain, withPrefix } from "../../src/basics/show.ts";
import { alignCells, drawTable } from "../../src/basics/table.ts";

test("given leaves out what is undefined, and nothing else", () => {
  const fields = given({ a: undefined, b: 0, c: false, d: null, e: "" });
  expect(Object.entries(fields)).toEqual([
    ["b", 0],
    ["c", false],
    ["d", null],
    ["e", ""],
  ]);
});

test("bytes have units of 1024, from bytes to TiB", () => {
  expect([0, 12, 1023, 1024, 15_360, 2 ** 20 - 1, 2 ** 29, 80e9, 3 * 2 ** 40].map(showBytes)).toEqual([
    "0 B",
    "12 B",
    "1023 B",
    "1.0 KiB",
    "15.0 KiB",
    "1024.0 KiB",
    "512.0 MiB",
    "74.51 GiB",
    "3.00 TiB",
  ]);
});

test("other numbers have prefixes of 1000, commas, digits or a percent sign", () => {
  expect([0.5, 12, 1234, 27.048e9, 1.6e12].map((value) => withPrefix(value))).toEqual([
    "0.500",
    "12.0",
    "1.23 k",
    "27.0 G",
    "1.60 T",
  ]);
  expect(showCount(12_800)).toBe("12,800");
  expect([showPercent(0.067), showPercent(0.00126, 2)]).toEqual(["6.7 %", "0.13 %"]);
  expect([showDecimal(1.5, 3), showDecimal(-123_456, 3)]).toEqual(["1.500", "-1.23e+5"]);
});

test("a table's first column is left, the others right", () => {
  expect(
    drawTable([
      ["name", "value"],
      ["a", "1"],
      ["long one", "12"],
    ]),
  ).toBe(["name      value", "───────────────", "a             1", "long one     12"].join("\n"));
});

test("rows may lack cells at their end, and no line ends in spaces", () => {
  expect(alignCells([["a", "b", "c"], ["long"], ["x", "y"]], () => "left")).toEqual(["a     b  c", "long", "x     y"]);
});

test("sums, middles and the largest magnitude", () => {
  expect([sum([1, 2, 4]), sum(Float32Array.of(0.5, 0.25)), sum([])]).toEqual([7, 0.75, 0]);
  expect([mean([1, 2, 6]), median([9, 1, 2]), median([9, 1, 2, 4])]).toEqual([3, 2, 3]);
  expect([mean([]), median([]), sampleVariance([1])]).toEqual([NaN, NaN, NaN]);
  expect(sampleVariance([1, 3, 5])).toBe(4);
  expect([largestMagnitude([1, -3, 2]), largestMagnitude([]), largestMagnitude([1, NaN])]).toEqual([3, 0, NaN]);
});

test("objects are neither null nor lists", () => {
  expect([{}, { a: 1 }, [], null, "text", 1, undefined].map(isObject)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test("names from outside cannot steer a terminal", () => {
  expect(showPlain("\u001b[31mred\u0007\u009b1m é 🙂\n\tnext")).toBe("\\x1b[31mred\\x07\\x9b1m é 🙂\n\tnext");
});

test("a text is a number as people write it, and nothing that JavaScript alone reads as one", () => {
  const texts = [
    "12",
    " -0.5 ",
    "1e-3",
    ".5",
    "3.",
    "+7",
    "0x10",
    "0b1",
    "1_000",
    "Infinity",
    "",
    " ",
    "1e",
    "e5",
    "1,5",
  ];
  expect(texts.map(parseDecimal)).toEqual([12, -0.5, 0.001, 0.5, 3, 7, ...texts.slice(6).map(() => Number.NaN)]);
});
