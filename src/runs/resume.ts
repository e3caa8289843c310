// Question: may a run go on, from which checkpoint, and what of its folder is mended first?
//
//   read config.json, or the newest checkpoint where it is lost
//   compare the configuration, the tokens and the kernels with the checkpoint's (identity.ts): refuse, or tell
//   note the changes that were asked for in config.json
//   remove what a kill has left, and what the records say of steps after the checkpoint

import fs from "node:fs";
import path from "node:path";
import { readRecords } from "../files/records.ts";
import {
  type CheckpointPlace,
  expectRoom,
  latestCheckpoint,
  loadState,
  removeLeftovers,
  removeSurplus,
  type Room,
} from "./checkpoint.ts";
import { describeResumable, type RunDescription, writeDescription } from "./description.ts";
import { goBack } from "./go-back.ts";
import {
  afterChanges,
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
} from "./identity.ts";
import { names } from "./names.ts";

export interface ResumeOptions extends Room {
  /** Fields of the configuration, by their paths, that may differ from those of the run that is resumed. */
  readonly changed?: readonly string[];
  /** What the run is made from; a resumed one must be made from the same. */
  readonly origin?: RunOrigin;
  readonly onWarning?: (message: string) => void;
}

/** What a run folder begins or goes on with. */
export type Start = RunDescription & {
  /** Where a resumed run goes on; undefined for one that starts at its beginning. */
  readonly resumeFrom: CheckpointPlace | undefined;
};

/**
 * Makes the folder of a run ready to go on.
 *
 * @param config the configuration of the run that goes on, as JSON gives it back
 */
export function resume(folder: string, config: unknown, options: ResumeOptions): Start {
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
  const file = path.join(folder, names.metrics);
  const metrics = fs.existsSync(file) ? readRecords<{ readonly step: number }>(file) : [];
  const { found, done } = recordedSteps(config, step, metrics);
  const lacking = found < done && (damaged?.includes(names.metrics) ?? true);
  if (lacking && !told.has(names.metrics))
    onWarning(
      `${file} is damaged or was edited: it has records of ${found} of the ${done} steps up to the checkpoint. The run goes on; its curves lack the others`,
    );
  for (const name of damaged ?? [])
    if (!told.has(name) && !(lacking && name === names.metrics))
      onWarning(
        `${path.join(folder, name)} is damaged or was edited: it is not as it was when the checkpoint of step ${step} was saved. The run goes on`,
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
