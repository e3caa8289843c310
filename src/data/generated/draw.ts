// Question: how does an example draw its random numbers?
//
// Every example has a key of its own, made of the seed and the example's number, and counts its draws from 0. So an
// example is a function of its key, whatever was generated before it.

import { streams, uniformInteger } from "../random.ts";

/** The random numbers of one example. */
export interface Draw {
  /** A whole number from 0 to below `bound`. */
  below(bound: number): number;
  /** A whole number from `from` to `to`, both possible. */
  between(from: number, to: number): number;
  /** One of a list. */
  one<T>(list: readonly T[]): T;
  /** Some different ones of a list, in random order. */
  some<T>(list: readonly T[], count: number): T[];
  /** All of a list, in random order. */
  shuffled<T>(list: readonly T[]): T[];
  /** True as often as `chance` says. */
  happens(chance: number): boolean;
}

/** The draws that belong to a key, a whole number below 2^53. */
export function createDraw(key: number): Draw {
  let drawn = 0;
  const below = (bound: number): number => uniformInteger(key, streams.generated, drawn++, bound);
  const some = <T>(list: readonly T[], count: number): T[] => {
    const left = [...list];
    return Array.from({ length: count }, (_, index) => {
      const place = index + below(left.length - index);
      [left[index], left[place]] = [left[place]!, left[index]!];
      return left[index];
    });
  };
  return {
    below,
    between: (from, to) => from + below(to - from + 1),
    one: (list) => list[below(list.length)]!,
    some,
    shuffled: (list) => some(list, list.length),
    happens: (chance) => below(2 ** 20) < chance * 2 ** 20,
  };
}
