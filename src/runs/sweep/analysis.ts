// Question: what does a sweep say of stability: spikes, divergences, the best learning rate, and how much of it is chance?
//
// Definitions, the same for every connection:
//
//   excursion       m = running median of the last WINDOW values. It begins where a value exceeds the threshold over
//                   m and ends with the first value that does not; meanwhile m stays as it was, so a long one and one
//                   that never ends count once. A value that is not finite exceeds every threshold.
//   loss spike      an excursion of the training loss above m + max(6 σ, 0.1 nats), σ = 1.4826 × the median
//                   absolute deviation of the window (the deviation of a normal distribution)
//   gradient        an excursion of the gradient norm (before clipping) above 5 m
//   diverged        the run could not go on (DivergenceError), or its last validation loss is not finite or not
//                   0.1 nats below chance, ln V: it knows no more than that there are V tokens
//   optimum         the learning rate with the lowest mean over seeds of the last validation bits per byte; between
//                   the rates, the vertex of the parabola in log-rate through it and its two neighbours
//   tolerance       decades of learning rate around the best measured rate in which the mean stays within 0.05 bits per
//                   byte of the best mean, linear in log-rate between the rates. It is a lower bound where it reaches the
//                   end of the rates; a rate at which a seed diverged bounds it at the last rate before
//   edge            the largest rate below the first at which a seed diverged
//   band            minimum, maximum and standard deviation (n − 1) over the seeds of a rate

import { given } from "../../basics/given.ts";
import { mean, median, sampleVariance } from "../../basics/numbers.ts";

/** Values that the running median looks back over. */
const WINDOW = 20;
/** Before so many values there is no median to exceed. */
const FEWEST = 10;

/** How far above its running median a loss is a spike, in nats and deviations; a gradient norm, as a factor. */
export const spikeRule = { deviations: 6, nats: 0.1 } as const;
export const gradientRule = { factor: 5 } as const;
/** A run whose validation loss is not so far below ln V has learnt nothing. */
export const CHANCE_NATS = 0.1;
/** Bits per byte above the optimum that still count as near it. */
export const TOLERANCE_BITS = 0.05;

/** How often a series leaves its own recent past upwards; see the definition of an excursion above. */
function countExcursions(values: readonly number[], threshold: (window: readonly number[]) => number): number {
  const window: number[] = [];
  let [count, outside] = [0, false];
  for (const value of values) {
    const above = !Number.isFinite(value) || (window.length >= FEWEST && value > threshold(window));
    if (above && !outside) count++;
    outside = above;
    if (above) continue;
    window.push(value);
    if (window.length > WINDOW) window.shift();
  }
  return count;
}

/**
 * Loss spikes: how often the loss rises above max(6 σ, 0.1 nats) over the median of the last 20 steps outside
 * of a spike, σ being 1.4826 times their median absolute deviation. A spike counts once however long it lasts.
 *
 * @param losses training loss of each step, in nats a token
 */
export function countLossSpikes(losses: readonly number[]): number {
  return countExcursions(losses, (window) => {
    const centre = median(window);
    const sigma = 1.4826 * median(window.map((value) => Math.abs(value - centre)));
    return centre + Math.max(spikeRule.deviations * sigma, spikeRule.nats);
  });
}

/**
 * Gradient-norm excursions: how often the norm rises above five times the median of the last 20 steps outside
 * of an excursion. One counts once however long it lasts.
 *
 * @param norms gradient norm of each step, before clipping
 */
export function countGradientExcursions(norms: readonly number[]): number {
  return countExcursions(norms, (window) => gradientRule.factor * median(window));
}

/** How one run of a sweep ended. */
export interface SweepResult {
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** What the runs of one curve share: the values of all axes but the learning rate and the seed. */
  readonly group: Readonly<Record<string, unknown>>;
  readonly learningRate: number;
  readonly seed: number;
  readonly diverged: boolean;
  /** Steps done. */
  readonly steps: number;
  /** Why it could not go on. */
  readonly message?: string;
  /** On the validation text at the last step; undefined after a divergence. */
  readonly validationLoss?: number;
  readonly bitsPerByte?: number;
  readonly lossSpikes: number;
  readonly gradientExcursions: number;
  readonly largestGradientNorm: number;
  /** Of training alone. */
  readonly seconds: number;
}

/** The runs of one learning rate, one a seed. */
export interface RateSummary {
  readonly learningRate: number;
  readonly seeds: number;
  readonly diverged: number;
  /** Over the seeds that did not diverge, in validation bits per byte; undefined without one. */
  readonly band?: SeedBand;
}

/** How far the seeds lie apart. */
export interface SeedBand {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  /** With n − 1; undefined for one seed. */
  readonly deviation?: number;
}

/** What a group of runs, such as a connection at a depth, says of learning rates. */
export interface GroupSummary {
  readonly group: Readonly<Record<string, unknown>>;
  readonly runs: number;
  readonly diverged: number;
  readonly lossSpikes: number;
  readonly gradientExcursions: number;
  /** In order of the learning rate. */
  readonly rates: readonly RateSummary[];
  /** Undefined when a seed diverged at every rate. */
  readonly optimum?: RateOptimum;
  readonly tolerance?: RateTolerance;
  /** The largest rate below the first at which a seed diverged; undefined when that is the lowest. */
  readonly edge?: number;
}

/** The best learning rate of a curve. */
export interface RateOptimum {
  /** The best measured rate, and its mean over seeds. */
  readonly measured: number;
  readonly bitsPerByte: number;
  /** The vertex of the parabola in log-rate; the measured rate where it lacks a neighbour. */
  readonly learningRate: number;
  /** Whether there is such a parabola: not at an end of the rates, where a better one may lie beyond, nor beside a divergence. */
  readonly interpolated: boolean;
}

