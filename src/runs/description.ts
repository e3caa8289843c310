// Question: what does the config.json of a run folder say?
//
// It holds the configuration, the programs that began the run, and what resumes have changed. The checkpoints hold the
// same, so that a run whose config.json is lost can go on.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { isObject } from "../basics/objects.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { withOlderMeanings } from "../training/config.ts";
import { latestCheckpoint, loadState } from "./checkpoint.ts";
import { isRunFolder } from "./find-runs.ts";
import { type ConfigChange, identityIn, parseChanges } from "./identity.ts";
import { names } from "./names.ts";
import { readText } from "../files/read.ts";

/** What config.json holds. */
export interface RunDescription {
  readonly config: unknown;
  /** Of the programs that began the run. */
  readonly versions: Readonly<Record<string, string>>;
  /** What resumes have changed of the configuration, oldest first; absent where they changed nothing. */
  readonly changes?: readonly ConfigChange[];
}

export function writeDescription(folder: string, description: RunDescription): void {
  writeFileAtomically(path.join(folder, names.config), `${JSON.stringify(description, undefined, 2)}\n`);
}

/**
 * What config.json of a run that is to be resumed says; without a readable one, what the newest sound checkpoint says.
 *
 * @throws Error when there is neither
 */
export function describeResumable(
  folder: string,
  onWarning: (message: string) => void = () => undefined,
): RunDescription {
  try {
    return readDescription(folder);
  } catch (error) {
    const description = descriptionInCheckpoint(folder);
    if (!description) throw error;
    onWarning(`${path.join(folder, names.config)} is missing or not readable; it is written again from the checkpoint`);
    return description;
  }
}

export function descriptionInCheckpoint(folder: string): RunDescription | undefined {
  const place = latestCheckpoint(folder, () => undefined);
  const identity = place && identityIn(loadState(place.folder));
  if (!identity) return undefined;
  const { config, versions, changes } = identity;
  return { config, versions, ...given({ changes }) };
}

export function readDescription(folder: string): RunDescription {
  const file = path.join(folder, names.config);
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    throw new Error(`there is no run in ${folder} (${names.config}: ${reason(error)})${runsAround(folder)}`, {
      cause: error,
    });
  }
  try {
    const description: unknown = JSON.parse(text);
    if (!isObject(description) || !isObject(description.config)) throw new Error("it holds no configuration of a run");
    const { config, versions } = description;
    const changes = parseChanges(description.changes);
    return {
      config: withOlderMeanings(config),
      versions: isObject(versions) ? (versions as RunDescription["versions"]) : {},
      ...given({ changes: changes.length > 0 ? changes : undefined }),
    };
  } catch (error) {
    throw new Error(`${file} is not readable: ${reason(error)}. Mend it, or start the run anew (--overwrite)`, {
      cause: error,
    });
  }
}

const namesIn = (folder: string): string[] => {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
};

const MOST_NAMED = 12;

const showSome = (names: readonly string[]): string =>
  names.length > MOST_NAMED
    ? `${names.slice(0, MOST_NAMED).join(", ")} and ${names.length - MOST_NAMED} more`
    : names.join(", ");

/** Where the user may have meant: runs in the folder, else beside it. */
function runsAround(folder: string): string {
  for (const parent of [folder, path.dirname(path.resolve(folder))]) {
    const runs = namesIn(parent).flatMap((name) => {
      const place = path.join(parent, name);
      if (isRunFolder(place)) return [name];
      // The runs of a comparison lie in a folder of their own.
      return namesIn(place).flatMap((inner) => (isRunFolder(path.join(place, inner)) ? [`${name}/${inner}`] : []));
    });
    if (runs.length > 0) return `; there are runs in ${parent}: ${showSome(runs.sort())}`;
  }
  return "";
}
