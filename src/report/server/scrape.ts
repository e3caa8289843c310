// Question: how is a run reported to a Prometheus server that asks many times an hour?
//
// Prometheus needs only the last records, so only the ends of the files are read, and only for runs whose files changed.

import path from "node:path";
import { parseTrainingConfig, type TrainingConfig } from "../../training/config.ts";
import { parseJson } from "../../files/json.ts";
import { lastRecord, type Left, type RecordFiles, recordOf } from "../../runs/record-shapes.ts";
import type { RunData } from "../../runs/run-data.ts";
import { endLines, endText } from "./ends.ts";
import { type Places, statsOf } from "./places.ts";

/** Enough bytes to hold the last validation of nearly every run. */
const TAIL = 1 << 18;
const FILES = ["config.json", "metrics.jsonl", "gains.jsonl", "events.jsonl"] as const;

/** The ends of all runs' records, kept between calls. */
export function createScraper(places: Places): () => readonly RunData[] {
  const kept = new Map<string, { readonly signature: string; readonly data: RunData }>();
  return () =>
    places.names().flatMap((name) => {
      const folder = places.folder(name);
      if (folder === undefined) return [];
      const signature = FILES.map((file) => statsOf(path.join(folder, file)))
        .map((stats) => (stats ? `${stats.size}:${stats.mtimeMs}` : ""))
        .join(" ");
      const before = kept.get(name);
      if (before?.signature === signature) return [before.data];
      const data = endOf(places, name, folder);
      kept.set(name, { signature, data });
      return [data];
    });
}

function endOf(places: Places, name: string, folder: string): RunData {
  const lines = (file: keyof RecordFiles): string[] => endLines(places.open(name, file), TAIL);
  const sound = <F extends keyof RecordFiles>(file: F, texts: readonly string[]): RecordFiles[F][] =>
    texts.flatMap((line) => (recordOf(file, line) as RecordFiles[F] | undefined) ?? []);
  const last = <F extends keyof RecordFiles>(
    file: F,
    texts: readonly string[],
    isWanted?: (record: Left<RecordFiles[F]>) => boolean,
  ): RecordFiles[F][] => {
    const record = lastRecord(file, texts, isWanted);
    return record ? [record as RecordFiles[F]] : [];
  };
  const metrics = lines("metrics.jsonl");
  return {
    folder: name,
    name: path.basename(folder),
    config: configOf(endText(places.open(name, "config.json"), TAIL)),
    changes: [],
    versions: {},
    metrics: [
      ...last("metrics.jsonl", metrics, ({ validationLoss }) => validationLoss !== undefined),
      ...last("metrics.jsonl", metrics),
    ],
    gains: last("gains.jsonl", lines("gains.jsonl")),
    events: sound("events.jsonl", lines("events.jsonl")),
    samples: "",
    interventions: undefined,
    checkpoints: [],
    problems: [],
  };
}

function configOf(text: string): TrainingConfig | undefined {
  try {
    return parseTrainingConfig((parseJson(text) as { config?: unknown } | null)?.config);
  } catch {
    return undefined;
  }
}
