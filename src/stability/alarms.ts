// Question: which rules decide that a run is not healthy, and since when?
//
// A rule measures one number of a step and compares it with a bound. It raises an alarm when the number passes
// the bound, and stays silent until the number has come back to `rearm` times the bound, so an excursion of a
// thousand steps is one alarm. Everything follows from the records, so a resumed run knows what it knew before.
//
// Sources of the bounds:
//   gain          mHC paper (arXiv 2512.24880), Fig. 3 and 7: over 60 sublayers the largest composite gain stays
//                 near 1.6 with mHC and peaks near 3000 with HC. Where H_res is meant to be doubly stochastic, 3
//                 is about twice what stopping Sinkhorn-Knopp after 20 iterations explains; elsewhere 10 lies well
//                 above that and far below HC's peak, so the alarm is raised early.
//   column-error  the error that most sublayers reach, not the worst one. In sound runs a few tokens, or a sublayer
//                 whose logits are far apart, are off by up to one, and the gain shows the effect. Rows count where
//                 a convention normalises columns last, because the rest of the iterations is then in them. If most
//                 sublayers are off by more than 0.1, a tenth of a stream, there are too few iterations: sound runs
//                 with 20 reach 0.04, with 5 they reach 0.14, with 1 0.63 (docs/alarms.md).
//   saturation    most sublayers keep their streams apart: |λ₂| > 0.99, where the usual start has 0.931 and sound
//                 runs reach 0.973. Learning rates thirty times too high take deep models to 1. The logits themselves
//                 do not count, because those of a few tokens drift apart in every run. Nor do sublayers that start
//                 above the bound.
//   spike         a loss more than max(4σ, 0.3 nats) above the median of the 50 steps before.
//   gradient      10 times the median of the 50 norms before.
//   diverged      20 losses in a row more than 2 nats above chance, ln V with a vocabulary of V.

import { expectFields, expectName, type FieldRules } from "../basics/fields.ts";
import { showValue } from "../basics/show.ts";
import type { Instruments } from "./instruments.ts";
import { mean, median } from "../basics/numbers.ts";

/** What the rules look at: a step's record, and the instruments' values if the step was measured. */
export interface Observation {
  readonly step: number;
  /** In nats a token. */
  readonly loss: number;
  /** The norm before clipping. */
  readonly gradientNorm: number;
  readonly instruments?: Instruments;
}

/** What the rules must know about the model. */
export interface AlarmSubject {
  /** The loss of a uniform guess, ln V. */
  readonly chance: number;
  /** For every sublayer of the network, whether its H_res is meant to be doubly stochastic. */
  readonly doublyStochastic: readonly boolean[];
  /** Whether H_res is meant to be doubly stochastic in all sublayers that mix streams. */
  readonly constrained: boolean;
  /** For every sublayer, whether its H_res comes from exp(logits) and mixes streams from the start: it can harden. */
  readonly startsMixing: readonly boolean[];
}

/** A measured number, and the position of its sublayer. */
interface Sighting {
  readonly value: number;
  readonly sublayer?: number;
}

interface Rule {
  /** What the value is; messages continue with "is 12.3, above 10". */
  readonly what: string;
  bound(subject: AlarmSubject): number;
  /** Undefined where the step does not show the value. `before` holds at most WINDOW earlier steps, the latest last. */
  see(now: Observation, before: readonly Observation[], subject: AlarmSubject): Sighting | undefined;
  /** The share of the bound to which the value must return before the rule raises another alarm. */
  readonly rearm: number;
  cause(subject: AlarmSubject): string;
  remedy(subject: AlarmSubject): string;
}

/** How many earlier steps a median covers, and the smallest number that has one. */
const WINDOW = 50;
const FEWEST = 20;
/** In nats; four of them are 0.3. */
const SMALLEST_DEVIATION = 0.075;
/** |λ₂| of H_res above which streams are practically kept apart: only a hundredth is exchanged. */
export const HARDENED = 0.99;
/** How many losses in a row must be high. */
export const DIVERGED_STEPS = 20;

