// Question: on which scale are a run's gains coloured, and what do they say in words?
//
// Colours follow the logarithm of a gain, with the middle at 1. The scale ends where the gains do. Where every gain is
// within a few percent of 1 that is the result: it is said, and the scale shows the percent, in pale colours.

import type { GainKind, GainMaps } from "../../../src/report/server/messages.ts";
import { linearTicks, logTicks, tickTexts } from "./ticks.ts";

export interface GainScale {
  /** The ends of the scale; 1 lies between them. */
  readonly low: number;
  readonly high: number;
  /** The powers of ten at which a colour is strongest. */
  readonly limit: number;
  /** How strong the strongest colour is. */
  readonly strength: number;
}

export interface GainRange {
  readonly least: number;
  readonly most: number;
}

/** Gains so near to 1 are told of in percent. */
const NEAR = 0.05;
/** No scale is shorter: what differs less is rounding. */
const SHORTEST = 2e-6;
const PALE = 0.45;

/** The smallest and the largest gain of a map; undefined if it has none. */
export function gainRange({ maps }: Pick<GainMaps, "maps">, kind: GainKind): GainRange | undefined {
  let [least, most] = [Infinity, -Infinity];
  for (const column of maps[kind])
    for (const gain of column)
      if (gain !== null && gain > 0) [least, most] = [Math.min(least, gain), Math.max(most, gain)];
  return most < least ? undefined : { least, most };
}

export const isNearOne = ({ least, most }: GainRange): boolean => least > 1 - NEAR && most < 1 + NEAR;

/** A scale on which all of these ranges fit. */
export function scaleOf(ranges: readonly GainRange[]): GainScale {
  const low = Math.min(1 - SHORTEST, ...ranges.map(({ least }) => least));
  const high = Math.max(1 + SHORTEST, ...ranges.map(({ most }) => most));
  const near = ranges.every(isNearOne);
  return { low, high, limit: Math.max(-Math.log10(low), Math.log10(high)), strength: near ? PALE : 1 };
}

/** The position of a gain among the colours, from -1 over 0 at a gain of 1 to 1. */
export function gainPosition(gain: number | null, { limit, strength }: GainScale): number {
  if (gain === null) return NaN;
  return gain <= 0 ? -1 : strength * Math.max(-1, Math.min(1, Math.log10(gain) / limit));
}

/** Ticks of the scale with their places, as shares of its length. */
export function scaleTicks({ low, high }: GainScale, most = 4): { readonly text: string; readonly at: number }[] {
  const linear = high / low < 3;
  const ticks = linear ? linearTicks(low, high, most) : logTicks(low, high, most);
  const texts = tickTexts(ticks, !linear);
  return ticks.map((tick, index) => ({ text: texts[index]!, at: Math.log(tick / low) / Math.log(high / low) }));
}

const percent = (part: number): string => `${Number((100 * part).toPrecision(2))} %`;
const times = (gain: number): string => Number(gain.toPrecision(3)).toLocaleString("en");

/** What a map shows, in one sentence. */
export function gainStatement({ least, most }: GainRange): string {
  const off = Math.max(most - 1, 1 - least);
  if (off < 1e-4) return "Every gain is 1: a signal is neither amplified nor damped.";
  if (isNearOne({ least, most }))
    return `Every gain is within ${percent(off)} of 1: a signal is hardly amplified or damped.`;
  const parts = [
    ...(most >= 1 + NEAR ? [`amplifies up to ${times(most)} times`] : []),
    ...(least <= 1 - NEAR ? [`damps down to ${times(least)} times`] : []),
  ];
  return `The mixing ${parts.join(" and ")}.`;
}
