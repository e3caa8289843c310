// Question: What lies at a path, and are two paths one place?

import fs from "node:fs";
import path from "node:path";

/** Whether a folder lies there. */
export function isFolder(place: string): boolean {
  return fs.statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Whether two paths are one place, also through links. */
export function isSamePlace(a: string, b: string): boolean {
  const real = (place: string): string => (fs.existsSync(place) ? fs.realpathSync(place) : path.resolve(place));
  return real(a) === real(b);
}
