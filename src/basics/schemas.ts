// Question: which schemas do configurations share?

import { z } from "zod";

/** A count that is at least one. */
export const positive: z.ZodInt = z.int().min(1);

/** A number above zero that float32 rounds neither to 0 nor to infinity. */
export const positiveFloat32: z.ZodNumber = z.number().min(1.4e-45).max(3.4e38);

/** A number that is finite in float32. */
export const finiteFloat32: z.ZodNumber = z.number().min(-3.4e38).max(3.4e38);
