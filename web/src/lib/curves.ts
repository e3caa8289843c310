// Question: what are the curves of a run in the page, and how do they grow, smooth and change their axis?

import {
  type CurveName,
  curveNames,
  type Curves,
  type LiveRow,
  type Points,
} from "../../../src/report/server/messages.ts";

export type Axis = "step" | "tokens" | "time";

interface GrowingPoints {
  step: number[];
  value: number[];
}

interface Curve extends GrowingPoints {
  mean: GrowingPoints | undefined;
}

export interface RunCurves {
  readonly curves: Readonly<Record<CurveName, Curve>>;
  readonly clock: GrowingPoints;
  /** Points added since they were fetched. */
  added: number;
}

const grow = ({ step, value }: Points): GrowingPoints => ({ step: [...step], value: [...value] });

export function runCurves({ series, clock }: Curves): RunCurves {
  const entries = curveNames.map((name) => {
    const { mean, ...points } = series[name];
    return [name, { ...grow(points), mean: mean && grow(mean) }] as const;
  });
  return { curves: Object.fromEntries(entries) as unknown as RunCurves["curves"], clock: grow(clock), added: 0 };
}

/** Add a live row. False when it is of an earlier step than the last: the run went back. */
export function addRow(run: RunCurves, [step, seconds, ...values]: LiveRow): boolean {
  if (step === null || step === undefined) return true;
  for (const [index, name] of curveNames.entries()) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const curve = run.curves[name];
    if (step <= (curve.step.at(-1) ?? -1)) return false;
    for (const points of curve.mean ? [curve, curve.mean] : [curve]) {
      points.step.push(step);
      points.value.push(value);
    }
    run.added++;
  }
  if (seconds !== null && seconds !== undefined) {
    run.clock.step.push(step);
    run.clock.value.push(seconds);
  }
  return true;
}

/**
 * Exponential mean over about `window` steps, the same however many steps lie between two points.
 * 0 leaves the points as they are.
 */
export function smoothed({ step, value }: Points, window: number): number[] {
  if (window === 0) return [...value];
  let [mean, before] = [value[0] ?? 0, step[0] ?? 0];
  return value.map((each, index) => {
    const weight = index === 0 ? 1 : 1 - Math.exp(-(step[index]! - before) / window);
    before = step[index]!;
    mean += weight * (each - mean);
    return mean;
  });
}

/** Steps on another axis: seconds between the points of the clock are interpolated. */
export function onAxis(steps: readonly number[], axis: Axis, tokensPerStep: number | null, clock: Points): number[] {
  if (axis === "tokens" && tokensPerStep !== null) return steps.map((step) => step * tokensPerStep);
  if (axis === "step" || axis === "tokens" || clock.step.length === 0) return [...steps];
  let at = 0;
  const last = clock.step.length - 1;
  return steps.map((step) => {
    while (at < last && clock.step[at]! < step) at++;
    const [x1, y1] = [clock.step[at]!, clock.value[at]!];
    const [x0, y0] = at === 0 ? [0, 0] : [clock.step[at - 1]!, clock.value[at - 1]!];
    return x1 === x0 ? y1 : y0 + ((y1 - y0) * (step - x0)) / (x1 - x0);
  });
}
