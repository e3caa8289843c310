// Question: is the run that is resumed the run that began?
//
// Every checkpoint holds what decides the numbers of the steps after it: the configuration, the SHA-256 of the tokens,
// the tokenizer and the kernels, and how long the files of records were. When a run is resumed all of it is compared.
//
//   configuration, tokens   another one gives other numbers: refused, unless the change was asked for
//   kernels                 another machine may have another build: told, for the last bits will differ
//   records                 what is lost of them is told; no number of the training depends on them
//
// The number of threads, what is computed again to save memory and where the tokens lie change no number.

import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { given } from "../basics/given.ts";
import { isObject, ownEntry } from "../basics/objects.ts";
import { showValue, shellWord, showMany } from "../basics/show.ts";
import { countFromZero } from "../basics/schemas.ts";
import { newSha256 } from "../files/hash.ts";
import type { LogMark } from "../files/records.ts";
import { currentPath, parseTrainingConfig } from "../training/config.ts";
import type { TrainingState } from "../training/checkpoint-files.ts";

/** What a run is made from besides its configuration. */
export interface RunOrigin {
  /** SHA-256 of the tokens of each part. */
  readonly train: string;
  readonly validation: string;
  /** SHA-256 of tokenizer.json as this version writes it. */
  readonly tokenizer: string;
  /** Which build of the kernels, such as "relaxed". */
  readonly kernels: string;
  /** The beginning of the SHA-256 of their code, where there is one. */
  readonly kernelCode?: string;
}

/** A change of the configuration that a resume asked for. */
export interface ConfigChange {
  /** The steps after this one have the new values. */
  readonly step: number;
  readonly fields: readonly FieldChange[];
}

/** A field of a configuration that differs; absent values are undefined. */
export interface FieldChange {
  readonly field: string;
  readonly was?: unknown;
  readonly is?: unknown;
}

const changesSchema = z.array(
  z.object({
    step: countFromZero(),
    fields: z.array(z.object({ field: z.string(), was: z.unknown().optional(), is: z.unknown().optional() })),
  }),
);

/**
 * The changes in a config.json; none where it has none.
 *
 * @throws Error when they are something else
 */
export function parseChanges(value: unknown): readonly ConfigChange[] {
  const result = changesSchema.safeParse(value ?? []);
  if (result.success) return result.data;
  throw new Error("its changes are not a list of steps, each with the fields that changed after it");
}

/** What a checkpoint knows of its run. */
export interface RunIdentity {
  readonly config: unknown;
  readonly versions: Readonly<Record<string, string>>;
  readonly changes?: readonly ConfigChange[];
  readonly origin?: RunOrigin;
  /** The files of records when the checkpoint was saved. */
  readonly records: Readonly<Record<string, LogMark>>;
}

/** The state of a checkpoint with its run's identity. */
export const withIdentity = (state: TrainingState, identity: RunIdentity): TrainingState => ({ ...state, identity });

/** The identity in a checkpoint's state; undefined in those of version 0.1. */
export function identityIn({ identity }: TrainingState): RunIdentity | undefined {
  if (!isObject(identity) || !isObject(identity.config) || !isObject(identity.records)) return undefined;
  return identity as unknown as RunIdentity;
}

/** What another value of which would not be the same run. Resuming cannot change these. */
const fixed = [
  "name",
  "model",
  "data.vocabulary",
  "data.splitSeed",
  "data.prepared",
  "upcycledFrom",
  "startedFrom",
  "importedFrom",
];
/**
 * What changes no number of a run, or as little as the number of its processes: what is computed again or divided to save
 * memory, where the tokens are now, when it writes.
 */
const free: ReadonlySet<string> = new Set(["recompute", "sharded", "data.prepared.folder", "sampleEvery"]);

const covers = (field: string, path: string): boolean => path === field || path.startsWith(`${field}.`);

