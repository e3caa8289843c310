// Question: what does interventions.json hold, and how much of a damaged one can be used?

import { z } from "zod";

/** What interventions.json holds: what changes in a trained model do to its validation loss, in nats a token. */
export interface InterventionsData {
  /** Of the checkpoint. */
  readonly step: number;
  /** Without any change. */
  readonly loss: number;
  readonly rows: readonly {
    readonly name: string;
    /** `loss` of the row minus that without any change. */
    readonly change: number;
    readonly loss: number;
    /** Positions in the network, from 0. */
    readonly sublayers: readonly number[];
    /** Standard error of `change`, where it is known. */
    readonly error?: number | undefined;
  }[];
}

const number = z.union([z.number(), z.nan(), z.literal([Infinity, -Infinity])]);
const count = z.int().min(0);
const tableSchema = z.object({ step: count, loss: number, rows: z.array(z.unknown()) });
const rowSchema = z.object({
  name: z.string(),
  change: number,
  loss: number,
  sublayers: z.array(count).catch([]),
  error: number.optional().catch(undefined),
});

/**
 * The rows that are sound.
 *
 * @throws Error when the value is no table
 */
export function soundInterventions(value: unknown): InterventionsData {
  const table = tableSchema.safeParse(value);
  if (!table.success) throw new Error("it needs a step, a loss and rows");
  const { step, loss, rows } = table.data;
  return { step, loss, rows: rows.flatMap((row) => rowSchema.safeParse(row).data ?? []) };
}
