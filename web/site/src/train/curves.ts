// Question: which of many values does a curve show?
//
// Of a long run every n-th place, with the mean of the n values that it stands for; spikes of the gradient norm stay
// visible as long as n is small, and n doubles only when there is no room.

import { largestComposite } from "../../../../src/stability/gains.ts";
import type { News } from "./session.ts";

/** More points than this a curve does not have. */
const MOST = 400;

/** n, a power of two. */
export function everyNth(count: number): number {
  let n = 1;
  while (count / n > MOST) n *= 2;
  return n;
}

/** The means of n values each. */
export function thinned(news: readonly News[], n: number, value: (news: News) => number): number[] {
  return Array.from({ length: Math.ceil(news.length / n) }, (_, at) => {
    const some = news.slice(at * n, (at + 1) * n).map(value);
    return some.reduce((a, b) => a + b, 0) / some.length;
  });
}

/** The larger of a model's composite gains, forward and backward; undefined for a step without a reading. */
export function gainOf(news: News, model: number): number | undefined {
  const composite = news.models[model]?.instruments?.composite;
  const single = news.models[model]?.instruments?.single;
  if (!composite || !single) return undefined;
  const { forward, backward } = largestComposite({ single, composite });
  return Math.max(forward, backward);
}

/** The gains of a model, at the steps that have any. */
export const gainsOf = (news: readonly News[], model: number): number[] =>
  news.flatMap((one) => gainOf(one, model) ?? []);
