// Question: what does config.json say of a network of one's own?
//
// How it was trained, for the report and the page. It cannot build the network: the program that trained it does.

import { z } from "zod";
import { isObject } from "../basics/objects.ts";
import { count, countFromZero } from "../basics/schemas.ts";
import { problems } from "../model/problems.ts";
import type { ScheduleConfig } from "./config.ts";
import type { OptimizerSettings } from "./optimizers/table.ts";

/** The training of a network of one's own as plain data. */
export interface NetConfig {
  readonly kind: "net";
  readonly name: string;
  readonly steps: number;
  readonly model: {
    /** How many numbers are trained. */
    readonly parameters: number;
    /** What joins its blocks, if the program says so. */
    readonly connection?: { readonly kind: string };
  };
  readonly optimizer: OptimizerSettings & {
    /** "by step" where a function gives it; metrics.jsonl has the rate of each step. */
    readonly learningRate: number | "by step";
    readonly warmup: number;
    readonly schedule: ScheduleConfig;
  };
  readonly evaluateEvery: number;
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  readonly gainsEvery: number;
}

const netSchema = z.looseObject({
  kind: z.literal("net"),
  name: z.string(),
  steps: count(),
  model: z.looseObject({ parameters: countFromZero(), connection: z.looseObject({ kind: z.string() }).optional() }),
  optimizer: z.looseObject({}),
});

/** Whether a configuration is one of a network of one's own, not of a language model. */
export const isNetConfig = (value: unknown): boolean => isObject(value) && value["kind"] === "net";

/**
 * Check what a config.json says of a network; fields that it does not need are taken as they are.
 *
 * @throws Error that lists each wrong field
 */
export function parseNetConfig(value: unknown, source = "the configuration"): NetConfig {
  const result = netSchema.safeParse(value);
  if (result.success) return result.data as unknown as NetConfig;
  throw new Error(`${source} is not valid:\n  ${problems(result.error.issues, value, netSchema).join("\n  ")}`);
}