/** The names of all rules. */
export const alarmNames = [
  "not-finite",
  "diverged",
  "gain",
  "column-error",
  "saturation",
  "spike",
  "gradient",
] as const;

/** One of the names of the rules. */
export type AlarmName = (typeof alarmNames)[number];

/** Every rule by name. */
export const alarmRules: Readonly<Record<AlarmName, Rule>> = {
  "not-finite": {
    what: "the number of the step's loss and gradient norm that are not finite",
    bound: () => 0,
    see: ({ loss, gradientNorm }) => ({ value: [loss, gradientNorm].filter((x) => !Number.isFinite(x)).length }),
    rearm: 1,
    cause: () => "values beyond what a float holds",
    remedy: () => "Lower the learning rate or the clipping norm.",
  },
  diverged: {
    what: `the least distance of the last ${DIVERGED_STEPS} losses above chance, in nats,`,
    bound: () => 2,
    see({ loss }, before, { chance }) {
      const losses = [...before.slice(1 - DIVERGED_STEPS).map((past) => past.loss), loss];
      return losses.length < DIVERGED_STEPS ? undefined : { value: Math.min(...losses) - chance };
    },
    rearm: 1,
    cause: () => "updates so large that the model has lost what it knew",
    remedy: () => "Lower the learning rate.",
  },
  gain: {
    what: "the largest composite gain",
    bound: ({ constrained }) => (constrained ? 3 : 10),
    see({ instruments }) {
      if (!instruments?.composite) return undefined;
      const { forward, backward } = instruments.composite;
      const either = forward.map((gain, at) => larger(gain, backward[at] ?? gain));
      return largest(either, instruments.sublayers);
    },
    rearm: 0.8,
    cause: ({ constrained }) =>
      constrained
        ? "columns of H_res do not sum to one, and their errors multiply with depth"
        : "nothing holds the sums of H_res at one, and their products grow with depth",
    remedy: ({ constrained }) =>
      constrained
        ? "Use more Sinkhorn iterations (--iterations) or an exact map (--residual-map)."
        : "Use mHC with Sinkhorn-Knopp (--connection mhc), or lower the learning rate.",
  },
  "column-error": {
    what: "the largest |row or column sum − 1| of H_res that most sublayers reach",
    bound: () => 0.1,
    see({ instruments }, _, { doublyStochastic }) {
      const { columnError = [], rowError, sublayers } = instruments ?? {};
      const errors = columnError.map((error, at) => larger(error, rowError?.[at] ?? error));
      return reachedByMost(errors.filter((_value, at) => doublyStochastic[sublayers?.[at] ?? at]));
    },
    rearm: 0.8,
    cause: () => "Sinkhorn-Knopp is ended before it has converged, which takes longer the further the logits are apart",
    remedy: () => "Use more iterations (--iterations) or an exact map (--residual-map).",
  },
  saturation: {
    what: "the |λ₂| of H_res that most sublayers reach",
    bound: () => HARDENED,
    see({ instruments }, _, { startsMixing }) {
      const { secondEigenvalue = [], sublayers } = instruments ?? {};
      return reachedByMost(secondEigenvalue.filter((_value, at) => startsMixing[sublayers?.[at] ?? at]));
    },
    rearm: 0.99,
    cause: () =>
      "the mixing has hardened to a permutation: its small entries get almost no gradient, and Sinkhorn-Knopp converges slowly",
    remedy: () => "Lower the learning rate, or let the connections' parameters decay (optimizer.decayed).",
  },
  spike: {
    what: "the loss's distance above its running median, in deviations,",
    bound: () => 4,
    see({ loss }, before) {
      if (before.length < FEWEST) return undefined;
      const losses = before.map((past) => past.loss);
      return { value: (loss - median(losses)) / larger(deviation(losses), SMALLEST_DEVIATION) };
    },
    rearm: 0.5,
    cause: () => "an unusual batch, or an update that was too large",
    remedy: () => "If the loss does not come back, lower the learning rate or the clipping norm.",
  },
  gradient: {
    what: "the gradient norm, in running medians,",
    bound: () => 10,
    see({ gradientNorm }, before) {
      if (before.length < FEWEST) return undefined;
      return { value: gradientNorm / larger(median(before.map((past) => past.gradientNorm)), Number.MIN_VALUE) };
    },
    rearm: 0.5,
    cause: () => "an unusual batch, or a loss surface that has become steep",
    remedy: () => "Clipping bounds the update; if it happens often, lower the learning rate.",
  },
};

