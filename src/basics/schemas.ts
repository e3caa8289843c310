// Question: What shapes of values do configurations share?

import { z } from "zod";

/** A count of things of which there must be one. */
export const positive: z.ZodInt = z.int().min(1);
