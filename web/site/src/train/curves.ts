// Question: what does the page remember of all steps, so that a long run is drawn as fast as a short one?
//
// Curves of at most 400 points. A point is the mean of n values, and n doubles when there is no room; spikes of the
// gradient norm stay visible as long as n is small. Beside the curves only the last steps are kept, and the last matrices.

import { largestComposite } from "../../../../src/stability/gains.ts";
import { GAINS_EVERY } from "./choice.ts";
import type { News } from "./session.ts";

/** A curve as it is drawn. */
export interface Curve {
  /** n, a power of two. */
  readonly every: number;
  readonly values: readonly number[];
}

/** More points than this a curve does not have; even, so that all of them make pairs. */
const MOST = 400;

/** A curve that grows: points of n values each, and the last one of those that there are. */
export function growingCurve(): { add(value: number): void; read(): Curve } {
  let [every, sum, count] = [1, 0, 0];
  let values: number[] = [];
  return {
    add(value) {
      [sum, count] = [sum + value, count + 1];
      if (count < every) return;
      values.push(sum / count);
      [sum, count] = [0, 0];
      if (values.length < MOST) return;
      values = Array.from({ length: MOST / 2 }, (_, at) => (values[2 * at]! + values[2 * at + 1]!) / 2);
      every *= 2;
    },
    read: () => ({ every, values: count === 0 ? [...values] : [...values, sum / count] }),
  };
}

/** What is shown of all steps. */
export interface Shown {
  readonly step: number;
  readonly losses: readonly Curve[];
  readonly gradientNorms: readonly Curve[];
  /** Of the readings; empty for a model without streams. */
  readonly gains: readonly Curve[];
  /** Steps from one reading to the next; an opened run has its own. */
  readonly gainsEvery: number;
  /** The last twenty steps. */
  readonly recent: readonly News[];
  /** The last step with matrices. */
  readonly latest: News | undefined;
}

const RECENT = 20;

/** Nothing yet. */
export const nothingShown: Shown = {
  step: 0,
  losses: [],
  gradientNorms: [],
  gains: [],
  gainsEvery: GAINS_EVERY,
  recent: [],
  latest: undefined,
};

/** Follows the steps of a session. */
export function follow(models: number): { add(news: News): void; read(): Shown } {
  const each = (): ReturnType<typeof growingCurve>[] => Array.from({ length: models }, growingCurve);
  const [losses, gradientNorms, gains] = [each(), each(), each()];
  const recent: News[] = [];
  /** The second and the third reading: the first is of step 1, whatever the distance is. */
  const readings: number[] = [];
  let step = 0;
  let latest: News | undefined;
  return {
    add(news) {
      ({ step } = news);
      recent.push(news);
      if (recent.length > RECENT) recent.shift();
      for (let index = 0; index < models; index++) {
        losses[index]!.add(news.models[index]?.loss ?? NaN);
        gradientNorms[index]!.add(news.models[index]?.gradientNorm ?? NaN);
        const gain = gainOf(news, index);
        if (gain !== undefined) gains[index]!.add(gain);
      }
      if (news.models.some(({ instruments }) => instruments?.mixing)) latest = news;
      if (readings.length < 3 && news.models.some(({ instruments }) => instruments)) readings.push(step);
    },
    read: () => ({
      step,
      losses: losses.map((one) => one.read()),
      gradientNorms: gradientNorms.map((one) => one.read()),
      gains: gains.map((one) => one.read()),
      gainsEvery: readings.length === 3 ? readings[2]! - readings[1]! : GAINS_EVERY,
      recent: [...recent],
      latest,
    }),
  };
}

/** The larger of a model's composite gains, forward and backward; undefined for a step without a reading. */
export function gainOf(news: News, model: number): number | undefined {
  const composite = news.models[model]?.instruments?.composite;
  const single = news.models[model]?.instruments?.single;
  if (!composite || !single) return undefined;
  const { forward, backward } = largestComposite({ single, composite });
  return Math.max(forward, backward);
}