/** A configuration as this version writes it, also one that an older version wrote. */
export function inTodaysForm(saved: unknown): unknown {
  try {
    return asJson(parseTrainingConfig(saved));
  } catch {
    return saved;
  }
}

/** What would come back from a file. */
export const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** The fields that differ between two configurations and that a run's numbers or records depend on. */
export function differences(was: unknown, is: unknown, at = ""): FieldChange[] {
  if (free.has(at)) return [];
  const [before, now] = [was, is].map((value) => (value === undefined ? {} : value));
  if ((isObject(was) || isObject(is)) && isObject(before) && isObject(now)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
    return [...keys].flatMap((key) =>
      differences(ownEntry(before, key), ownEntry(now, key), at ? `${at}.${key}` : key),
    );
  }
  return JSON.stringify(was) === JSON.stringify(is) ? [] : [{ field: at || "(all)", ...given({ was, is }) }];
}

/** The differences that were not asked for. */
export const unasked = (changes: readonly FieldChange[], asked: readonly string[]): FieldChange[] =>
  changes.filter(({ field }) => !asked.some((path) => covers(currentPath(path), field)));

/** Lines that say what differs. */
export const describeChanges = (changes: readonly FieldChange[], was: string, is: string): string =>
  changes.map((change) => `  ${change.field}: ${shown(change.was)} ${was}, ${shown(change.is)} ${is}`).join("\n");

const shown = (value: unknown): string => JSON.stringify(value) ?? "nothing";

/** A change that a resume has made, on one line: "after step 100: steps from 100 to 200". */
export const describeChange = ({ step, fields }: ConfigChange): string =>
  `after step ${step}: ${fields.map(({ field, was, is }) => `${field} from ${brief(was)} to ${brief(is)}`).join(", ")}`;

const brief = (value: unknown): string => (value === undefined ? "nothing" : showValue(value));

/** Options that ask for these changes. */
export const askingFor = (changes: readonly FieldChange[]): string =>
  changes.map(({ field, is }) => `--set ${field}=${shellWord(typeof is === "string" ? is : shown(is))}`).join(" ");

/** Throws when a change was asked for that would make another run of it, or end it before the step where it is. */
export function expectChangeable(folder: string, changes: readonly FieldChange[], step: number): void {
  for (const { field, was, is } of changes) {
    if (fixed.some((each) => covers(each, field)))
      throw new Error(
        `${field} of the run in ${folder} is ${shown(was)} and cannot change: leave it as it is, or begin another run`,
      );
    if (field === "steps" && typeof is === "number" && is < step)
      throw new Error(
        `the run in ${folder} was to have ${showMany(is, "step")}, but it is at step ${step}: give at least ${step}`,
      );
  }
}

/**
 * Throws when a configuration is not the one that a checkpoint was trained with, in anything that was not asked for.
 *
 * @param saved the checkpoint's, with the changes that were asked for after it
 * @param asked paths of the fields that may differ
 */
export function expectUnchanged(
  folder: string,
  step: number,
  saved: unknown,
  config: unknown,
  asked: readonly string[],
): void {
  const edited = unasked(differences(saved, config), asked);
  if (edited.length === 0) return;
  const changeable = edited.every(({ field, is }) => is !== undefined && !fixed.some((each) => covers(each, field)));
  throw new Error(
    `config.json of ${folder} is not the configuration that its checkpoint of step ${step} was trained with:\n` +
      `${describeChanges(edited, "in the checkpoint", "in config.json")}\n` +
      (changeable
        ? `Put the old values back, or ask for the new ones: birkhoff train --resume ${folder} ${askingFor(edited)}`
        : "Put the old values back, or begin another run with the new ones"),
  );
}

/** The configuration of a checkpoint with what resumes have changed at its step or later. */
export function afterChanges(
  { config }: Pick<RunIdentity, "config">,
  step: number,
  changes: readonly ConfigChange[] = [],
): unknown {
  const later = changes.filter((change) => change.step >= step).flatMap(({ fields }) => fields);
  return later.reduce((changed, { field, is }) => withField(changed, field.split("."), is), inTodaysForm(config));
}

