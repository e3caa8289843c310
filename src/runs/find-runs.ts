// Question: which runs does a path mean?
// A run folder means itself; a folder of run folders, such as a comparison, means all of them.

import fs from "node:fs";
import path from "node:path";

/**
 * Run folders of the given paths, each once.
 *
 * @throws Error that names a path without a run, and says what would be one
 */
export function findRuns(paths: readonly string[]): string[] {
  const found = paths.flatMap((given) => {
    if (isRun(given)) return [given];
    const inside = subfolders(given).filter(isRun);
    if (inside.length > 0) return inside;
    throw new Error(
      `There is no run in ${given}: neither it nor a folder in it has a config.json or metrics.jsonl. Give run folders, or the folder of a comparison, such as runs/sotu-nano-1.`,
    );
  });
  const seen = new Set<string>();
  return found.filter((folder) => {
    const place = path.resolve(folder);
    return seen.has(place) ? false : Boolean(seen.add(place));
  });
}

function isRun(folder: string): boolean {
  return ["config.json", "metrics.jsonl"].some((name) => fs.existsSync(path.join(folder, name)));
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
