// Question: how good was each run at its best?
//
// The validation losses of all runs, which the table of runs asks for: only the lines that hold one are parsed, and only
// what was added since the last time is read.

import { lastRecord } from "../../runs/record-shapes.ts";
import { createFollower, type Follower } from "./follow.ts";
import type { BestValidation } from "./messages.ts";
import type { Places } from "./places.ts";

interface Kept {
  readonly follower: Follower;
  rows: BestValidation[];
}

const MARK = '"validationLoss"';

/** The best validation of every run that has one, by the run's id. */
export function createBests(places: Places): () => Readonly<Record<string, BestValidation>> {
  const kept = new Map<string, Kept>();
  return () => {
    const names = places.names();
    for (const name of kept.keys()) if (!names.includes(name)) kept.delete(name);
    const entries = names.flatMap((name) => {
      const own = kept.get(name) ?? {
        follower: createFollower(() => places.open(name, "metrics.jsonl")),
        rows: [],
      };
      kept.set(name, own);
      read(own);
      const [first, ...others] = own.rows;
      if (!first) return [];
      return [[name, others.reduce((best, row) => (row.validationLoss < best.validationLoss ? row : best), first)]];
    });
    return Object.fromEntries(entries) as Readonly<Record<string, BestValidation>>;
  };
}

function read(own: Kept): void {
  for (let more = true; more;) {
    const added = own.follower.advance();
    if (added.reset) own.rows = [];
    for (const { text } of added.lines) {
      if (!text.includes(MARK)) continue;
      const record = lastRecord("metrics.jsonl", [text]);
      const { step, validationLoss, bitsPerByte } = record ?? {};
      if (step === undefined || validationLoss === undefined || !Number.isFinite(validationLoss)) continue;
      // A run that went back repeats its steps.
      own.rows = [
        ...own.rows.filter((row) => row.step < step),
        { step, validationLoss, bitsPerByte: Number.isFinite(bitsPerByte) ? bitsPerByte! : null },
      ];
    }
    more = added.more;
  }
}
