// Question: which schemas do configurations share?

import { z } from "zod";

/** A count that is at least one. */
export const positive: z.ZodInt = z.int().min(1);
