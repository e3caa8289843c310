// Question: what does robustness.json hold, and how much of a damaged one can be used?

import { z } from "zod";

/** What is disturbed; study/robustness.ts describes each. */
export const disturbanceKinds = ["noise", "rounding", "input", "drop", "skip"] as const;

/** What a disturbance does to a model's outputs. Numbers are means over the draws. */
export interface RobustnessRow {
  /** Such as "noise:0.03", "int8", "skip:2". */
  readonly name: string;
  readonly kind: (typeof disturbanceKinds)[number];
  /** Nats a token. */
  readonly loss: number;
  /** `loss` minus that of the unchanged model. */
  readonly change: number;
  /** Of the disturbed distribution of the next token from the unchanged one, nats a token. */
  readonly divergence: number;
  /** Share of tokens whose most likely successor is another one, from 0 to 1. */
  readonly flips: number;
  /** 1 where nothing is random. */
  readonly draws: number;
  /** Whether every draw's loss is finite and below that of guessing. */
  readonly bounded: boolean;
}

/** What robustness.json holds. */
export interface RobustnessData {
  /** Of the checkpoint. */
  readonly step: number;
  /** Of the unchanged model, nats a token. */
  readonly loss: number;
  /** ln V, the loss of guessing evenly among V tokens. */
  readonly guessing: number;
  readonly rows: readonly RobustnessRow[];
  /** Validation tokens that every number is averaged over. */
  readonly tokens: number;
}

const number = z.union([z.number(), z.nan(), z.literal([Infinity, -Infinity])]);
const count = z.int().min(0);
const tableSchema = z.object({
  step: count,
  loss: number,
  guessing: number,
  tokens: count,
  rows: z.array(z.unknown()),
});
const rowSchema = z.object({
  name: z.string(),
  kind: z.enum(disturbanceKinds),
  loss: number,
  change: number,
  divergence: number,
  flips: number,
  draws: count,
  bounded: z.boolean(),
});

/**
 * The rows that are sound.
 *
 * @throws Error when the value is no table
 */
export function soundRobustness(value: unknown): RobustnessData {
  const table = tableSchema.safeParse(value);
  if (!table.success) throw new Error("it needs a step, losses, a number of tokens and rows");
  return { ...table.data, rows: table.data.rows.flatMap((row) => rowSchema.safeParse(row).data ?? []) };
}
