// Question: what does reasoning.json hold, and how much of a damaged one can be used?

import { z } from "zod";

/** What a model answered of one task at one difficulty. */
export interface ReasoningRow {
  readonly task: string;
  readonly difficulty: number;
  readonly questions: number;
  /** How many it answered as they are to be answered, letter for letter. */
  readonly right: number;
  /** The mean over the answers' tokens, in nats. */
  readonly loss: number;
}

/** What reasoning.json holds: how a trained model answers generated questions. */
export interface ReasoningData {
  /** Of the checkpoint. */
  readonly step: number;
  readonly rows: readonly ReasoningRow[];
}

const count = z.int().min(0);
const tableSchema = z.object({ step: count, rows: z.array(z.unknown()) });
const rowSchema = z
  .object({ task: z.string(), difficulty: count, questions: count.min(1), right: count, loss: z.number() })
  .refine(({ questions, right }) => right <= questions);

/**
 * The rows that are sound.
 *
 * @throws Error when the value is no table
 */
export function soundReasoning(value: unknown): ReasoningData {
  const table = tableSchema.safeParse(value);
  if (!table.success) throw new Error("it needs a step and rows");
  return { step: table.data.step, rows: table.data.rows.flatMap((row) => rowSchema.safeParse(row).data ?? []) };
}
