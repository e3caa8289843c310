// Question: which ranges do the numbers of configurations have?
//
// Every number that comes from a file or an option has a range: a count is bounded where more could neither be held
// nor waited for, and what becomes a float32 lies in its range.

import { z } from "zod";
import { MOST_COUNT } from "./bounds.ts";

/** A count that is at least one. */
export function count(most: number = MOST_COUNT): z.ZodInt {
  return z.int().min(1).max(most);
}

/** A count that may be zero. */
export function countFromZero(most: number = MOST_COUNT): z.ZodInt {
  return z.int().min(0).max(most);
}

/** Any whole number from zero on that a number of JavaScript holds exactly. */
export const seedNumber: z.ZodInt = z.int().min(0);

/** A number above zero that float32 rounds neither to 0 nor to infinity. */
export const positiveFloat32: z.ZodNumber = z.number().min(1.4e-45).max(3.4e38);

/** A number that is finite in float32. */
export const finiteFloat32: z.ZodNumber = z.number().min(-3.4e38).max(3.4e38);
