// Question: where is everything that a training run leaves behind?
//
// runs/<name>/: config.json (written first, and changed only by a resume that asks for it), tokenizer.json,
// metrics.jsonl, gains.jsonl, mixing.jsonl (the matrices of the same steps), events.jsonl, samples.txt,
// checkpoints/step-N/, report.html, and a lock while a process trains. A run that is resumed (resume.ts) goes back to
// its newest sound checkpoint: what the files say of later steps is dropped (go-back.ts), so they end as if nothing had
// happened.
//
// A run that rolls back removes the checkpoints of the steps it gives up, then notes the event, then drops the
// records. Killed after the first it repeats the steps up to the same event; killed after the second it goes
// on from the checkpoint it meant to.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { sweepLeftovers, syncFolder } from "../files/atomic.ts";
import { attempt, reason } from "../files/errors.ts";
import { lockFolder } from "../files/lock.ts";
import { formatRecord } from "../files/json.ts";
import { type Log, type LogMark, openLog, readRecords, replaceLast } from "../files/records.ts";
import { ensureWritableFolder } from "../files/space.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import {
  type CheckpointContent,
  type CheckpointPlace,
  expectRoom,
  listCheckpoints,
  removeCheckpointsAfter,
  saveCheckpoint,
} from "./checkpoint.ts";
import { descriptionInCheckpoint, readDescription, type RunDescription, writeDescription } from "./description.ts";
import { isRunFolder } from "./find-runs.ts";
import { goBack } from "./go-back.ts";
import { asJson, withIdentity } from "./identity.ts";
import { besides, names } from "./names.ts";
import { apart, together } from "./record-shapes.ts";
import { resume, type ResumeOptions, type Start } from "./resume.ts";
import { saveShared, type SharedSave } from "./shared-checkpoint.ts";
import { formatSample, readSamples, type Sample } from "./samples.ts";

/** A run as others see it. */
export interface FinishedRun extends RunDescription {
  readonly folder: string;
  /** Oldest first. */
  readonly checkpoints: readonly CheckpointPlace[];
}

/** A run as its trainer has it: locked, with its files open. */
export interface RunFolder extends Start {
  readonly folder: string;
  /** `whole` is false for a record that is completed later: no checkpoint remembers its line as it is. */
  appendMetrics(record: MetricRecord, options?: { readonly whole?: boolean }): void;
  /** Puts a record in the place of the last one, which was not whole. */
  completeMetrics(record: MetricRecord): void;
  appendGains(record: GainRecord): void;
  appendEvent(record: EventRecord): void;
  /** A run that is resumed at its end writes its last sample again; one that is there already is not added. */
  appendSample(sample: Sample): void;
  /** Append the records of its step before: a resumed run keeps those up to the checkpoint and repeats the others. */
  saveCheckpoint(content: CheckpointContent): CheckpointPlace;
  /** The same of what several ranks have; `keepOwn` lets each of them write into a folder. */
  saveShared(
    content: Pick<CheckpointContent, "step" | "state">,
    keepOwn: (folder: string) => Promise<readonly string[]>,
  ): Promise<SharedSave>;
  /** Gives up the steps after that of the event's rollback, checkpoints and records alike, and notes the event. */
  rollBack(event: EventRecord & Required<Pick<EventRecord, "rollback">>): void;
  /** Closes the files and unlocks the folder; harmless when repeated. */
  close(): void;
}

export interface RunFolderOptions extends ResumeOptions {
  /**
   * When there is a run in the folder already: refuse (the default), go on with it (its configuration
   * must be the same), or remove its files and start anew.
   */
  readonly existing?: "refuse" | "resume" | "overwrite";
  readonly versions?: Readonly<Record<string, string>>;
}

/** Where a report of interventions is kept; see intervene.ts. */
export const interventionsFile: string = names.interventions;

/**
 * Makes or resumes a run folder, and finds out before training starts whether it can be written to and
 * has room for the checkpoints.
 *
 * @param config plain data that repeats the run; kept as JSON
 */
