// Question: where is everything that a training run leaves behind?
//
// runs/<name>/: config.json (written first, and changed only by a resume that asks for it), tokenizer.json, metrics.jsonl, gains.jsonl,
// mixing.jsonl (the matrices of the same steps), events.jsonl, samples.txt, checkpoints/step-N/, report.html, and a lock while a process trains. A run that
// is resumed goes back to its newest sound checkpoint: what the files say of later steps is dropped, so they
// end as if nothing had happened.
//
// A run that rolls back removes the checkpoints of the steps it gives up, then notes the event, then drops the
// records. Killed after the first it repeats the steps up to the same event; killed after the second it goes
// on from the checkpoint it meant to.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { sweepLeftovers, syncFolder, writeFileAtomically } from "../files/atomic.ts";
import { attempt, reason } from "../files/errors.ts";
import { formatRecord, keepRecords, type Log, openLog, readRecords } from "../files/records.ts";
import { ensureWritableFolder, expectSpace } from "../files/space.ts";
import {
  latestCheckpoint,
  listCheckpoints,
  loadState,
  removeCheckpointsAfter,
  removeLeftovers,
  removeSurplus,
  saveCheckpoint,
  type CheckpointContent,
  type CheckpointPlace,
} from "./checkpoint.ts";
import {
  afterChanges,
  asJson,
  changedRecords,
  type ConfigChange,
  describeChanges,
  differences,
  expectChangeable,
  expectSameOrigin,
  expectUnchanged,
  identityIn,
  inTodaysForm,
  recordedSteps,
  type RunOrigin,
  unasked,
  warnOfKernels,
  withIdentity,
} from "./identity.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import {
  describeResumable,
  descriptionInCheckpoint,
  readDescription,
  type RunDescription,
  writeDescription,
} from "./description.ts";
import { lockFolder } from "../files/lock.ts";
import { apart, together } from "./record-shapes.ts";

