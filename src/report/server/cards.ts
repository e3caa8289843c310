// Question: what does the list show about a run, without reading all of it?
//
// It shows the configuration and the last lines of the records. These are read again only when a file's size, time or
// identity has changed. No field is relied on, because a folder may come from an older version or be damaged.

import { createHash } from "node:crypto";
import path from "node:path";
import { given } from "../../basics/given.ts";
import { mean, median } from "../../basics/numbers.ts";
import { connectionKind } from "../../connections/table.ts";
import { presets } from "../../model/config.ts";
import { holderOf } from "../../files/lock.ts";
import type { EventRecord, MetricRecord } from "../../training/records.ts";
import { paceOfRanks, type RankNumbers } from "../../training/stragglers.ts";
import { isNetConfig } from "../../training/net-config.ts";
import { lastRecord, type Left, recordOf, type RecordFiles } from "../../runs/record-shapes.ts";
import { isObject, isTooDeep } from "../../basics/objects.ts";
import { endLines, endText } from "./ends.ts";
import type { RunCard, RunState } from "./messages.ts";
import { createPace, type Pace } from "./pace.ts";
import { type Places, statsOf } from "./places.ts";
import { readTags, TAGS_FILE } from "./tags.ts";
import { checkpointSteps } from "./texts.ts";

export interface Cards {
  /** The cards of all runs, in no particular order. */
  list(): readonly RunCard[];
}

const FILES = ["config.json", "metrics.jsonl", "events.jsonl", "checkpoints", TAGS_FILE] as const;
const TAIL = 1 << 14;
/** Bytes read at the end of the alarms, which are counted, and of a run seen for the first time, whose last evaluation may be far back. */
const LONG_TAIL = 1 << 18;
/** The number of last lines that are checked for damage. */
const LAST = 64;
/** The number of last records whose loss and speed are averaged, as in the terminal. */
const AVERAGED = 20;
const LARGEST_CONFIG = 1 << 22;
/** A loss this many nats above chance means that the run is diverging: the default bound of the alarm "diverged". */
const DIVERGED_NATS = 2;

/** @param controlled folders of the runs that the buttons reach */
export function createCards(places: Places, controlled: ReadonlySet<string> = new Set()): Cards {
  const known = new Map<string, { readonly signature: string; readonly card: RunCard; readonly pace: Pace }>();
  return {
    list() {
      const names = places.names();
      const present = new Set(names);
      for (const name of known.keys()) if (!present.has(name)) known.delete(name);
      return names.flatMap((name) => {
        const folder = places.folder(name);
        if (folder === undefined) return [];
        const holder = holderIn(places, name, folder);
        const signature = signatureOf(folder, holder);
        const before = known.get(name);
        if (before?.signature === signature) return [before.card];
        const pace = holder === undefined || !before ? createPace() : before.pace;
        const card = makeCard(places, name, folder, {
          pace,
          held: holder !== undefined,
          // A run that was stopped alone and resumed by another process obeys only that process's buttons.
          controlled: controlled.has(folder) && holder !== "another",
          before: before?.card,
        });
        known.set(name, { signature, card, pace });
        return [card];
      });
    },
  };
}

type Holder = ReturnType<typeof holderOf>;

function signatureOf(folder: string, holder: Holder): string {
  const files = FILES.map((file) => statsOf(path.join(folder, file)));
  return files
    .map((stats) => (stats ? `${stats.ino}:${stats.size}:${stats.mtimeMs}` : ""))
    .concat(String(holder))
    .join(" ");
}

/** The process that trains in that folder. */
function holderIn(places: Places, id: string, folder: string): Holder {
  if (!statsOf(path.join(folder, "lock"))) return undefined;
  const file = places.open(id, "lock");
  return file && holderOf(endText(file, 1 << 12));
}

type Fields = Readonly<Record<string, unknown>>;

function makeCard(
  places: Places,
  id: string,
  folder: string,
  {
    held,
    controlled,
    before,
    pace,
  }: {
    readonly held: boolean;
    readonly controlled: boolean;
    readonly before?: RunCard | undefined;
    readonly pace: Pace;
  },
): RunCard {
  const problems: string[] = [];
  const description = readConfig(places, id, problems);
  const config = fieldsOf(description.config);
  const model = fieldsOf(config.model);
  const newest = before ? endLines(places.open(id, "metrics.jsonl"), TAIL) : [];
  // There is none if a single record is longer.
  const lines = newest.length > 0 ? newest : endLines(places.open(id, "metrics.jsonl"), LONG_TAIL);
  const newestRecords = soundRecords("metrics.jsonl", lines.slice(-LAST), problems).slice(-AVERAGED);
  const last = newestRecords.at(-1);
  const validation = lastRecord("metrics.jsonl", lines, (record) => numberOf(record.validationLoss) !== null);
  const events = soundRecords("events.jsonl", endLines(places.open(id, "events.jsonl"), LONG_TAIL), problems);
  const step = wholeOf(last?.step) ?? 0;
  const steps = wholeOf(config.steps);
  const tokens = [config.batch, config.accumulate ?? 1, model.context].map(wholeOf);
  const parent = path.posix.dirname(id);
  const seen = before && before.step <= step ? before : undefined;
  const state = stateOf({ step, steps, last, events, model, held });
  return {
    id,
    name: path.basename(folder),
    group: parent === "." ? "" : parent,
    connection: isNetConfig(config) && model.connection === undefined ? "net" : connectionOf(model),
    size: sizeOf(model),
    state,
    step,
    steps,
    loss: numberOf(last?.loss) === null ? null : mean(numbersOf(newestRecords, "loss")),
    validationLoss: numberOf(validation?.validationLoss) ?? seen?.validationLoss ?? null,
    bitsPerByte: numberOf(validation?.bitsPerByte) ?? seen?.bitsPerByte ?? null,
    tokensPerSecond: orNull(median(numbersOf(newestRecords, "tokensPerSecond"))),
    seconds: numberOf(last?.seconds),
    secondsLeft: state === "training" && steps !== null ? (pace.secondsLeft(step, steps) ?? null) : null,
    saved: checkpointSteps(folder).at(-1) ?? null,
    seed: wholeOf(config.seed),
    family: familyOf(config, id, parent),
    experts: fieldsOf(model.feedForward).kind === "moe",
    ranks: paceOfRanks(newestRecords.map(rankNumbers)),
    net: isNetConfig(config),
    tokensPerStep: tokens.every((value) => value !== null) ? tokens.reduce((a, b) => a * b, 1) : null,
    begun: Math.round(statsOf(path.join(folder, "config.json"))?.mtimeMs ?? 0),
    tags: readTags(places, id),
    controlled,
    alarms: events.length,
    problem: problems[0] ?? null,
  };
}

