// What the charts of the page compute: smoothing, ticks, seeds together, scales of gains, rows of the table, files.

import { describe, expect, test } from "vitest";
import type { RunCard } from "../../src/report/server/messages.ts";
import { smoothed, usualWindow } from "../../web/src/lib/curves.ts";
import { busiest, loadPosition } from "../../web/src/lib/expert-rows.ts";
import { csvOf, type Picture, svgOf } from "../../web/src/lib/export.ts";
import { bandOf, commonName, familiesOf } from "../../web/src/lib/families.ts";
import { duration, short, timeLeft } from "../../web/src/lib/format.ts";
import { gainPosition, gainRange, gainStatement, scaleOf, scaleTicks } from "../../web/src/lib/gain-scale.ts";
import { meanCell, runRows, sortedRows } from "../../web/src/lib/run-rows.ts";
import { savedText } from "../../web/src/lib/saved.ts";
import { axisTicks, linearTicks, logRange, logTicks, tickTexts } from "../../web/src/lib/ticks.ts";

describe("smoothing", () => {
  const steps = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

  test("begins at the first value and stays on a constant curve", () => {
    for (const each of smoothed({ step: steps(3), value: [7, 7, 7] }, 50)) expect(each).toBeCloseTo(7, 12);
    expect(smoothed({ step: [5, 9], value: [3, 1] }, 50)[0]).toBe(3);
    expect(smoothed({ step: steps(2), value: [3, 1] }, 0)).toEqual([3, 1]);
  });

  test("is TensorBoard's debiased mean at steps that follow one another", () => {
    const value = [6, 5, 5.5, 4, 4.2, 3.1];
    const window = 10;
    const weight = Math.exp(-1 / window);
    let last = 0;
    const expected = value.map((each, index) => {
      last = last * weight + (1 - weight) * each;
      return last / (1 - weight ** (index + 1));
    });
    smoothed({ step: steps(value.length), value }, window).forEach((each, index) =>
      expect(each).toBeCloseTo(expected[index]!, 12),
    );
  });

  test("follows a falling curve from its beginning: the mean of what was seen, never above it", () => {
    const value = steps(100).map((step) => 10 / step);
    const smooth = smoothed({ step: steps(100), value }, 50) as number[];
    expect(smooth[9]!).toBeLessThan(value.slice(0, 10).reduce((a, b) => a + b) / 10 + 0.1);
    expect(smooth[0]).toBe(10);
  });

  test("is chosen by the length of the curves", () => {
    expect([0, 59, 400, 990, 7500, 1e6].map(usualWindow)).toEqual([0, 0, 10, 20, 200, 1000]);
  });
});

describe("ticks", () => {
  test("are numbers that are written out", () => {
    const texts = (low: number, high: number, most = 6): string[] => tickTexts(linearTicks(low, high, most));
    expect(texts(0, 7600, 5)).toEqual(["0", "2,000", "4,000", "6,000"]);
    expect(texts(3.1, 3.52)).toEqual(["3.1", "3.2", "3.3", "3.4", "3.5"]);
    expect(texts(0, 0.002, 4)).toEqual(["0.0000", "0.0005", "0.0010", "0.0015", "0.0020"]);
    expect(texts(0, 5e5, 3)).toEqual(["0", "200k", "400k"]);
    expect(texts(0, 4e-5, 3)).toEqual(["0", "2e-5", "4e-5"]);
    expect(texts(-2, 2, 4)).toEqual(["-2", "-1", "0", "1", "2"]);
    expect(linearTicks(5, 5, 4)).toEqual([5]);
  });

  test("of steps are whole, of time what a clock shows", () => {
    expect(axisTicks(1, 990, 6, "step")).toEqual([200, 400, 600, 800]);
    expect(axisTicks(1, 4, 10, "step")).toEqual([1, 2, 3, 4]);
    // Not a single tick at 500.
    expect(axisTicks(1, 865, 3.8, "step")).toEqual([200, 400, 600, 800]);
    expect(axisTicks(0, 400, 5, "time").map(duration)).toEqual(["0 s", "2 min", "4 min", "6 min"]);
    expect(axisTicks(0, 9000, 5, "time").map(duration)).toEqual([
      "0 s",
      "30 min",
      "1 h",
      "1 h 30 min",
      "2 h",
      "2 h 30 min",
    ]);
  });

  test("of a logarithmic axis are powers of ten, with 2 and 5 where they fit, and even ones near 1", () => {
    const texts = (low: number, high: number, most = 6): string[] => tickTexts(logTicks(low, high, most), true);
    expect(texts(0.5, 40)).toEqual(["0.5", "1", "2", "5", "10", "20"]);
    expect(texts(1, 1e6)).toEqual(["1", "10", "100", "1,000", "10,000", "100k", "1M"]);
    expect(texts(1e-9, 1e9, 5)).toEqual(["1e-8", "1e-4", "1", "10,000", "100M"]);
    expect(texts(...logRange(1, 1.01))).toEqual(["0.8", "1", "1.2", "1.4"]);
    expect(logTicks(0, 1, 5)).toEqual([]);
    expect(logRange(null, null)).toEqual([0.1, 10]);
  });

  test("numbers and times are read at a glance", () => {
    expect([14_290.4, 123_456, 2.34567, 9250, 0.00012, 8_450_000].map((value) => short(value))).toEqual([
      "14,290",
      "123,456",
      "2.346",
      "9250",
      "1.20e-4",
      "8.45e6",
    ]);
    expect([3, 42, 100, 5000, 200_000].map(timeLeft)).toEqual(["5 s", "40 s", "2 min", "1 h 23 min", "2 days"]);
  });
});

