// Question: which ranges do the numbers of configurations have?
//
// Every number that comes from a file or an option has a range: a count is bounded where more could neither be held
// nor waited for, and what becomes a float32 lies in its range.

import { z } from "zod";

/** The most that a count may be where nothing smaller bounds it: what 31 bits hold. */
export const MOST_COUNT: number = 2 ** 31 - 1;

/** The most layers of a model that is built here: graphs grow with them, and their plans faster than they do. */
export const MOST_LAYERS = 512;

/** The most channels, heads, columns of a head, experts and the like. */
export const MOST_WIDTH: number = 2 ** 20;

/** The most streams that a connection carries. */
export const MOST_STREAMS = 32;

/** The most tokens of a vocabulary, of a sequence, and the most columns within a feed-forward. */
export const MOST_TOKENS: number = 2 ** 24;

/** The most sequences of a training step, all its microbatches together; batches are numbered by step and sequence. */
export const MOST_SEQUENCES: number = 2 ** 20;

/** The most iterations of Sinkhorn-Knopp; sound ones are tens. */
export const MOST_ITERATIONS = 10_000;

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
