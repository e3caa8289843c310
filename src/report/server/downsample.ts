// Question: how does a curve of any length fit on a screen without hiding a spike?
//
// The steps are cut into stretches of equal numbers of points, and the smallest and the largest value of
// each are kept where they were; first and last point stay. The means of the stretches go along, for
// smoothing: the middle of the extremes would be a biased one.

import type { Points, Series } from "./messages.ts";

/**
 * @param step ascending
 * @param value as many; what is not finite is left out
 * @param most how many points may stay, at least 4
 */
export function downsample(step: readonly number[], value: readonly number[], most: number): Series {
  const kept = finite(step, value);
  const count = kept.step.length;
  if (count <= most) return rounded(kept);
  const stretches = (most >> 1) - 1;
  const points = { step: [kept.step[0]!], value: [kept.value[0]!] };
  const mean: { step: number[]; value: number[] } = { step: [], value: [] };
  for (let i = 0; i < stretches; i++) {
    const [from, to] = [Math.floor((i * count) / stretches), Math.floor(((i + 1) * count) / stretches)];
    let [low, high, sum] = [from, from, 0];
    for (let j = from; j < to; j++) {
      if (kept.value[j]! < kept.value[low]!) low = j;
      if (kept.value[j]! > kept.value[high]!) high = j;
      sum += kept.value[j]! / (to - from);
    }
    for (const j of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      if (j === 0 || j === count - 1) continue;
      points.step.push(kept.step[j]!);
      points.value.push(kept.value[j]!);
    }
    mean.step.push(kept.step[to - 1]!);
    mean.value.push(sum);
  }
  points.step.push(kept.step[count - 1]!);
  points.value.push(kept.value[count - 1]!);
  return { ...rounded(points), mean: rounded(mean) };
}

function finite(step: readonly number[], value: readonly number[]): Points {
  const kept = { step: [] as number[], value: [] as number[] };
  for (let i = 0; i < step.length; i++) {
    if (!Number.isFinite(value[i])) continue;
    kept.step.push(step[i]!);
    kept.value.push(value[i]!);
  }
  return kept;
}

/** Six digits are more than a screen shows, and half the bytes. */
function rounded({ step, value }: Points): Points {
  return { step, value: value.map((number) => Number(number.toPrecision(6))) };
}
