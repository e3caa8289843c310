// Question: how does a curve of any length fit on a screen without hiding spikes or values that are not finite?
//
// The steps are cut into intervals with equal numbers of points. The smallest and the largest value of each interval
// stay where they were, and so do the first and the last point. If an interval has a value that is not finite, one gap
// is kept. The means of the intervals are sent along for smoothing, because the middle of the extremes would be biased.

import type { Points, Series } from "./messages.ts";

interface Kept {
  readonly step: number[];
  readonly value: (number | null)[];
}

/**
 * @param step ascending
 * @param value one for each step; NaN for a value that was not recorded (left out), an infinity for a gap
 * @param most the most points to keep, at least 4
 */
export function downsample(step: readonly number[], value: readonly number[], most: number): Series {
  const kept = recorded(step, value);
  const count = kept.step.length;
  if (count <= most) return rounded(kept);
  const stretches = Math.max(1, Math.floor(most / (kept.value.includes(null) ? 3 : 2)) - 1);
  const points: Kept = { step: [kept.step[0]!], value: [kept.value[0]!] };
  const mean: Kept = { step: [], value: [] };
  for (let i = 0; i < stretches; i++) {
    const [from, to] = [Math.floor((i * count) / stretches), Math.floor(((i + 1) * count) / stretches)];
    const { low, high, gap, average } = extremes(kept.value, from, to);
    const chosen = [...new Set([low, high, gap])].filter((j) => j > 0 && j < count - 1).sort((a, b) => a - b);
    for (const j of chosen) {
      points.step.push(kept.step[j]!);
      points.value.push(kept.value[j]!);
    }
    mean.step.push(kept.step[to - 1]!);
    mean.value.push(average);
  }
  points.step.push(kept.step[count - 1]!);
  points.value.push(kept.value[count - 1]!);
  return { ...rounded(points), mean: rounded(mean) };
}

/** The indices of the smallest, the largest and the first non-finite value of an interval (-1 for none), and its mean. */
function extremes(
  value: readonly (number | null)[],
  from: number,
  to: number,
): { low: number; high: number; gap: number; average: number | null } {
  let [low, high, gap, sum, count] = [-1, -1, -1, 0, 0];
  for (let j = from; j < to; j++) {
    const each = value[j]!;
    if (each === null) {
      if (gap < 0) gap = j;
      continue;
    }
    if (low < 0 || each < value[low]!) low = j;
    if (high < 0 || each > value[high]!) high = j;
    sum += each;
    count++;
  }
  return { low, high, gap, average: count === 0 ? null : sum / count };
}

function recorded(step: readonly number[], value: readonly number[]): Kept {
  const kept: Kept = { step: [], value: [] };
  for (let i = 0; i < step.length; i++) {
    if (Number.isNaN(value[i])) continue;
    kept.step.push(step[i]!);
    kept.value.push(Number.isFinite(value[i]) ? value[i]! : null);
  }
  return kept;
}

/** Six digits are more than a screen shows, and half the bytes. */
function rounded({ step, value }: Kept): Points {
  return { step, value: value.map((number) => (number === null ? null : Number(number.toPrecision(6)))) };
}