describe("seeds together", () => {
  test("have a mean and a band where they have values, between their steps too", () => {
    const band = bandOf([
      { x: [0, 10, 20], y: [4, 2, 1] },
      { x: [0, 20], y: [6, 3] },
      { x: [0, 10], y: [5, null] },
    ]);
    expect(band.x).toEqual([0, 10, 20]);
    expect(band.mean).toEqual([5, 3.25, 2]);
    expect(band.low).toEqual([4, 2, 1]);
    expect(band.high).toEqual([6, 4.5, 3]);
    expect(band.count).toEqual([3, 2, 2]);
  });

  test("are the runs that differ in nothing else", () => {
    expect(familiesOf(["a1", "b1", "a2"], (run) => run[0]!)).toEqual([["a1", "a2"], ["b1"]]);
    expect(commonName(["mhc-seed1", "mhc-seed12"])).toBe("mhc");
    expect(commonName(["wide-a", "wide-b"])).toBe("wide");
    expect(commonName(["one"])).toBe("one");
    expect(commonName(["x", "y"])).toBe("x and 1 more");
  });
});

describe("gains", () => {
  const maps = (gains: (number | null)[][]): Parameters<typeof gainRange>[0]["maps"] => ({
    compositeBackward: gains,
    compositeForward: [],
    singleBackward: [],
    singleForward: [],
  });

  test("near 1 are a result that is said, on a scale of its own", () => {
    const near = gainRange(
      {
        maps: maps([
          [1, 1.003],
          [0.999, null],
        ]),
      },
      "compositeBackward",
    )!;
    expect(near).toEqual({ least: 0.999, most: 1.003 });
    expect(gainStatement(near)).toBe("Every gain is within 0.3 % of 1: a signal is hardly amplified or damped.");
    expect(gainStatement({ least: 1, most: 1 })).toBe("Every gain is 1: a signal is neither amplified nor damped.");
    const scale = scaleOf([near]);
    expect(scaleTicks(scale).map(({ text }) => text)).toEqual(["0.999", "1.000", "1.001", "1.002", "1.003"]);
    // It is not white, and not as strong as an explosion.
    expect(gainPosition(1.003, scale)).toBeGreaterThan(0.3);
    expect(gainPosition(1.003, scale)).toBeLessThan(0.6);
    expect(gainPosition(1, scale)).toBe(0);
    // Those of an identity are all 1; ticks that read the same would stop the page.
    const exact = scaleTicks(scaleOf([{ least: 1, most: 1 }])).map(({ text }) => text);
    expect(exact).toContain("1.000000");
    expect(new Set(exact).size).toBe(exact.length);
  });

  test("far from 1 use the whole scale from the least to the most", () => {
    const far = { least: 1, most: 40 };
    const scale = scaleOf([far, { least: 0.999, most: 1.003 }]);
    expect(gainStatement(far)).toBe("The mixing amplifies up to 40 times.");
    expect(gainStatement({ least: 0.1, most: 8 })).toBe(
      "The mixing amplifies up to 8 times and damps down to 0.1 times.",
    );
    expect([scale.low, scale.high]).toEqual([0.999, 40]);
    expect(gainPosition(40, scale)).toBeCloseTo(1, 12);
    const ticks = scaleTicks(scale);
    expect(ticks.map(({ text }) => text)).toEqual(["1", "3", "10", "30"]);
    expect(ticks.every(({ at }) => at >= 0 && at <= 1)).toBe(true);
    expect(gainRange({ maps: maps([[null]]) }, "compositeBackward")).toBeUndefined();
  });

  test("loads of experts are white when even", () => {
    expect([0, 1, 2, 9, null].map(loadPosition)).toEqual([-1, 0, 0.5, 1, NaN]);
    expect(busiest([0.5, 2.5, 0, 1])).toBe("busiest now: expert 1 with 2.5 times an even load; 1 idle");
  });
});

