// The rules of scoring are those of the harness, to the letter.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bestAssignment } from "../../src/evaluation/assignment.ts";
import { parseCsv } from "../../src/evaluation/csv.ts";
import { latexNumber } from "../../src/evaluation/latex-number.ts";
import { finalAnswer, insideBox, lastBoxed, sameAnswer, sameNumberOrText } from "../../src/evaluation/math-answers.ts";
import {
  capitalize,
  isDigits,
  lengthOf,
  numpyMean,
  parseFloatText,
  roundHalfEven,
  showFloat,
  splitWords,
  strip,
  stripEnd,
} from "../../src/evaluation/python.ts";
import { PythonRandom } from "../../src/evaluation/python-random.ts";
import { bbhFilter } from "../../src/evaluation/tasks/bbh.ts";
import { goldenCases } from "./golden.ts";

describe("the harness's own functions", () => {
  test.each([...goldenCases()])("%s", (_, cases) => {
    expect(cases.length).toBeGreaterThan(5);
    expect(cases.map(({ ours }) => ours)).toEqual(cases.map(({ theirs }) => theirs));
  });
});

test("the filter of BBH drops a character, and not half of one", () => {
  expect(bbhFilter.apply("So the answer is (A)😀")).toBe("(A)");
});

describe("Python", () => {
  test("white space", () => {
    expect(strip("\u001c a\u2003b \u0085")).toBe("a\u2003b");
    expect(strip("\ufeffa")).toBe("\ufeffa");
    expect(stripEnd(" a \n")).toBe(" a");
    expect(splitWords(" a\u3000b\tc ")).toEqual(["a", "b", "c"]);
  });

  test("letters and digits", () => {
    expect(capitalize("hELLO World")).toBe("Hello world");
    expect(capitalize("ßa")).toBe("Ssa");
    expect(lengthOf("a😀é")).toBe(3);
    expect([isDigits("12"), isDigits("٣²"), isDigits("1.2"), isDigits("")]).toEqual([true, true, false, false]);
  });

  test.each([
    ["1", 1],
    [" 2.50 ", 2.5],
    ["1_000", 1000],
    [".5", 0.5],
    ["5.", 5],
    ["1e3", 1000],
    ["-Infinity", -Infinity],
    ["1,234", undefined],
    ["1__0", undefined],
    ["0x10", undefined],
    ["", undefined],
    ["e5", undefined],
  ])("float(%j)", (text, value) => expect(parseFloatText(text)).toBe(value));

  test.each([
    [2, "2.0"],
    [-0, "-0.0"],
    [0.1, "0.1"],
    [1e16, "1e+16"],
    [123456789012345680, "1.2345678901234568e+17"],
    [9007199254740992, "9007199254740992.0"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [Infinity, "inf"],
  ])("repr(%s)", (value, text) => expect(showFloat(value)).toBe(text));

  test("numpy rounds halves to even, and sums eight numbers in its own order", () => {
    expect([0.125, 0.375, 0.666, 1].map((value) => roundHalfEven(value, 2))).toEqual([0.12, 0.38, 0.67, 1]);
    const values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
    // np.mean of these
    expect(numpyMean(values)).toBe(0.5);
    expect(numpyMean([0.1, 0.2, 0.3])).toBe(0.20000000000000004);
  });

  test("random.sample", () => {
    // random.Random(42).sample(range(10), 4); random.Random(2**40 + 7).sample(range(1000), 3)
    const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
    expect(new PythonRandom(42).sample(numbers(10), 4)).toEqual([1, 0, 4, 9]);
    expect(new PythonRandom(2 ** 40 + 7).sample(numbers(1000), 3)).toEqual([628, 765, 834]);
    expect(() => new PythonRandom(1).sample([1], 2)).toThrow("2 of 1 are asked for");
    expect(() => new PythonRandom(-1)).toThrow("-1 is given");
  });
});

test("the assignment has the largest sum that any has", () => {
  const row = (columns: number) =>
    fc.array(
      fc.integer({ min: 0, max: 100 }).map((value) => value / 100),
      { minLength: columns, maxLength: columns },
    );
  const matrix = fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
    .chain(([rows, columns]) => fc.array(row(columns), { minLength: rows, maxLength: rows }));
  const best = (scores: readonly (readonly number[])[], used: ReadonlySet<number> = new Set()): number => {
    const [first, ...rest] = scores;
    if (!first) return 0;
    const pairs = first.map((score, column) => (used.has(column) ? 0 : score + best(rest, new Set([...used, column]))));
    return Math.max(best(rest, used), ...pairs);
  };
  fc.assert(
    fc.property(matrix, (scores) => {
      const pairs = bestAssignment(scores);
      expect(pairs).toHaveLength(Math.min(scores.length, scores[0]!.length));
      expect(new Set(pairs.map(([, column]) => column)).size).toBe(pairs.length);
      expect(pairs.reduce((sum, [r, c]) => sum + scores[r]![c]!, 0)).toBeCloseTo(best(scores), 9);
    }),
    { numRuns: 200 },
  );
});

test("comma-separated values", () => {
  expect(parseCsv('a,"b, ""c""\nd",\r\n\n1,2,3\n')).toEqual([
    ["a", 'b, "c"\nd', ""],
    ["1", "2", "3"],
  ]);
  expect(parseCsv("x,")).toEqual([["x", ""]]);
  expect(() => parseCsv('a,"b')).toThrow("row 1: a quoted field does not end");
});

describe("answers of MATH", () => {
  test.each([
    ["12", 12],
    ["-3.5", -3.5],
    ["\\frac{1}{2}", 0.5],
    ["\\dfrac{1}{2}", 0.5],
    ["2\\sqrt{2}", 2 * Math.SQRT2],
    ["\\sqrt[3]{27}", 3],
    ["3^{-2}", 1 / 9],
    ["2^10", undefined],
    ["\\frac{\\pi}{4}", Math.PI / 4],
    ["(1+2)\\cdot 3/4", 2.25],
    ["\\left(\\frac{3}{2}\\right)", 1.5],
    ["x+1", undefined],
    ["\\frac{1}{0}", undefined],
    ["(1,2)", undefined],
    ["", undefined],
  ])("%s is %s", (text, value) => {
    if (value === undefined) expect(latexNumber(text)).toBeUndefined();
    else expect(latexNumber(text)).toBeCloseTo(value, 12);
  });

  test("equal texts and equal numbers are the same, other terms are not", () => {
    expect(sameNumberOrText("\\frac{1}{2}", "0.5")).toBe(true);
    expect(sameNumberOrText("[2,5)", "[2,5)")).toBe(true);
    expect(sameNumberOrText("x+1", "1+x")).toBe(false);
    expect(sameNumberOrText("2", "2.001")).toBe(false);
  });

  test("boxes and final answers", () => {
    expect(insideBox(lastBoxed("so $\\boxed{\\frac{1}{2}}$.")!)).toBe("\\frac{1}{2}");
    expect(insideBox(lastBoxed("it is $\\boxed 5$ then")!)).toBe("5");
    expect(lastBoxed("none")).toBeUndefined();
    expect(finalAnswer("Final Answer: The final answer is $7$. I hope it is correct.")).toBe("$7$");
    expect(finalAnswer("7")).toBe("[invalidanswer]");
    // A slash that is no fraction makes the original fail, which then compares the texts.
    expect(sameAnswer("a/b", "a/b")).toBe(true);
    expect(sameAnswer("a/b ", "a/b")).toBe(false);
  });
});