/** The position of the largest value, where there is one for each sublayer; NaN counts as the largest. */
function largest(values: readonly number[], sublayers: readonly number[] | undefined): Sighting | undefined {
  let extreme: Sighting | undefined;
  values.forEach((value, at) => {
    if (extreme === undefined || Number.isNaN(value) || value > extreme.value)
      extreme = { value, sublayer: sublayers?.[at] ?? at };
  });
  return extreme;
}

/** The largest value that more than half of the sublayers reach; NaN counts as the largest. */
function reachedByMost(values: readonly number[]): Sighting | undefined {
  // Typed arrays sort NaN to the end.
  const sorted = Float64Array.from(values).sort();
  return values.length === 0 ? undefined : { value: sorted[(values.length - 1) >> 1]! };
}

/** Like Math.max, but NaN is the largest of all. */
const larger = (a: number, b: number): number => (a >= b || Number.isNaN(a) ? a : b);

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

/** A rule whose bound has just been passed. */
export interface Excursion {
  readonly rule: AlarmName;
  readonly value: number;
  readonly bound: number;
  readonly sublayer?: number;
  /** What was seen, the likely cause and the remedy, in one line. */
  readonly message: string;
}

const subjectRules: FieldRules<AlarmSubject> = {
  chance: "number",
  doublyStochastic: "list",
  constrained: "flag",
  startsMixing: "list",
};

/** Looks at steps in their order and returns the rules whose bounds have just been passed. */
export interface AlarmWatch {
  see(now: Observation): Excursion[];
}

/**
 * A watch over one run. After it has seen the records of an earlier part, it continues as if the run had never stopped.
 *
 * @param bounds the bounds of the rules that are on; the others are left out
 */
export function watchAlarms(bounds: ReadonlyMap<AlarmName, number>, subject: AlarmSubject): AlarmWatch {
  if (!((bounds as unknown) instanceof Map))
    throw new TypeError(
      `watchAlarms: ${showValue(bounds)} is given; the bounds must be a Map. Give such as new Map([["gain", 3]]).`,
    );
  for (const [rule, bound] of bounds) {
    expectName("watchAlarms", "the rule", rule, alarmNames);
    if (typeof bound !== "number" || Number.isNaN(bound))
      throw new TypeError(
        `watchAlarms: the bound of ${rule} is ${showValue(bound)}; it must be a number. Give such as 3.`,
      );
  }
  expectFields("watchAlarms", subject, subjectRules, "field of a subject");
  const before: Observation[] = [];
  const passed = new Set<AlarmName>();
  return {
    see(now) {
      const excursions: Excursion[] = [];
      for (const [rule, bound] of bounds) {
        const seen = alarmRules[rule].see(now, before, subject);
        if (!seen) continue;
        // Written so that NaN passes every bound.
        if (!(seen.value <= bound)) {
          if (!passed.has(rule))
            excursions.push({ rule, bound, ...seen, message: messageOf(rule, bound, seen, subject) });
          passed.add(rule);
        } else if (seen.value <= bound * alarmRules[rule].rearm) passed.delete(rule);
      }
      before.push(now);
      if (before.length > WINDOW) before.shift();
      return excursions;
    },
  };
}

function messageOf(name: AlarmName, bound: number, { value, sublayer }: Sighting, subject: AlarmSubject): string {
  const { what, cause, remedy } = alarmRules[name];
  const place = sublayer === undefined ? "" : `, at sublayer ${sublayer + 1} of ${subject.doublyStochastic.length},`;
  return `${what}${place} is ${short(value)}, above ${short(bound)}. Likely cause: ${cause(subject)}. ${remedy(subject)}`.replaceAll(
    ",,",
    ",",
  );
}

const short = (value: number): string =>
  Math.abs(value) < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
