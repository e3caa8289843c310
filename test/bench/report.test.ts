import { describe, expect, it } from "vitest";
import { given } from "../../src/basics/given.ts";
import { timing } from "../../bench/lib/interleave.ts";
import {
  type Figure,
  figureJson,
  figureTable,
  meetsBar,
  milliseconds,
  rate,
  ratio,
  report,
} from "../../bench/lib/report.ts";

const flop = 2 * 1024 ** 3;
const gflops = (ms: number): number => flop / ms / 1e6;
const ours = rate(timing("birkhoff", [20, 25, 22]), "best", "GFLOP/s", gflops);
const theirs = rate(timing("numpy", [24, 21, 30]), "best", "GFLOP/s", gflops);
const gemm = ratio("gemm.1024.t1.vs_openblas", ours, theirs, { higher_is_better: true, bar: 0.9 });
const missing: Figure = { name: "step.mhc.vs_torch_eager", skipped: "torch cannot be imported" };

describe("a side", () => {
  it("turns the least time into the best speed", () => {
    expect(ours.best).toBeCloseTo(107.374, 3);
    expect(ours.median).toBeCloseTo(97.613, 3);
    expect(ours.value).toBe(ours.best);
    expect(milliseconds(timing("birkhoff", [20, 25, 22]), "median")).toEqual({
      label: "birkhoff",
      value: 22,
      unit: "ms",
      median: 22,
      best: 20,
      samples: 3,
    });
  });
});

describe("ratio", () => {
  it("divides ours by theirs", () => {
    expect(gemm.value).toBeCloseTo(21 / 20, 12);
    expect(gemm).toMatchObject({ unit: "×", higher_is_better: true, bar: 0.9, ours, theirs });
  });

  it("refuses two units", () => {
    const time = milliseconds(timing("torch", [1]), "best");
    expect(() => ratio("x", ours, time, { higher_is_better: true })).toThrow("in GFLOP/s with torch in ms");
  });
});

describe("meetsBar", () => {
  it.each([
    [1.25, true, 1.3, false],
    [1.3, true, 1.3, true],
    [1.25, false, 1.25, true],
    [1.26, false, 1.25, false],
    [1.26, false, undefined, true],
  ])("%d, higher is better: %s, bar %d → %s", (value, higher_is_better, bar, met) => {
    expect(meetsBar({ name: "x", value, unit: "×", higher_is_better, ...given({ bar }) })).toBe(met);
  });
});

describe("figureJson", () => {
  it("is one line with the name, the value and both sides", () => {
    const line = figureJson(gemm);
    expect(line).not.toContain("\n");
    expect(JSON.parse(line)).toEqual({
      name: "gemm.1024.t1.vs_openblas",
      value: 1.05,
      unit: "×",
      higher_is_better: true,
      bar: 0.9,
      ours: { label: "birkhoff", value: 107.4, unit: "GFLOP/s", median: 97.61, best: 107.4, samples: 3 },
      theirs: { label: "numpy", value: 102.3, unit: "GFLOP/s", median: 89.48, best: 102.3, samples: 3 },
    });
  });

  it("gives the reason of a skipped figure", () => {
    expect(JSON.parse(figureJson(missing))).toEqual(missing);
  });

  it("refuses a value that JSON cannot hold", () => {
    expect(() => figureJson({ ...gemm, value: NaN })).toThrow('"gemm.1024.t1.vs_openblas" has value = NaN');
  });
});

describe("figureTable", () => {
  it("aligns its columns and lists what was skipped", () => {
    const cold: Figure = {
      name: "step.cold_seconds",
      value: 2.345,
      unit: "s",
      higher_is_better: false,
      bar: 1.5,
      ours: { label: "birkhoff", value: 2.345, unit: "s", median: 2.345, best: 2.1 },
      theirs: { label: "Node", value: 0.31, unit: "s" },
    };
    expect(figureTable([gemm, missing, cold])).toBe(
      `| figure                   | value  | bar     | ours                                | theirs                           |
| ------------------------ | ------ | ------- | ----------------------------------- | -------------------------------- |
| gemm.1024.t1.vs_openblas | 1.05 × | ≥ 0.9 ✓ | birkhoff: 107 GFLOP/s (median 97.6) | numpy: 102 GFLOP/s (median 89.5) |
| step.cold_seconds        | 2.35 s | ≤ 1.5 ✗ | birkhoff: 2.35 s (best 2.1)         | Node: 0.31 s                     |

step.mhc.vs_torch_eager skipped: torch cannot be imported
`,
    );
  });

  it("leaves empty columns out, and itself when nothing was measured", () => {
    const alone: Figure = { name: "tokens", value: 6100.4, unit: "tokens/s", higher_is_better: true };
    expect(figureTable([alone]).split("\n")[2]).toBe("| tokens | 6,100 tokens/s |");
    expect(figureTable([missing])).toBe("step.mhc.vs_torch_eager skipped: torch cannot be imported\n");
  });
});

describe("report", () => {
  async function* measuring(seen: string[]): AsyncGenerator<Figure> {
    yield gemm;
    seen.push("between");
    yield missing;
  }

  it("prints JSON lines as soon as they are known", async () => {
    const seen: string[] = [];
    const all = await report(measuring(seen), { json: true, write: (text) => seen.push(text) });
    expect(seen).toEqual([figureJson(gemm) + "\n", "between", figureJson(missing) + "\n"]);
    expect(all).toEqual([gemm, missing]);
  });

  it("prints one table for people", async () => {
    let text = "";
    await report([gemm, missing], { json: false, write: (part) => (text += part) });
    expect(text).toBe(figureTable([gemm, missing]));
  });
});
