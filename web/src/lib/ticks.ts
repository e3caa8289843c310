// Question: where does an axis have its ticks, and how are they written?
//
// Ticks are 1, 2 or 5 times a power of ten; of time, what a clock shows. A logarithmic axis has the powers of ten, with
// 2 and 5 between them where they fit, and is divided as a linear one where it spans less than a decade. Numbers are
// written out up to a hundred thousand, with the same number of decimals along an axis.

import type { Axis } from "./curves.ts";
import { counted, duration } from "./format.ts";

const CLOCK = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

const FACTORS = [1, 2, 5, 10];
/** One or two ticks say little: then there may be more than fit comfortably. */
const FEWEST = 3;

/** The distance between ticks: for about so many, and at least three of them. */
export function tickStep(low: number, high: number, most: number): number {
  const least = (high - low) / Math.max(1, most);
  if (!(least > 0) || !Number.isFinite(least)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  const index = FACTORS.findIndex((each) => each * power >= least * (1 - 1e-9));
  const step = FACTORS[index]! * power;
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  if (count >= FEWEST) return step;
  return index > 0 ? FACTORS[index - 1]! * power : 0.5 * power;
}

/** Ticks within an interval, both ends included. */
export function linearTicks(
  low: number,
  high: number,
  most: number,
  step: number = tickStep(low, high, most),
): number[] {
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  if (!(last >= first) || last - first > 1000) return [];
  // From whole numbers, so that rounding does not add up; a step below one is the inverse of a whole number.
  const inverse = step < 1 ? Math.round(1 / step) : 0;
  return Array.from({ length: last - first + 1 }, (_, index) =>
    inverse > 0 ? (first + index) / inverse : (first + index) * step,
  );
}

/** Ticks of a logarithmic axis. */
export function logTicks(low: number, high: number, most: number): number[] {
  if (!(low > 0) || !(high > low)) return [];
  const decades = Math.log10(high / low);
  if (decades < 1) return linearTicks(low, high, most).filter((tick) => tick > 0);
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil(decades / most);
  const factors = [[1, 2, 5], [1, 3], [1]].find((some) => some.length * decades <= most) ?? [1];
  const ticks: number[] = [];
  for (let power = first; power <= last; power++) {
    if (power % every !== 0) continue;
    for (const factor of factors) ticks.push(power < 0 ? factor / 10 ** -power : factor * 10 ** power);
  }
  return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
}

/** Ticks of the horizontal axis. Steps are whole; seconds are what a clock shows. */
export function axisTicks(low: number, high: number, most: number, axis: Axis): number[] {
  const step = tickStep(low, high, most);
  if (axis === "step") return linearTicks(low, high, most, Math.max(1, step));
  if (axis === "tokens") return linearTicks(low, high, most, step);
  const clock = CLOCK.find((each) => (high - low) / each <= most);
  return linearTicks(low, high, most, step < 1 ? step : (clock ?? 86_400 * Math.ceil(step / 86_400)));
}

/** The texts of an axis' ticks. */
export function tickTexts(ticks: readonly number[], logarithmic = false): string[] {
  if (logarithmic) return ticks.map((tick) => tickText(tick));
  const sizes = ticks.map(Math.abs);
  const largest = Math.max(...sizes, 0);
  const gaps = ticks.slice(1).map((tick, index) => tick - ticks[index]!);
  const gap = gaps.length > 0 ? Math.min(...gaps) : largest;
  if (largest >= 1e5 || (largest > 0 && largest < 1e-3)) return ticks.map((tick) => tickText(tick));
  const decimals = gap > 0 ? Math.max(0, Math.min(6, -Math.floor(Math.log10(gap) + 1e-9))) : 0;
  return ticks.map((tick) =>
    tick.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
  );
}

/** A tick alone: 1,000; 250k; 0.05; 2e-5. */
export function tickText(tick: number): string {
  const size = Math.abs(tick);
  if (size >= 1e15) return tick.toExponential(0).replace("e+", "e");
  if (size >= 1e5) return counted(tick);
  if (size > 0 && size < 1e-3) return tick.toExponential(3).replace(/\.?0+e/, "e");
  return tick.toLocaleString("en", { maximumSignificantDigits: 6 });
}

/** A position on the horizontal axis, as a tick. */
export function axisTickText(tick: number, axis: Axis): string {
  return axis === "time" ? duration(tick) : axis === "step" ? tick.toLocaleString("en") : counted(tick);
}

/** A logarithmic axis around values: at least a third of a decade, so that 1.00 and 1.01 do not look far apart. */
export function logRange(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !(low > 0)) return [0.1, 10];
  const middle = Math.sqrt(low * high);
  return [Math.min(low / 1.1, middle / 1.5), Math.max(high * 1.1, middle * 1.5)];
}