function withField(value: unknown, [key, ...rest]: readonly string[], is: unknown): unknown {
  if (key === undefined) return is;
  const fields = isObject(value) ? value : {};
  return { ...fields, [key]: withField(ownEntry(fields, key), rest, is) };
}

/**
 * Compares what a run is made from with what its checkpoint was made from.
 *
 * @param onWarning hears of what changes no number but the last bits
 * @throws Error when the tokens are others
 */
export function expectSameOrigin(
  folder: string,
  step: number,
  { was, is }: { readonly was: RunOrigin | undefined; readonly is: RunOrigin },
  onWarning: (message: string) => void,
): void {
  if (!was) return;
  const parts = (["train", "validation"] as const).filter((part) => was[part] !== is[part]);
  if (parts.length > 0)
    throw new Error(
      `the ${parts.join(" and ")} tokens are not those that the run in ${folder} learned from (checkpoint of step ${step}): ` +
        "put the text or the prepared tokens of then back, or begin another run",
    );
  if (was.tokenizer !== is.tokenizer)
    onWarning(`the tokenizer of ${folder} is not the one of its checkpoint of step ${step}; it gives the same tokens`);
  warnOfKernels(folder, step, was, is, onWarning);
}

/** A build of the kernels computes the same numbers up to rounding, so a run may go on with another: not with its bits. */
export function warnOfKernels(
  folder: string,
  step: number,
  was: Pick<RunOrigin, "kernels" | "kernelCode">,
  is: Pick<RunOrigin, "kernels" | "kernelCode">,
  onWarning: (message: string) => void,
): void {
  const end =
    "the run goes on, but not with the bits that it would have had; see docs/files.md, What depends on the machine";
  if (was.kernels !== is.kernels)
    onWarning(
      `${folder}: the steps up to ${step} were computed by the kernels "${was.kernels}", the next ones by "${is.kernels}": ${end}`,
    );
  else if (was.kernelCode !== is.kernelCode && was.kernelCode !== undefined && is.kernelCode !== undefined)
    onWarning(`${folder}: the kernels are of another version than those of the steps up to ${step}: ${end}`);
}

/** The files of records that do not begin as they were when the checkpoint was saved. */
export function changedRecords(folder: string, records: RunIdentity["records"]): string[] {
  return Object.entries(records).flatMap(([name, { bytes, sha256 }]) =>
    beginningOf(path.join(folder, path.basename(name)), bytes) === sha256 ? [] : [name],
  );
}

/** The SHA-256 of the first bytes of a file; undefined if it has not so many. */
function beginningOf(file: string, bytes: number): string | undefined {
  const hash = newSha256();
  if (bytes === 0) return hash.digest("hex");
  try {
    const descriptor = fs.openSync(file, "r");
    try {
      const part = new Uint8Array(1 << 20);
      for (let left = bytes; left > 0;) {
        const got = fs.readSync(descriptor, part, 0, Math.min(part.length, left), null);
        if (got === 0) return undefined;
        hash.update(part.subarray(0, got));
        left -= got;
      }
      return hash.digest("hex");
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}

/** How many of the steps that a run has done before its checkpoint have a record, and how many there were. */
export function recordedSteps(
  config: unknown,
  step: number,
  records: readonly { readonly step: number }[],
): { readonly found: number; readonly done: number } {
  const upcycledFrom = isObject(config) ? config.upcycledFrom : undefined;
  const first = isObject(upcycledFrom) && typeof upcycledFrom.step === "number" ? upcycledFrom.step : 0;
  const steps = new Set(records.map((record) => record.step));
  return { found: [...steps].filter((each) => each > first && each <= step).length, done: Math.max(0, step - first) };
}