export function createRunFolder(folder: string, config: unknown, options: RunFolderOptions = {}): RunFolder {
  ensureWritableFolder(folder);
  const unlock = lockFolder(folder);
  try {
    sweepLeftovers(folder, [...Object.values(names), ...besides]);
    const resumes = options.existing === "resume" && isBegun(folder);
    const start = (resumes ? resume : begin)(folder, asJson(config), options);
    return openFiles(folder, start, options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Whether there is a run: its configuration, or a checkpoint that has it too. */
const isBegun = (folder: string): boolean =>
  fs.existsSync(path.join(folder, names.config)) || descriptionInCheckpoint(folder) !== undefined;

function begin(folder: string, config: unknown, options: RunFolderOptions): Start {
  if (options.existing === "overwrite") clear(folder);
  expectNoRun(folder);
  expectRoom(folder, options);
  const description = { config, versions: options.versions ?? { node: process.versions.node } };
  writeDescription(folder, description);
  return { ...description, resumeFrom: undefined };
}

function openFiles(folder: string, start: Start, options: RunFolderOptions, unlock: () => void): RunFolder {
  const { keepCheckpoints: keep = 2, onWarning = (message: string) => process.emitWarning(message) } = options;
  let logs = openLogs(folder);
  let written = new Set(readSamples(folder));
  let closed = false;
  /** Of the metrics before a last record that is not whole. */
  let unfinished: LogMark | undefined;
  const closeLogs = (): void => Object.values(logs).forEach((log) => log.close());
  /** What a checkpoint keeps of the run, after its records are on the disk. */
  const kept = (state: CheckpointContent["state"]): CheckpointContent["state"] => {
    for (const log of Object.values(logs)) log.sync();
    const { config, versions, changes } = start;
    const records = Object.fromEntries(
      Object.entries(logs).map(([name, log]) => [
        names[name as keyof typeof logs],
        (log === logs.metrics ? unfinished : undefined) ?? log.mark(),
      ]),
    );
    return withIdentity(state, { config, versions, records, ...given({ changes, origin: options.origin }) });
  };
  return {
    folder,
    ...start,
    appendMetrics(record, { whole = true } = {}) {
      unfinished = whole ? undefined : logs.metrics.mark();
      logs.metrics.append(formatRecord(record));
    },
    completeMetrics(record) {
      const file = path.join(folder, names.metrics);
      logs.metrics.close();
      try {
        replaceLast(file, record);
      } finally {
        logs = { ...logs, metrics: openLog(file) };
      }
      unfinished = undefined;
    },
    appendGains(record) {
      const { gains, mixing } = apart(record);
      // The matrices first: who finds a step in gains.jsonl finds them too.
      if (mixing) logs.mixing.append(formatRecord(mixing));
      logs.gains.append(formatRecord(gains));
    },
    appendEvent: (record) => logs.events.append(formatRecord(record)),
    appendSample(sample) {
      const text = formatSample(sample);
      if (!written.has(text)) logs.samples.append(text);
      written.add(text);
    },
    saveCheckpoint: (content) => saveCheckpoint(folder, { ...content, state: kept(content.state) }, { keep }),
    saveShared: ({ step, state }, keepOwn) => saveShared(folder, { step, state: kept(state), keep }, keepOwn),
    rollBack(event) {
      removeCheckpointsAfter(folder, event.rollback.step);
      logs.events.append(formatRecord(event));
      logs.events.sync();
      closeLogs();
      goBack(folder, event.rollback.step, onWarning);
      unfinished = undefined;
      logs = openLogs(folder);
      written = new Set(readSamples(folder));
    },
    close() {
      if (closed) return;
      closed = true;
      // Closed already where a rollback failed halfway.
      attempt(closeLogs);
      unlock();
    },
  };
}

function openLogs(folder: string): Record<"metrics" | "gains" | "mixing" | "events" | "samples", Log> {
  const open = (name: string): Log => openLog(path.join(folder, name));
  const logs = {
    metrics: open(names.metrics),
    gains: open(names.gains),
    mixing: open(names.mixing),
    events: open(names.events),
    samples: open(names.samples),
  };
  syncFolder(folder);
  return logs;
}

/** Looks at a run without locking it; a trainer may be writing to it. */
export function openRunFolder(folder: string): FinishedRun {
  return { folder, ...readDescription(folder), checkpoints: listCheckpoints(folder) };
}

/** A run's metrics, in order of steps. */
export function readMetrics(folder: string): MetricRecord[] {
  return readRecords(path.join(folder, names.metrics));
}

/** What the instruments saw of a run, in order of steps, with the matrices; old runs have those in the same file. */
export function readGains(folder: string): GainRecord[] {
  const mixing = path.join(folder, names.mixing);
  return together(readRecords(path.join(folder, names.gains)), fs.existsSync(mixing) ? readRecords(mixing) : []);
}

/** A run's alarms, in the order in which they came; none for a run of before there were any. */
export function readEvents(folder: string): EventRecord[] {
  const file = path.join(folder, names.events);
  return fs.existsSync(file) ? readRecords(file) : [];
}

/** The configuration file first: without it, what remains after a kill is no run that could be resumed. */
function clear(folder: string): void {
  expectOwnConfig(folder);
  for (const name of Object.values(names)) {
    try {
      fs.rmSync(path.join(folder, name), { recursive: true, force: true });
    } catch (error) {
      throw new Error(
        `cannot remove ${path.join(folder, name)}: ${reason(error)}. Remove it, or choose another folder`,
        { cause: error },
      );
    }
  }
}

/** Refuses a folder whose config.json is another program's: beside a run it would be lost. */
function expectOwnConfig(folder: string): void {
  if (!fs.existsSync(path.join(folder, names.config)) || isRunFolder(folder)) return;
  throw new Error(
    `the ${names.config} in ${folder} is not that of a run, and would be lost: give the run another folder`,
  );
}

/** A folder holds a run already, or files of one. */
export class FolderTakenError extends Error {
  override name = "FolderTakenError";
}

/**
 * Refuses a folder with a run or with files of one.
 *
 * @throws FolderTakenError that says what is there and what can be done
 */
export function expectNoRun(folder: string): void {
  expectOwnConfig(folder);
  const present = Object.values(names).filter((name) => fs.existsSync(path.join(folder, name)));
  if (present.length === 0) return;
  throw new FolderTakenError(
    present.includes(names.config)
      ? `there is a run in ${folder} already: go on with it (--resume), replace it (--overwrite), or give the new run another name`
      : `${folder} holds ${present.join(" and ")} but no run: remove or replace them (--overwrite), or give the run another name`,
  );
}
