// Question: which runs does a path mean?
//
// A run folder means itself; a folder of run folders, such as a comparison, means all of them. Other programs call a
// file config.json too, a model in Hugging Face's form among them: such a folder is none of a run. One whose
// config.json is damaged may be one.

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../basics/objects.ts";

/**
 * Run folders of the given paths, each once.
 *
 * @throws Error that names a path without a run, and says what would be one
 */
export function findRuns(paths: readonly string[]): string[] {
  const found = paths.flatMap((given) => {
    if (isRunFolder(given)) return [given];
    const inside = subfolders(given).filter(isRunFolder);
    if (inside.length > 0) return inside;
    throw new Error(
      `There is no run in ${given}: neither it nor a folder in it has a metrics.jsonl, or the config.json of a run. Give run folders, or the folder of a comparison, such as runs/sotu-nano-1.`,
    );
  });
  const seen = new Set<string>();
  return found.filter((folder) => {
    const place = path.resolve(folder);
    return seen.has(place) ? false : Boolean(seen.add(place));
  });
}

/** What only a run has beside its config.json. */
const OWN = ["metrics.jsonl", "events.jsonl", "checkpoints"];
const LARGEST_CONFIG = 1 << 22;

/** Whether a folder is one of a run. */
export function isRunFolder(folder: string): boolean {
  const has = (name: string): boolean => fs.existsSync(path.join(folder, name));
  return (
    has("metrics.jsonl") || (has("config.json") && (OWN.some(has) || mayDescribeRun(path.join(folder, "config.json"))))
  );
}

/** Whether a config.json holds the configuration of a run, or is damaged. */
function mayDescribeRun(file: string): boolean {
  try {
    const stats = fs.statSync(file);
    if (!stats.isFile() || stats.size > LARGEST_CONFIG) return true;
    const description: unknown = JSON.parse(fs.readFileSync(file, "utf8"));
    return !isObject(description) || "config" in description;
  } catch {
    return true;
  }
}

function subfolders(folder: string): string[] {
  try {
    return fs
      .readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => path.join(folder, name))
      .sort();
  } catch {
    return [];
  }
}
