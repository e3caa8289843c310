// Question: where are the tags that a user gives to a run?
//
// They are in tags.json beside the run's other files, {"tags": ["keep", "depth 24"]}: they move with the folder,
// and a program may write them too.

import path from "node:path";
import { writeFileAtomically } from "../../files/atomic.ts";
import type { Places } from "./places.ts";

export const TAGS_FILE = "tags.json";
const MOST = 20;
const LONGEST = 40;
const LARGEST_FILE = 1 << 16;

/** The tags of a run; none if the file is missing or damaged. */
export function readTags(places: Places, run: string): string[] {
  const file = places.open(run, TAGS_FILE);
  if (!file) return [];
  try {
    if (file.size > LARGEST_FILE) return [];
    const value: unknown = JSON.parse(file.read(0, file.size).toString("utf8"));
    return tagsOf(value !== null && typeof value === "object" && "tags" in value ? value.tags : undefined) ?? [];
  } catch {
    return [];
  } finally {
    file.close();
  }
}

/** @returns whether the run exists */
export function writeTags(places: Places, run: string, tags: readonly string[]): boolean {
  const folder = places.folder(run);
  if (folder === undefined) return false;
  writeFileAtomically(path.join(folder, TAGS_FILE), `${JSON.stringify({ tags })}\n`);
  return true;
}

/** The tags in a value; undefined unless it is a list of at most 20 tags of 1 to 40 characters. */
export function tagsOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length > MOST) return undefined;
  const tags = value.map((tag: unknown) => (typeof tag === "string" ? tag.trim() : ""));
  return tags.every((tag) => tag.length > 0 && tag.length <= LONGEST) ? [...new Set(tags)] : undefined;
}
