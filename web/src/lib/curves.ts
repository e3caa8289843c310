// Question: how does the page hold the curves of a run, extend, refine and smooth them, and change their axis?

import type { Clock, Curves, LiveRow, Points } from "../../../src/report/server/messages.ts";
import { type CurveName, curves } from "../../../src/training/scalars.ts";

export type Axis = "step" | "tokens" | "time";

interface GrowingPoints {
  step: number[];
  /** null if the value was not finite. */
  value: (number | null)[];
}

export interface Curve extends GrowingPoints {
  mean: GrowingPoints | undefined;
}

export interface RunCurves {
  readonly curves: Readonly<Record<CurveName, Curve>>;
  readonly clock: { step: number[]; value: number[] };
  /** Points added since they were fetched. */
  added: number;
}

const grow = ({ step, value }: Points): GrowingPoints => ({ step: [...step], value: [...value] });

export function runCurves({ series, clock }: Curves): RunCurves {
  const entries = curves.map(({ curve: { name } }) => {
    const { mean, ...points } = series[name];
    return [name, { ...grow(points), mean: mean && grow(mean) }] as const;
  });
  return {
    curves: Object.fromEntries(entries) as unknown as RunCurves["curves"],
    clock: { step: [...clock.step], value: [...clock.value] },
    added: 0,
  };
}

/** Add a live row. Returns false if its step is before the last one: the run went back. */
export function addRow(run: RunCurves, [step, seconds, ...values]: LiveRow): boolean {
  for (const [
    index,
    {
      curve: { name },
    },
  ] of curves.entries()) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const curve = run.curves[name];
    if (step <= (curve.step.at(-1) ?? -1)) return false;
    for (const points of curve.mean ? [curve, curve.mean] : [curve]) {
      points.step.push(step);
      points.value.push(value === "not finite" ? null : value);
    }
    run.added++;
  }
  if (seconds !== null) {
    run.clock.step.push(step);
    run.clock.value.push(seconds);
  }
  return true;
}

/** The same curves with finer points over some steps. */
export interface Detail {
  /** The curves that it is a part of. When these are fetched again, the detail becomes void. */
  readonly whole: RunCurves;
  readonly from: number;
  readonly to: number;
  /** The last step at the time of the request: later steps are in the whole curves. */
  readonly until: number;
  readonly fine: RunCurves;
}

/** The whole curve, with finer points where they exist. */
export function withDetail(name: CurveName, { whole, from, to, until, fine }: Detail): Curve {
  const [outer, inner] = [whole.curves[name], fine.curves[name]];
  const end = Math.min(to, Math.max(until, inner.step.at(-1) ?? -1));
  const join = (coarse: Points, points: Points): GrowingPoints => {
    const before = coarse.step.findIndex((step) => step >= from);
    const [first, after] = [before < 0 ? coarse.step.length : before, coarse.step.findIndex((step) => step > end)];
    const rest = Math.max(first, after < 0 ? coarse.step.length : after);
    const put = <T>(around: readonly T[], within: readonly T[]): T[] => [
      ...around.slice(0, first),
      ...within,
      ...around.slice(rest),
    ];
    return { step: put(coarse.step, points.step), value: put(coarse.value, points.value) };
  };
  const mean = outer.mean || inner.mean ? join(outer.mean ?? outer, inner.mean ?? inner) : undefined;
  return { ...join(outer, inner), mean };
}

/** Whether the server has more points for some steps than the whole curves show. */
export function isCoarse({ curves }: RunCurves): boolean {
  return Object.values(curves).some(({ mean }) => mean !== undefined);
}

/**
 * Exponential mean over about `window` steps; it does not depend on how many steps lie between two points. The mean is of
 * what has been seen so far, so that it begins at the first value and not too high (as TensorBoard's, debiased). A window
 * of 0 leaves the points unchanged. Gaps stay, and do not count.
 */
export function smoothed({ step, value }: Points, window: number): (number | null)[] {
  if (window === 0) return [...value];
  let [sum, weights] = [0, 0];
  let before: number | undefined;
  return value.map((each, index) => {
    if (each === null) return null;
    const at = step[index]!;
    const kept = before === undefined ? 0 : Math.exp(-(at - before) / window);
    // A point stands for the steps since the one before it.
    const share = before === undefined ? 1 - Math.exp(-1 / window) : 1 - kept;
    before = at;
    [sum, weights] = [kept * sum + share * each, kept * weights + share];
    return sum / weights;
  });
}

/** The windows that the page offers, in steps. */
export const windows: readonly number[] = [0, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** The window for curves of that many steps if nobody has chosen one. */
export function usualWindow(steps: number): number {
  return windows.findLast((each) => each <= steps / 30) ?? 0;
}

/** The curve of another: seconds of a step from tokens a second. */
export function inverted({ step, value, mean }: Curve, tokensPerStep: number): Curve {
  const turn = (values: readonly (number | null)[]): (number | null)[] =>
    values.map((each) => (each === null || each <= 0 ? null : tokensPerStep / each));
  return { step, value: turn(value), mean: mean && { step: mean.step, value: turn(mean.value) } };
}

/** Steps on another axis: seconds between the points of the clock are interpolated. */
export function onAxis(steps: readonly number[], axis: Axis, tokensPerStep: number | null, clock: Clock): number[] {
  if (axis === "tokens" && tokensPerStep !== null) return steps.map((step) => step * tokensPerStep);
  if (axis === "step" || axis === "tokens" || clock.step.length === 0) return [...steps];
  return interpolated(steps, clock.step, clock.value);
}

/** The first and the last step within an interval of an axis. */
export function stepsWithin(
  stretch: readonly [from: number, to: number],
  axis: Axis,
  tokensPerStep: number | null,
  clock: Clock,
): readonly [from: number, to: number] {
  let [from, to] = stretch;
  if (axis === "tokens" && tokensPerStep !== null) [from, to] = [from / tokensPerStep, to / tokensPerStep];
  if (axis === "time" && clock.step.length > 0)
    [from, to] = interpolated([from, to], clock.value, clock.step) as [number, number];
  return [Math.max(0, Math.floor(from)), Math.max(0, Math.ceil(to))];
}

/** Interpolate values at ascending places between known ones. Lines continue to the origin and past the last one. */
function interpolated(places: readonly number[], xs: readonly number[], ys: readonly number[]): number[] {
  let at = 0;
  const last = xs.length - 1;
  return places.map((x) => {
    while (at < last && xs[at]! < x) at++;
    const [x1, y1] = [xs[at]!, ys[at]!];
    const [x0, y0] = at === 0 ? [0, 0] : [xs[at - 1]!, ys[at - 1]!];
    return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
  });
}
