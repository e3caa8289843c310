// Question: how much longer does a model take with mHC than with plain residuals?
//
// Forward and backward of a whole transformer (attention and SwiGLU sublayers), with n streams and 20 Sinkhorn
// iterations, are compared with those of the residual model of the same width. The figure is the extra time as a
// fraction, from the medians of programs that take turns on one runtime. Streams are stored in float32 or in bfloat16:
// both are measured, and the better one counts.
//
// The chart (`chart.overhead.*`) is measured differently: call by call on one thread, with the best time of every call
// over the rounds, while the models take turns.

import { given } from "../src/basics/given.ts";
import { groupBy } from "../src/runs/sweep/analysis.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram } from "../src/runtime/wasm/runtime.ts";
import { forwardBackward, sizes } from "./lib/forward-backward.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import type { Timing } from "./lib/interleave.ts";
import { race } from "./lib/race.ts";
import { type Measured, milliseconds } from "./lib/report.ts";

const THREADS = 2;
const STREAMS = 4;
/** Repetitions within a turn, for short steps. */
const COUNTS: Readonly<Record<number, number>> = { 256: 2 };
const bars: Readonly<Record<number, number>> = { 256: 0.15, 512: 0.1, 1280: 0.067 };
const widths: readonly number[] = Object.keys(bars).map(Number);

/** The precisions in which streams are stored, and the option for each. */
export const precisions: Readonly<Record<string, object>> = {
  float32: {},
  bfloat16: { streamPrecision: "bfloat16" },
};

/** Extra time as a fraction of the residual model's. */
export function overhead(name: string, connected: Timing, residual: Timing, bar?: number): Measured {
  const [ours, theirs] = [milliseconds(connected, "median"), milliseconds(residual, "median")];
  const value = ours.value / theirs.value - 1;
  return { name, value, unit: "extra", higher_is_better: false, ...given({ bar }), ours, theirs };
}

type Variant = { readonly streams: number; readonly precision: string };

/** Time residual and every variant in turns, at one width. */
async function measureWidth(width: number, variants: readonly Variant[], options: GroupOptions) {
  const runtime = await createWasmRuntime({ threads: THREADS });
  try {
    const size = sizes[width]!;
    const racer = (label: string, connection: object) => {
      const program = forwardBackward(runtime, size, connection);
      return { label: `${label} C = ${width}`, run: () => program.run(), count: COUNTS[width] ?? 1 };
    };
    const racers = [
      racer("residual", { kind: "residual" }),
      ...variants.map(({ streams, precision }) =>
        racer(`mHC n = ${streams} ${precision}`, { kind: "mhc", streams, ...precisions[precision] }),
      ),
    ];
    const { timings, background } = await race(racers, options);
    return { residual: timings[0]!, connected: timings.slice(1), background };
  } finally {
    runtime.close();
  }
}

const nameOf = (width: number): string => `mhc.overhead.c${width}`;

/** `mhc.overhead.c256`: the better precision; `mhc.overhead.c256.float32`: one of them. */
export const overheads: Group = {
  names: widths.flatMap((width) => [
    nameOf(width),
    ...Object.keys(precisions).map((precision) => `${nameOf(width)}.${precision}`),
  ]),
  async *measure(names, options) {
    for (const width of widths) {
      const name = nameOf(width);
      if (!names.some((chosen) => chosen === name || chosen.startsWith(`${name}.`))) continue;
      const variants = Object.keys(precisions)
        .filter((precision) => names.includes(name) || names.includes(`${name}.${precision}`))
        .map((precision) => ({ streams: STREAMS, precision }));
      const { residual, connected, background } = await measureWidth(width, variants, options);
      const best = connected.reduce((a, b) => (b.median < a.median ? b : a));
      if (names.includes(name)) yield { ...overhead(name, best, residual, bars[width]), background };
      for (const [k, { precision }] of variants.entries()) {
        const own = `${name}.${precision}`;
        if (names.includes(own)) yield { ...overhead(own, connected[k]!, residual), background };
      }
    }
  },
};

const CHART_STREAMS: readonly number[] = [1, 2, 4, 8];

export type ChartPoint = Variant & { readonly width: number };

/** `chart.overhead.c256.n4.float32`: for docs/overhead.svg. */
const chartPoints = widths.flatMap((width) =>
  CHART_STREAMS.flatMap((streams) =>
    Object.keys(precisions).map((precision) => ({
      name: `chart.overhead.c${width}.n${streams}.${precision}`,
      width,
      streams,
      precision,
    })),
  ),
);

/** The measurement behind the chart's figure of this name; undefined for other names. */
export function chartPoint(name: string): ChartPoint | undefined {
  const found = chartPoints.find((point) => point.name === name);
  return found && { width: found.width, streams: found.streams, precision: found.precision };
}

/** Milliseconds of programs that take turns on one thread: the sum over all calls of each call's best time. */
export function profiled(programs: readonly WasmProgram[], turns: number): number[] {
  for (const program of programs) program.profile(); // not counted: V8 optimises the code meanwhile
  const best = programs.map((): number[] => []);
  for (let turn = 0; turn < turns; turn++)
    for (const [index, program] of programs.entries())
      program.profile().forEach(({ milliseconds }, call) => {
        best[index]![call] = Math.min(best[index]![call] ?? Number.POSITIVE_INFINITY, milliseconds);
      });
  return best.map((calls) => calls.reduce((sum, milliseconds) => sum + milliseconds, 0));
}

/** One thread and the best time of each call: other programs would hide the small differences between many models. */
export const overheadChart: Group = {
  names: chartPoints.map(({ name }) => name),
  onRequest: true,
  async *measure(names, { rounds, note }) {
    // Take one number of streams at a time: all models of a large width would not fit the runtime's memory together.
    const chosen = chartPoints.filter(({ name }) => names.includes(name));
    for (const points of groupBy(chosen, ({ width, streams }) => `${width} ${streams}`).values()) {
      const { width, streams } = points[0];
      const runtime = await createWasmRuntime({ threads: 1 });
      try {
        note(`profiling C = ${width}, n = ${streams}: ${rounds} rounds`);
        const connections = points.map(({ precision }) => ({ kind: "mhc", streams, ...precisions[precision] }));
        const programs = [{ kind: "residual" }, ...connections].map((connection) =>
          forwardBackward(runtime, sizes[width]!, connection),
        );
        const [residual, ...times] = profiled(programs, rounds);
        const theirs = { label: `residual C = ${width}`, value: residual!, unit: "ms" };
        for (const [index, { name, precision }] of points.entries()) {
          const ours = { label: `mHC n = ${streams} ${precision} C = ${width}`, value: times[index]!, unit: "ms" };
          yield { name, value: ours.value / theirs.value - 1, unit: "extra", higher_is_better: false, ours, theirs };
        }
      } finally {
        runtime.close();
      }
    }
  },
};
