// Question: what does a Prometheus server need of a run, many times an hour?
//
// The last records only, so only the ends of the files are read, and only of runs whose files changed.

import path from "node:path";
import { parseTrainingConfig, type TrainingConfig } from "../../training/config.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../../training/run-folder.ts";
import type { RunData } from "../run-data.ts";
import { type OpenFile, type Places, statsOf } from "./places.ts";

/** Holds the last validation of nearly every run. */
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
  const lines = <R>(file: string): R[] => {
    const { text, cut } = tail(places.open(name, file));
    return text
      .split("\n")
      .slice(cut ? 1 : 0, -1)
      .flatMap((line) => {
        const record = parsed(line);
        return record !== null && typeof record === "object" && "step" in record ? [record as R] : [];
      });
  };
  const metrics = lines<MetricRecord>("metrics.jsonl");
  const validated = metrics.findLast(({ validationLoss }) => validationLoss !== undefined);
  return {
    folder: name,
    name: path.basename(folder),
    config: configOf(parsed(tail(places.open(name, "config.json")).text)),
    versions: {},
    metrics: [...(validated ? [validated] : []), ...metrics.slice(-1)],
    gains: lines<GainRecord>("gains.jsonl").slice(-1),
    events: lines<EventRecord>("events.jsonl"),
    samples: "",
    interventions: undefined,
    checkpoints: [],
    problems: [],
  };
}

function tail(file: OpenFile | undefined): { readonly text: string; readonly cut: boolean } {
  if (!file) return { text: "", cut: false };
  try {
    const from = Math.max(0, file.size - TAIL);
    return { text: file.read(from, TAIL).toString("utf8"), cut: from > 0 };
  } finally {
    file.close();
  }
}

function configOf(description: unknown): TrainingConfig | undefined {
  try {
    return parseTrainingConfig((description as { config?: unknown } | undefined)?.config);
  } catch {
    return undefined;
  }
}

/** What is not finite is written as text. */
const NOT_FINITE: ReadonlyMap<unknown, number> = new Map(
  [NaN, Infinity, -Infinity].map((value) => [String(value), value]),
);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text, (_, value: unknown) => NOT_FINITE.get(value) ?? value);
  } catch {
    return undefined;
  }
}
