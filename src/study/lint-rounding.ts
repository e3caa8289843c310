// Question: were the numbers of one side made from the other's by rounding to 16 bits?
//
//            bits of the fraction   exponents      largest
//   bfloat16          8             of float32     3.4e38
//   float16          11             -14 to 15      65504      below 2^-14 in steps of 2^-24
//
// Rounding goes to the nearest number, ties to even; some programs cut the lower bits off instead (truncation). A
// number of 16 bits is its own rounding, so two files of 16 bits are equal, or no rounding explains them.
//
// Numbers that were moved by less than a step of 16 bits round back, too. But what a rounding took away lies anywhere
// within a step, and numbers that are all a thousandth larger have moved all to one side: where many differ, they tell.

import { roundToBfloat16 } from "../ops/bfloat16.ts";

/** One way to 16 bits, and the side that went it. */
export interface Rounding {
  /** Such as "rounding to bfloat16". */
  readonly what: string;
  readonly side: "here" | "there";
  readonly of: (value: number) => number;
  /** The distance between the numbers of 16 bits around a value. */
  readonly step: (value: number) => number;
  /** The least of a step that is taken away: 0 where the rest is cut off, -1/2 where the nearest is taken. */
  readonly least: number;
}

const ways: Readonly<Record<string, Omit<Rounding, "what" | "side">>> = {
  "rounding to bfloat16": { of: roundToBfloat16, step: bfloatStep, least: -0.5 },
  "truncation to bfloat16": {
    of(value) {
      words[0] = wordOf(value) & 0xffff0000;
      return floats[0]!;
    },
    step: bfloatStep,
    least: 0,
  },
  "rounding to float16": {
    of(value) {
      const step = halfStep(value);
      // Adding and taking away 1.5 · 2^52 leaves the nearest whole number, ties to even.
      const rounded = (value / step + EVEN - EVEN) * step;
      return Math.abs(rounded) > MOST_HALF ? Math.sign(value) * Infinity : rounded;
    },
    step: halfStep,
    least: -0.5,
  },
  "truncation to float16": {
    of(value) {
      const step = halfStep(value);
      return Math.max(-MOST_HALF, Math.min(MOST_HALF, Math.trunc(value / step) * step));
    },
    step: halfStep,
    least: 0,
  },
};

/** All roundings that are looked for, the likeliest first. */
export const roundings: readonly Rounding[] = Object.entries(ways).flatMap(([what, way]) => [
  { what, side: "here" as const, ...way },
  { what, side: "there" as const, ...way },
]);

/** Those of some roundings that also explain one more pair of numbers. */
export function stillRounded(left: readonly Rounding[], here: number, there: number): readonly Rounding[] {
  const explains = ({ side, of }: Rounding): boolean => (side === "here" ? of(there) === here : of(here) === there);
  return left.every(explains) ? left : left.filter(explains);
}

/** The numbers of both sides at one place. */
export type Pair = readonly [here: number, there: number];

/** Fewer different numbers may lie to one side by chance. */
const FEWEST = 32;

/** Whether what was taken away lies in all quarters of a step, as a rounding leaves it; true where too few numbers differ. */
export function isSpread({ side, step, least }: Rounding, pairs: readonly Pair[]): boolean {
  const taken = new Map(
    pairs.map(([here, there]) => {
      const [rounded, whole] = (side === "here" ? [here, there] : [there, here]).map(Math.abs) as [number, number];
      return [whole, (whole - rounded) / step(whole) - least];
    }),
  );
  if (taken.size < FEWEST) return true;
  const quarters = [0, 0, 0, 0];
  for (const part of taken.values()) quarters[Math.max(0, Math.min(3, Math.floor(4 * part)))]! += 1;
  return quarters.every((count) => count >= taken.size / 16);
}

const EVEN = 1.5 * 2 ** 52;
const MOST_HALF = 65504;
const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);
function wordOf(value: number): number {
  floats[0] = value;
  return words[0]!;
}

function exponentOf(value: number): number {
  return ((wordOf(value) >>> 23) & 0xff) - 127;
}
function bfloatStep(value: number): number {
  return 2 ** (Math.max(-126, exponentOf(value)) - 7);
}
function halfStep(value: number): number {
  return 2 ** (Math.max(-14, exponentOf(value)) - 10);
}
