// Question: what do these runs show, in numbers and in a few sentences?
//
// Everything is computed from the records, and nothing is claimed beyond them: a ranking by final loss with the
// distances, the largest gain, alarms, the runs that did not end well, and the sizes for which all of it holds.

import path from "node:path";
import { tooEarly } from "./evidence.ts";
import { experimentOverSizes, type ScalingPoint } from "./figures/scaling.ts";
import { largestGain } from "./figures/seeds.ts";
import { lossUnit } from "./units.ts";
import { mean, median } from "../basics/numbers.ts";
import { hasDiverged, type Series, seriesOf } from "./figures/series.ts";
import { weightsOf } from "../runs/checkpoint.ts";
import type { RunData } from "../runs/run-data.ts";

/** One run in numbers. A number is undefined if the folder does not hold it. */
export interface RunNumbers {
  readonly name: string;
  readonly folder: string;
  readonly label: string;
  readonly seed: number | undefined;
  readonly parameters: number | undefined;
  readonly step: number | undefined;
  readonly steps: number | undefined;
  /** Mean training loss of the last 5 % of the steps made, nats a token. */
  readonly loss: number | undefined;
  /** The last validation loss measured, nats a token. */
  readonly validationLoss: number | undefined;
  readonly bitsPerByte: number | undefined;
  readonly largestGradientNorm: number | undefined;
  /** The largest composite Amax gain of all steps. */
  readonly largestGain: number | undefined;
  readonly tokensPerSecond: number | undefined;
  readonly alarms: number;
  /** Whether a loss was not finite, or the alarm "not-finite" or "diverged" was raised without a rollback. */
  readonly diverged: boolean;
}

/** Every run in numbers, in order. */
export function runNumbers(runs: readonly RunData[]): RunNumbers[] {
  const series = seriesOf(runs);
  return runs.map((run) => {
    const { config, metrics, gains, events } = run;
    const last = metrics.at(-1);
    // A damaged record may lack its loss.
    const tail = metrics
      .slice(-Math.max(1, Math.ceil(metrics.length / 20)))
      .map(({ loss }) => loss)
      .filter((loss) => loss !== undefined);
    const evaluated = metrics.findLast(({ validationLoss }) => validationLoss !== undefined);
    return {
      name: run.name,
      folder: run.folder,
      label: series.find(({ runs: members }) => members.includes(run))!.label,
      seed: config?.seed,
      parameters: parameterCount(run),
      step: last?.step,
      steps: config?.steps ?? run.net?.steps,
      loss: tail.length > 0 ? mean(tail) : undefined,
      validationLoss: evaluated?.validationLoss,
      bitsPerByte: evaluated?.bitsPerByte,
      largestGradientNorm: largest(metrics.map(({ gradientNorm }) => gradientNorm)),
      largestGain: largest(gains.map((record) => largestGain(record) ?? Number.NaN)),
      tokensPerSecond: median(finite(metrics.map(({ tokensPerSecond }) => tokensPerSecond))),
      alarms: events.length,
      diverged: hasDiverged(run),
    };
  });
}

/** The findings about the runs, in a few sentences. */
export function findings(runs: readonly RunData[]): string[] {
  const numbers = runNumbers(runs);
  const series = seriesOf(runs);
  const points = experimentOverSizes(runs);
  const losses = points.length > 0 ? scalingSentences(points) : lossSentences(series, numbers);
  return [...losses, ...gainSentence(series), ...troubles(numbers)];
}

/** A sentence on the sizes at which the runs were measured, and on what that means for other sizes. */
export function scaleSentence(runs: readonly RunData[]): string {
  const counts = runNumbers(runs).flatMap(({ parameters }) => parameters ?? []);
  const tokens = runs.flatMap(({ config, metrics }) => {
    const step = metrics.at(-1)?.step;
    return config && step !== undefined ? [step * config.batch * config.accumulate * config.model.context] : [];
  });
  const models =
    counts.length > 0 ? `models of ${span(counts)} parameters` : "models whose size the folders do not say";
  const texts = tokens.length > 0 ? `, trained on ${span(tokens)} tokens each` : "";
  return `All of this was measured on ${models}${texts}. Rankings of small models often do not carry over to large ones; whether these do has not been measured here.`;
}

