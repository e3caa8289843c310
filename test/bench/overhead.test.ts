import { describe, expect, it } from "vitest";
import { forwardBackward, modelConfig, sizes } from "../../bench/lib/forward-backward.ts";
import { timing } from "../../bench/lib/interleave.ts";
import { race } from "../../bench/lib/race.ts";
import { figureJson, meetsBar } from "../../bench/lib/report.ts";
import { overhead, overheadChart, overheads, precisions } from "../../bench/overhead.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";

const tiny = { width: 32, layers: 1, heads: 2, context: 16, batch: 2 };

describe("overhead", () => {
  it("is the extra time as a fraction of the residual model's, from medians", () => {
    const figure = overhead("x", timing("mHC", [10, 11, 30]), timing("residual", [9, 10, 11]), 0.15);
    expect(figure.value).toBeCloseTo(0.1, 12);
    expect(meetsBar(figure)).toBe(true);
    expect(meetsBar({ ...figure, value: 0.16 })).toBe(false);
    expect(JSON.parse(figureJson(figure))).toMatchObject({ ours: { median: 11 }, theirs: { median: 10 } });
  });

  it("has a figure for each width, one for each precision, and those of the chart on request", () => {
    for (const width of [256, 512, 1280]) {
      expect(overheads.names).toContain(`mhc.overhead.c${width}`);
      for (const precision of Object.keys(precisions)) {
        expect(overheads.names).toContain(`mhc.overhead.c${width}.${precision}`);
        expect(overheadChart.names).toContain(`chart.overhead.c${width}.n8.${precision}`);
      }
    }
    expect(overheadChart.onRequest).toBe(true);
  });
});

describe("forwardBackward", () => {
  it.each(Object.entries(precisions))("computes every gradient, with residuals and with mHC in %s", async (_, own) => {
    const runtime = await createWasmRuntime({ threads: 1 });
    try {
      for (const connection of [{ kind: "residual" }, { kind: "mhc", streams: 2, ...own }]) {
        const program = forwardBackward(runtime, tiny, connection);
        expect(program.readNow("loss")[0]).toBeCloseTo(Math.log(512), 0);
        expect(program.readNow("layers.0.feedForward.down").length).toBe(88 * 32);
      }
    } finally {
      runtime.close();
    }
  });

  it("takes the hidden width of the presets", () => {
    const { hidden, heads, connection } = modelConfig(sizes[256]!, { kind: "mhc" });
    expect({ hidden, heads }).toEqual({ hidden: 704, heads: 8 });
    expect(connection).toMatchObject({ streams: 4, iterations: 20 });
  });
});

describe("race", () => {
  it("runs the programs in turns, each as often as it says", async () => {
    const order: string[] = [];
    const racer = (label: string, count: number) => ({ label, count, run: () => void order.push(label) });
    const { timings, background } = await race([racer("a", 1), racer("b", 2)], { rounds: 2, note: () => {} });
    expect(order.join("")).toBe("abbabbabb"); // The first round is not counted.
    expect(timings.map(({ ms }) => ms.length)).toEqual([2, 4]);
    expect(background).toBeGreaterThanOrEqual(0);
  });
});