/** A text that the model wrote. */
export interface Sample {
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

/** A run as others see it. */
export interface FinishedRun extends RunDescription {
  readonly folder: string;
  /** Oldest first. */
  readonly checkpoints: readonly CheckpointPlace[];
}

/** A run as its trainer has it: locked, with its files open. */
export interface RunFolder extends RunDescription {
  readonly folder: string;
  /** Where a resumed run goes on; undefined for one that starts at its beginning. */
  readonly resumeFrom: CheckpointPlace | undefined;
  appendMetrics(record: MetricRecord): void;
  appendGains(record: GainRecord): void;
  appendEvent(record: EventRecord): void;
  /** A run that is resumed at its end writes its last sample again; one that is there already is not added. */
  appendSample(sample: Sample): void;
  /** Append the records of its step before: a resumed run keeps those up to the checkpoint and repeats the others. */
  saveCheckpoint(content: CheckpointContent): CheckpointPlace;
  /** Gives up the steps after that of the event's rollback, checkpoints and records alike, and notes the event. */
  rollBack(event: EventRecord & Required<Pick<EventRecord, "rollback">>): void;
  /** Closes the files and unlocks the folder; harmless when repeated. */
  close(): void;
}

export interface RunFolderOptions {
  /**
   * When there is a run in the folder already: refuse (the default), go on with it (its configuration
   * must be the same), or remove its files and start anew.
   */
  readonly existing?: "refuse" | "resume" | "overwrite";
  /** Fields of the configuration, by their paths, that may differ from those of the run that is resumed. */
  readonly changed?: readonly string[];
  /** What the run is made from; a resumed one must be made from the same. */
  readonly origin?: RunOrigin;
  readonly versions?: Readonly<Record<string, string>>;
  /** How many checkpoints stay; 2 by default. */
  readonly keepCheckpoints?: number;
  /** Size of one checkpoint, to see beforehand whether all fit; with AdamW 12 bytes a parameter. */
  readonly checkpointBytes?: number;
  readonly onWarning?: (message: string) => void;
}

const names = {
  config: "config.json",
  tokenizer: "tokenizer.json",
  metrics: "metrics.jsonl",
  gains: "gains.jsonl",
  mixing: "mixing.jsonl",
  events: "events.jsonl",
  samples: "samples.txt",
  interventions: "interventions.json",
  report: "report.html",
  checkpoints: "checkpoints",
} as const;

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
    sweepLeftovers(folder);
    const resumes = options.existing === "resume" && isBegun(folder);
    const start = (resumes ? resume : begin)(folder, asJson(config), options);
    return openFiles(folder, start, options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

type Start = RunDescription & Pick<RunFolder, "resumeFrom">;

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

function resume(folder: string, config: unknown, options: RunFolderOptions): Start {
  const { onWarning = (message: string) => process.emitWarning(message), changed = [] } = options;
  let restored = false;
  const saved = describeResumable(folder, (message) => {
    restored = true;
    onWarning(message);
  });
  expectSameConfig(folder, saved.config, config, changed);
  removeLeftovers(folder);
  expectRoom(folder, options);
  const resumeFrom = findCheckpoint(folder, onWarning);
  const step = resumeFrom?.step ?? 0;
  const identity = resumeFrom && identityIn(loadState(resumeFrom.folder));
  const before = identity ? afterChanges(identity, step, saved.changes) : inTodaysForm(saved.config);
  if (identity) expectUnchanged(folder, step, before, config, changed);
  const fields = differences(before, config);
  expectChangeable(folder, fields, step);
  if (resumeFrom && options.origin) {
    const { origin: is } = options;
    if (identity) expectSameOrigin(folder, step, { was: identity.origin, is }, onWarning);
    else warnOfOldKernels(folder, step, saved.versions, is, onWarning);
  }
  const description =
    resumeFrom && fields.length > 0 ? withChange(saved, config, { step, fields }) : { ...saved, config };
  if (fields.length > 0 || restored) writeDescription(folder, description);
  if (resumeFrom) removeSurplus(folder, step, options.keepCheckpoints ?? 2);
  const damaged = identity ? changedRecords(folder, identity.records) : undefined;
  const told = goBack(folder, resumeFrom?.step ?? -1, onWarning);
  if (resumeFrom) tellOfHoles(folder, description.config, step, { damaged, told }, onWarning);
  return { ...description, resumeFrom };
}

const withChange = (
  { versions, changes = [] }: RunDescription,
  config: unknown,
  change: ConfigChange,
): RunDescription => ({
  config,
  versions,
  changes: [...changes, change],
});

/** Checkpoints of version 0.1 do not say which kernels computed them; config.json says which the run began with. */
function warnOfOldKernels(
  folder: string,
  step: number,
  { kernels }: RunDescription["versions"],
  is: RunOrigin,
  onWarning: (message: string) => void,
): void {
  if (kernels !== undefined) warnOfKernels(folder, step, { kernels: kernels.split(" ")[0]! }, is, onWarning);
}

/**
 * Says what is lost of the records; no step depends on them.
 *
 * @param files those that are not as the checkpoint remembers them, undefined where it remembers nothing; and those
 *   whose damage was told already
 */
function tellOfHoles(
  folder: string,
  config: unknown,
  step: number,
  { damaged, told }: { readonly damaged: readonly string[] | undefined; readonly told: ReadonlySet<string> },
  onWarning: (message: string) => void,
): void {
  const metrics = fs.existsSync(path.join(folder, names.metrics)) ? readMetrics(folder) : [];
  const { found, done } = recordedSteps(config, step, metrics);
  if (!told.has(names.metrics) && (damaged?.includes(names.metrics) ?? found < done))
    onWarning(
      `${path.join(folder, names.metrics)} is damaged or was edited: it has records of ${found} of the ${done} steps up to the checkpoint. The run goes on; its curves lack the others`,
    );
  for (const name of damaged ?? [])
    if (name !== names.metrics && !told.has(name))
      onWarning(
        `${path.join(folder, name)} is damaged or was edited: it is not as it was when the checkpoint of step ${step} was saved. The run goes on`,
      );
}

/** Room for what is not there yet, and one checkpoint more: the new one is written before the oldest goes. */
function expectRoom(folder: string, { checkpointBytes = 0, keepCheckpoints = 2 }: RunFolderOptions): void {
  const missing = Math.max(0, keepCheckpoints - listCheckpoints(folder).length);
  expectSpace(folder, checkpointBytes * (missing + 1), "the checkpoints of the run");
}

function openFiles(folder: string, start: Start, options: RunFolderOptions, unlock: () => void): RunFolder {
  const { keepCheckpoints: keep = 2, onWarning = (message: string) => process.emitWarning(message) } = options;
  let logs = openLogs(folder);
  let written = new Set(readSamples(folder));
  let closed = false;
  const closeLogs = (): void => Object.values(logs).forEach((log) => log.close());
  return {
    folder,
    ...start,
    appendMetrics: (record) => logs.metrics.append(formatRecord(record)),
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
    saveCheckpoint(content) {
      for (const log of Object.values(logs)) log.sync();
      const { config, versions, changes } = start;
      const records = Object.fromEntries(
        Object.entries(logs).map(([name, log]) => [names[name as keyof typeof logs], log.mark()]),
      );
      const identity = { config, versions, records, ...given({ changes, origin: options.origin }) };
      return saveCheckpoint(folder, { ...content, state: withIdentity(content.state, identity) }, { keep });
    },
    rollBack(event) {
      removeCheckpointsAfter(folder, event.rollback.step);
      logs.events.append(formatRecord(event));
      logs.events.sync();
      closeLogs();
      goBack(folder, event.rollback.step, onWarning);
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

/** Whether an alarm is kept when the run goes back: those up to that step, and all rollbacks, which explain it. */
export const outlives = (event: Pick<EventRecord, "step" | "rollback">, lastStep: number): boolean =>
  event.step <= lastStep || event.rollback !== undefined;

/** The configuration file first: without it, what remains after a kill is no run that could be resumed. */
function clear(folder: string): void {
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

function expectNoRun(folder: string): void {
  const found = Object.values(names).filter((name) => fs.existsSync(path.join(folder, name)));
  if (found.length === 0) return;
  throw new Error(
    found.includes(names.config)
      ? `there is a run in ${folder} already: go on with it (--resume), replace it (--overwrite), or give the new run another name`
      : `${folder} holds ${found.join(" and ")} but no run: remove or replace them (--overwrite), or give the run another name`,
  );
}

function expectSameConfig(folder: string, saved: unknown, given: unknown, changed: readonly string[]): void {
  const changes = unasked(differences(inTodaysForm(saved), given), changed);
  if (changes.length === 0) return;
  throw new Error(
    `the run in ${folder} was begun with another configuration:\n${describeChanges(changes, "in the run", "now")}\n` +
      "Resume it with its own configuration, or give the new one another name",
  );
}

function findCheckpoint(folder: string, onWarning: (message: string) => void): CheckpointPlace | undefined {
  const problems: string[] = [];
  const found = latestCheckpoint(folder, (message) => problems.push(message));
  if (!found && problems.length > 0) {
    throw new Error(
      `no checkpoint of ${folder} can be used:\n  ${problems.join("\n  ")}\n` +
        `Put sound ones in their place, or remove ${path.join(folder, names.checkpoints)} to train from the beginning`,
    );
  }
  problems.forEach(onWarning);
  return found;
}

/** Drops what the growing files say of steps after the last one that is kept; returns the files that were damaged. */
function goBack(folder: string, lastStep: number, onWarning: (message: string) => void): Set<string> {
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
  const text = fs.readFileSync(file, "utf8");
  const keptText = readSamples(folder)
    .filter((sample) => !(Number(/^step (\d+), /.exec(sample)?.[1]) > lastStep))
    .join("");
  if (keptText !== text) writeFileAtomically(file, keptText);
  return told;
}

/** The samples of a run as they were written; one that a kill has torn is left out. */
function readSamples(folder: string): string[] {
  const file = path.join(folder, names.samples);
  if (!fs.existsSync(file)) return [];
  const whole = fs.readFileSync(file, "utf8").split(sampleEnd).slice(0, -1);
  return whole.map((sample) => sample + sampleEnd);
}

/** The text is indented, so none of its lines is empty: only the end of a sample is an empty line. */
const formatSample = ({ step, prompt, text }: Sample): string =>
  `step ${step}, prompt ${JSON.stringify(prompt)}\n${`\n${prompt}${text}`.replaceAll("\n", "\n  ").slice(1)}${sampleEnd}`;

const sampleEnd = "\n\n";
