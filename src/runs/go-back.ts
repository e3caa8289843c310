// Question: what do the files of a run say once it has gone back to an earlier step?
//
// They end as if the later steps had not been taken; rollbacks stay, because they explain why the run went back.

import fs from "node:fs";
import path from "node:path";
import { writeFileAtomically } from "../files/atomic.ts";
import { keepRecords } from "../files/records.ts";
import type { EventRecord } from "../training/records.ts";
import { names } from "./names.ts";
import { readSamples } from "./samples.ts";
import { MOST_OF_RECORDS, readText } from "../files/read.ts";

/** Whether an alarm is kept when the run goes back: those up to that step, and all rollbacks, which explain it. */
export const outlives = (event: Pick<EventRecord, "step" | "rollback">, lastStep: number): boolean =>
  event.step <= lastStep || event.rollback !== undefined;

/** Drops what the growing files say of steps after the last one that is kept; returns the files that were damaged. */
export function goBack(folder: string, lastStep: number, onWarning: (message: string) => void): Set<string> {
  const told = new Set<string>();
  const keep = (name: string, wanted: (record: { readonly step: number }) => boolean): void =>
    keepRecords(path.join(folder, name), wanted, (message) => {
      told.add(name);
      onWarning(message);
    });
  for (const name of [names.metrics, names.gains, names.mixing]) keep(name, ({ step }) => step <= lastStep);
  keep(names.events, (event) => outlives(event, lastStep));
  const file = path.join(folder, names.samples);
  if (!fs.existsSync(file)) return told;
  const text = readText(file, MOST_OF_RECORDS);
  const keptText = readSamples(folder)
    .filter((sample) => !(Number(/^step (\d+), /.exec(sample)?.[1]) > lastStep))
    .join("");
  if (keptText !== text) writeFileAtomically(file, keptText);
  return told;
}
