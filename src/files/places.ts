// Question: what is at a path, and do two paths lead to the same place?

import fs from "node:fs";
import path from "node:path";

/** Whether a folder is at this path. */
export function isFolder(place: string): boolean {
  return fs.statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Whether two paths lead to the same place, also through links. */
export function isSamePlace(a: string, b: string): boolean {
  const real = (place: string): string => (fs.existsSync(place) ? fs.realpathSync(place) : path.resolve(place));
  return real(a) === real(b);
}