/** Mean of a series' final losses: validation where all have it, else training. */
function lossSentences(series: readonly Series[], numbers: readonly RunNumbers[]): string[] {
  const sound = numbers.filter(({ diverged, loss }) => !diverged && loss !== undefined);
  const of = sound.every(({ validationLoss }) => validationLoss !== undefined) ? "validationLoss" : "loss";
  const ranked = series
    .map(({ label, runs }) => {
      const values = sound.filter((row) => row.label === label).map((row) => row[of]!);
      return { label, values, mean: mean(values), runs: runs.filter((run) => !hasDiverged(run)) };
    })
    .filter(({ values, mean: value }) => values.length > 0 && Number.isFinite(value))
    .sort((a, b) => a.mean - b.mean);
  const [best, ...others] = ranked;
  if (!best) return ["No run has a finite final loss."];
  const unit = lossUnit(
    series.flatMap(({ runs }) => runs),
    " ",
  );
  const what = of === "validationLoss" ? "validation loss" : "training loss (mean of the last 5 % of the steps)";
  if (others.length === 0) return [`${best.label} ends with a ${what} of ${best.mean.toFixed(4)}${unit}.`];
  const rest = others.map(({ label, mean: value }) => `${label} by ${(value - best.mean).toFixed(4)}`);
  const seeds = Math.min(...ranked.map(({ values }) => values.length));
  const spread = Math.max(...ranked.map(({ values }) => Math.max(...values) - Math.min(...values)));
  const nearest = others[0]!.mean - best.mean;
  const lacks = tooEarly(
    "order",
    ranked.map(({ runs }) => runs),
  );
  const unequal = new Set(sound.map(({ step }) => step)).size > 1;
  return [
    `${best.label} ends with the lowest ${what}, ${best.mean.toFixed(4)}${unit}, ahead of ${list(rest)}.`,
    ...(unequal ? ["The runs made different numbers of steps, so their final losses belong to different steps."] : []),
    ...(lacks === undefined ? [] : [`It is too early for an order: ${lacks}.`]),
    seeds < 2
      ? `${ranked.every(({ values }) => values.length < 2) ? "Each has a single seed" : "At least one of them has a single seed"}, so it is not known how much of this is chance.`
      : nearest > spread
        ? `Over seeds, final losses of the same configuration differ by at most ${spread.toFixed(4)}, less than the distance of the first two.`
        : `Over seeds, final losses of the same configuration differ by up to ${spread.toFixed(4)}, no less than the distance of the first two: their order may be chance.`,
  ];
}

/** For runs of several sizes: how far each connection ends from the residual model of its size. */
function scalingSentences(points: readonly ScalingPoint[]): string[] {
  const labels = [...new Set(points.map(({ label }) => label))];
  const [fewest, most] = [Math.min, Math.max].map((end) => end(...points.map(({ seeds }) => seeds)));
  return [
    ...labels.map((label) => {
      const own = points.filter((point) => point.label === label);
      const better = own.filter(({ gap }) => gap.largest < 0).length;
      const worse = own.filter(({ gap }) => gap.least > 0).length;
      const sizes = own.map(({ name, seeds, gap: { mean: middle, least, largest: top } }) => {
        const range = seeds > 1 ? ` (${signedLoss(least)} to ${signedLoss(top)})` : "";
        return `${signedLoss(middle)}${range} at ${name}`;
      });
      return `${label} minus residual, final validation losses in nats a token: ${list(sizes)}. ${most! > 1 ? "In every seed it" : "It"} ends below at ${better} of ${own.length} sizes, above at ${worse}.`;
    }),
    most === 1
      ? "There is only one seed of each, so it is not known how much of this is chance."
      : `Means over ${fewest === most ? most : `${fewest} to ${most}`} seeds, each against the residual model of its seed, or the mean of all where that is missing; in brackets the smallest and the largest.`,
  ];
}

function gainSentence(series: readonly Series[]): string[] {
  const measured = series.flatMap(({ label, runs }) => {
    const largestOf = largest(runs.flatMap(({ gains }) => gains.map((record) => largestGain(record) ?? Number.NaN)));
    return largestOf === undefined ? [] : [{ label, gain: largestOf }];
  });
  if (measured.length === 0) return [];
  const sorted = measured.sort((a, b) => b.gain - a.gain);
  return [
    `Largest composite gain: ${list(sorted.map(({ label, gain }) => `${gainText(gain)} for ${label}`))} (at 1 what all streams share is neither amplified nor weakened).`,
  ];
}

function troubles(numbers: readonly RunNumbers[]): string[] {
  const diverged = numbers.filter((row) => row.diverged).map(({ name }) => name);
  const short = numbers.filter(({ step, steps }) => step !== undefined && steps !== undefined && step < steps);
  const alarms = numbers.reduce((sum, row) => sum + row.alarms, 0);
  return [
    ...(diverged.length > 0 ? [`Not finite, or stopped by a loss that had diverged: ${list(diverged)}.`] : []),
    ...(short.length > 0
      ? [`Not finished: ${list(short.map(({ name, step, steps }) => `${name} (step ${step} of ${steps})`))}.`]
      : []),
    ...(alarms > 0 ? [alarms === 1 ? "One alarm was raised." : `${alarms} alarms were raised.`] : []),
  ];
}

/** A difference of losses with its sign. */
export function signedLoss(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
}

/** A gain with about three digits. */
export function gainText(gain: number): string {
  if (gain < 10) return gain.toFixed(3);
  return gain < 1e5 ? gain.toFixed(1) : gain.toExponential(1);
}

/** The parameter count of the newest checkpoint. What no gradient moves, router biases and shares of slack, does not count. */
function parameterCount({ folder, checkpoints }: RunData): number | undefined {
  const last = checkpoints.at(-1);
  if (last === undefined) return undefined;
  try {
    const sizes = weightsOf(path.join(folder, "checkpoints", `step-${last}`))
      .filter(({ name }) => !name.endsWith(".routerBias") && !name.endsWith(".connection.share"))
      .map(({ shape }) => shape.reduce((product, size) => product * size, 1));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    return Number.isSafeInteger(total) && total > 0 ? total : undefined;
  } catch {
    return undefined;
  }
}

function span(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => value.toLocaleString("en"));
  return low === high ? low! : `${low} to ${high}`;
}

function list(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

function largest(values: readonly number[]): number | undefined {
  const known = finite(values);
  return known.length === 0 ? undefined : known.reduce((a, b) => Math.max(a, b));
}

const finite = (values: readonly number[]): number[] => values.filter(Number.isFinite);
