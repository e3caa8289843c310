// Question: what does a run folder look like that a report must cope with?

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { EventRecord, GainRecord, MetricRecord } from "../../src/training/records.ts";
import { formatRecord } from "../../src/files/json.ts";
import { tinyTraining } from "../training/tiny.ts";

export interface WrittenRun {
  readonly metrics?: readonly MetricRecord[];
  readonly gains?: readonly GainRecord[];
  readonly events?: readonly EventRecord[];
}

/** Folders for runs made by hand. Remove them afterwards. */
export function makeRuns(): { write(name: string, run: WrittenRun): string; folder: string; remove(): void } {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-report-"));
  return {
    folder,
    write(name, run) {
      const place = path.join(folder, name);
      fs.mkdirSync(place, { recursive: true });
      const config = { config: tinyTraining("mhc"), versions: {} };
      fs.writeFileSync(path.join(place, "config.json"), JSON.stringify(config));
      for (const [file, records] of Object.entries(run) as [string, readonly { step: number }[]][])
        fs.writeFileSync(path.join(place, `${file}.jsonl`), records.map(formatRecord).join(""));
      return place;
    },
    remove: () => fs.rmSync(folder, { recursive: true }),
  };
}

export const metric = (step: number, more: Partial<MetricRecord> = {}): MetricRecord => ({
  step,
  loss: 4 / step,
  gradientNorm: 0.5,
  learningRate: 1e-3,
  tokensPerSecond: 1000,
  seconds: step / 2,
  ...more,
});