describe("the table of runs", () => {
  const card = (id: string, more: Partial<RunCard> = {}): RunCard => ({
    id,
    name: id,
    group: "",
    connection: "mhc",
    size: "",
    state: "finished",
    step: 10,
    steps: 10,
    loss: 3,
    validationLoss: 4,
    bitsPerByte: 2,
    tokensPerSecond: 100,
    seconds: 5,
    secondsLeft: null,
    saved: null,
    seed: 1,
    family: id,
    experts: false,
    ranks: [],
    net: false,
    tokensPerStep: 64,
    begun: 0,
    tags: [],
    controlled: false,
    alarms: 0,
    problem: null,
    ...more,
  });
  const cards = [
    card("a-seed1", { family: "a", bitsPerByte: 2.5 }),
    card("a-seed2", { family: "a", bitsPerByte: 2.1, seed: 2, alarms: 3 }),
    card("b", { bitsPerByte: null }),
    card("c", { bitsPerByte: 2.2 }),
  ];
  const bests = { "a-seed1": { step: 7, validationLoss: 3, bitsPerByte: 1.5 } };

  test("is sorted by any column, with what has no value at the end", () => {
    const rows = runRows(cards, bests, false);
    const names = (descending: boolean): string[] =>
      sortedRows(rows, { column: "last", descending }).map(({ name }) => name);
    expect(names(false)).toEqual(["a-seed2", "c", "a-seed1", "b"]);
    expect(names(true)).toEqual(["a-seed1", "c", "a-seed2", "b"]);
    expect(sortedRows(rows, { column: "name", descending: true })[0]!.name).toBe("c");
    expect(rows[0]!.cells.best).toEqual({ value: 1.5 });
    expect(rows[0]!.cells.bestStep).toEqual({ value: 7 });
    expect(rows[1]!.cells.best).toEqual({ value: null });
  });

  test("has one row for the seeds of a configuration, with their mean and range", () => {
    const [first, ...others] = runRows(cards, bests, true);
    expect(others.map(({ name }) => name)).toEqual(["b", "c"]);
    expect(first!.name).toBe("a");
    expect(first!.cells.seed).toEqual({ value: "2 seeds" });
    expect(first!.cells.last).toEqual({ value: 2.3, spread: [2.1, 2.5] });
    expect(first!.cells.alarms).toEqual({ value: 3 });
    expect(meanCell([null, undefined, NaN])).toEqual({ value: null });
  });

  test("a save is said by its step", () => {
    expect(savedText([{ name: "a", saved: 985 }])).toBe("Saved at step 985.");
    expect(
      savedText([
        { name: "a", saved: 1200 },
        { name: "b", saved: 1199 },
      ]),
    ).toBe("Saved: a at step 1,200, b at step 1,199.");
  });
});

describe("files of a chart", () => {
  const look = { colour: "#009e73", dash: [6, 3] };
  const picture: Picture = {
    title: "Loss <of> runs",
    unit: "nats/token",
    axis: "step",
    logarithmic: false,
    x: [0, 1000],
    y: [2, 8],
    lines: [
      {
        key: "a",
        name: 'a & "b"',
        runs: ["a"],
        look,
        x: [0, 500, 700, 1000],
        y: [8, 5, null, 2],
        raw: { x: [0, 1000], y: [7, 3] },
      },
    ],
  };

  test("an SVG has the title, the names, the axes and the lines", () => {
    const svg = svgOf(picture);
    expect(svg).toContain(">Loss &#60;of&#62; runs</text>");
    expect(svg).toContain(">a &#38; &#34;b&#34;</text>");
    expect(svg).toContain(">nats/token</text>");
    expect(svg).toMatch(/>1,000<\/text>/);
    // A line that breaks at what is not finite, and the points behind it.
    expect(svg).toContain('d="M74 66L405 226M736 386" stroke="#009e73" stroke-width="1.7" stroke-dasharray="6 3"');
    expect(svg).toContain('stroke-opacity="0.22"');
    expect(svg).not.toContain("NaN");
  });

  test("a CSV has a column a run and every step of any", () => {
    const csv = csvOf([
      { name: "a", step: [1, 2], value: [0.5, null] },
      { name: "b, c", step: [2, 3], value: [4, 5] },
    ]);
    expect(csv).toBe('step,a,"b, c"\n1,0.5,\n2,not finite,4\n3,,5\n');
  });
});