/** What a record says of the ranks, as far as it is sound. */
function rankNumbers(record: Left<MetricRecord>): RankNumbers {
  const list = (values: unknown): readonly number[] | undefined =>
    Array.isArray(values) && values.every((value) => typeof value === "number") ? values : undefined;
  return given({
    rankSpeed: list(record.rankSpeed),
    rankWaiting: list(record.rankWaiting),
    rankSent: list(record.rankSent),
  });
}

function stateOf(run: {
  readonly step: number;
  readonly steps: number | null;
  readonly last: Left<MetricRecord> | undefined;
  readonly events: readonly Left<EventRecord>[];
  readonly model: Fields;
  readonly held: boolean;
}): RunState {
  if (run.steps !== null && run.step >= run.steps) return "finished";
  const chance = Math.log(wholeOf(run.model.vocabulary) ?? Infinity);
  const loss = run.last?.loss;
  const wrong = loss !== undefined && !(Number.isFinite(loss) && loss <= chance + DIVERGED_NATS);
  // A run that was resumed after an alarm has later steps.
  const alarm = run.events.at(-1);
  const ended = alarm?.action === "stop" && alarm.step >= run.step;
  if (ended || (wrong && !run.held)) return "diverged";
  return run.held ? "training" : "stopped";
}

function readConfig(places: Places, id: string, problems: string[]): Fields {
  const file = places.open(id, "config.json");
  if (!file) {
    problems.push("config.json cannot be read");
    return {};
  }
  try {
    if (file.size > LARGEST_CONFIG) throw new Error("it is larger than 4 MiB");
    return fieldsOf(JSON.parse(file.read(0, file.size).toString("utf8")));
  } catch (error) {
    problems.push(`config.json: ${(error as Error).message}`);
    return {};
  } finally {
    file.close();
  }
}

/** The records in a file's last lines. A line that is not a record is reported as a problem. */
function soundRecords<F extends keyof RecordFiles>(
  file: F,
  lines: readonly string[],
  problems: string[],
): Left<RecordFiles[F]>[] {
  return lines.flatMap((line) => {
    const record = recordOf(file, line);
    if (!record) problems.push("a line of the records is damaged");
    return record ?? [];
  });
}

function connectionOf(model: Fields): string {
  const { kind } = fieldsOf(model.connection);
  if (typeof kind === "string") return connectionKind(kind) ?? kind.slice(0, 40);
  return model.connection === undefined ? "unknown" : "mixed";
}

function sizeOf(model: Fields): string {
  const same = Object.entries(presets).find(
    ([, preset]) =>
      fieldsOf(model.feedForward).kind === preset.feedForward?.kind &&
      (["width", "layers", "heads", "kvHeads", "hidden"] as const).every((field) => model[field] === preset[field]),
  );
  if (same) return same[0];
  const [layers, width] = [wholeOf(model.layers), wholeOf(model.width)];
  return layers !== null && width !== null ? `${layers} × ${width}` : "";
}

/** Runs of one folder with the same configuration, but for the seed and what changes no number. */
function familyOf(config: Fields, id: string, parent: string): string {
  const { seed: _, name: __, sampleEvery: ___, recompute: ____, sharded: _____, ...same } = config;
  // What a network of one's own computes is in its program alone.
  if (Object.keys(same).length === 0 || isTooDeep(same) || isNetConfig(config)) return id;
  return createHash("sha256")
    .update(JSON.stringify([parent, same]))
    .digest("hex")
    .slice(0, 12);
}

const numbersOf = (records: readonly Left<MetricRecord>[], name: "loss" | "tokensPerSecond"): number[] =>
  records.flatMap((record) => numberOf(record[name]) ?? []);
const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);
const fieldsOf = (value: unknown): Fields => (isObject(value) ? value : {});
const numberOf = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;
const wholeOf = (value: unknown): number | null =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : null;