/** The learning rates that are nearly as good as the best. */
export interface RateTolerance {
  readonly low: number;
  readonly high: number;
  /** log10(high / low) */
  readonly decades: number;
  /** Whether it reaches the lowest or the highest measured rate, so that it may be wider. */
  readonly openLow: boolean;
  readonly openHigh: boolean;
}

/** A point of the curve of a group: the mean over its seeds, infinite when one of them diverged. */
export interface RateLoss {
  readonly learningRate: number;
  readonly bitsPerByte: number;
}

/**
 * The learning rate with the lowest loss.
 *
 * @param curve in order of the learning rate; infinite where a run diverged
 * @returns undefined without a finite loss
 */
export function optimumRate(curve: readonly RateLoss[]): RateOptimum | undefined {
  const best = lowest(curve);
  if (!best) return undefined;
  const { learningRate, bitsPerByte } = best;
  const at = curve.indexOf(best);
  const [before, after] = [curve[at - 1], curve[at + 1]];
  const measured = { measured: learningRate, bitsPerByte };
  if (!before || !after || !Number.isFinite(before.bitsPerByte) || !Number.isFinite(after.bitsPerByte))
    return { ...measured, learningRate, interpolated: false };
  // Vertex of the parabola through three points, with the middle one as origin.
  const [left, right] = [Math.log(before.learningRate / learningRate), Math.log(after.learningRate / learningRate)];
  const [rise, fall] = [after.bitsPerByte - bitsPerByte, before.bitsPerByte - bitsPerByte];
  const bottom = right * fall - left * rise;
  const shift = bottom === 0 ? 0 : (right ** 2 * fall - left ** 2 * rise) / (2 * bottom);
  return { ...measured, learningRate: learningRate * Math.exp(shift), interpolated: true };
}

/**
 * The range of learning rates around the best whose loss stays within `bits` of it, linear in log-rate between
 * the measured rates.
 *
 * @param curve in order of the learning rate; infinite where a run diverged
 */
export function rateTolerance(curve: readonly RateLoss[], bits: number = TOLERANCE_BITS): RateTolerance | undefined {
  const best = lowest(curve);
  if (!best) return undefined;
  const at = curve.indexOf(best);
  const bound = best.bitsPerByte + bits;
  const walk = (away: readonly RateLoss[]): { rate: number; open: boolean } => {
    let here = best;
    for (const next of away) {
      if (next.bitsPerByte > bound) {
        const share = (bound - here.bitsPerByte) / (next.bitsPerByte - here.bitsPerByte);
        return { rate: here.learningRate * (next.learningRate / here.learningRate) ** share, open: false };
      }
      here = next;
    }
    return { rate: here.learningRate, open: true };
  };
  const [low, high] = [walk(curve.slice(0, at).reverse()), walk(curve.slice(at + 1))];
  return {
    low: low.rate,
    high: high.rate,
    decades: Math.log10(high.rate / low.rate),
    openLow: low.open,
    openHigh: high.open,
  };
}

/** Of equals the first; undefined where none is finite. */
function lowest(curve: readonly RateLoss[]): RateLoss | undefined {
  return curve
    .filter(({ bitsPerByte }) => Number.isFinite(bitsPerByte))
    .reduce<RateLoss | undefined>(
      (best, next) => (best && best.bitsPerByte <= next.bitsPerByte ? best : next),
      undefined,
    );
}

/** Mean, extremes and standard deviation; undefined without values. */
export function seedBand(values: readonly number[]): SeedBand | undefined {
  const n = values.length;
  if (n === 0) return undefined;
  const band = { mean: mean(values), min: Math.min(...values), max: Math.max(...values) };
  return n === 1 ? band : { ...band, deviation: Math.sqrt(sampleVariance(values)) };
}

/** Optimum, tolerance, seed bands and counts of each group, in order of first appearance. */
export function analyseSweep(results: readonly SweepResult[], bits: number = TOLERANCE_BITS): GroupSummary[] {
  return [...groupBy(results, ({ group }) => JSON.stringify(group)).values()].map((runs) => {
    const rates = [...groupBy(runs, ({ learningRate }) => learningRate)]
      .sort(([a], [b]) => a - b)
      .map(([learningRate, seeds]): RateSummary => {
        const band = seedBand(seeds.flatMap(({ diverged, bitsPerByte }) => (diverged ? [] : (bitsPerByte ?? []))));
        const diverged = seeds.filter((run) => run.diverged).length;
        return { learningRate, seeds: seeds.length, diverged, ...given({ band }) };
      });
    const curve = rates.map(({ learningRate, diverged, band }) => ({
      learningRate,
      bitsPerByte: diverged > 0 || !band ? Infinity : band.mean,
    }));
    const firstBad = rates.findIndex(({ diverged }) => diverged > 0);
    const edge = (firstBad < 0 ? rates.at(-1) : rates[firstBad - 1])?.learningRate;
    const optimum = optimumRate(curve);
    // Of one rate there is no range.
    const tolerance = curve.length > 1 ? rateTolerance(curve, bits) : undefined;
    const total = (count: (run: SweepResult) => number): number => runs.reduce((sum, run) => sum + count(run), 0);
    return {
      group: runs[0].group,
      runs: runs.length,
      diverged: total((run) => Number(run.diverged)),
      lossSpikes: total((run) => run.lossSpikes),
      gradientExcursions: total((run) => run.gradientExcursions),
      rates,
      ...given({ optimum, tolerance, edge }),
    };
  });
}

/** Items of the same key, in their order; a group has at least one. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, [T, ...T[]]> {
  const groups = new Map<K, [T, ...T[]]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
