// Question: which run folders lie under the root, and what prevents the server from reading anything else?
//
// A run is named by its path from the root, and only names that a search found are accepted: "..",
// encoded slashes and absolute paths are not names. Symbolic links are not followed when
// searching; a file that is itself a link is read only while it leads to a place under the root, and
// only regular files are opened, so that a pipe cannot hold the server up.

import fs from "node:fs";
import path from "node:path";
import { reason } from "../../files/errors.ts";
import { isRunFolder } from "../../runs/find-runs.ts";

/** A file that is open for reading. */
export interface OpenFile {
  readonly size: number;
  /** Identifies the file; it changes when the file is replaced. */
  readonly mark: string;
  read(from: number, length: number): Buffer;
  close(): void;
}

export interface Places {
  /** The root with all links resolved. */
  readonly root: string;
  /** The names of the runs. The search is repeated unless the last one was a moment ago. */
  names(): readonly string[];
  /** The folder of a run; undefined if no run has that name. */
  folder(name: string): string | undefined;
  /** A file of a run; undefined if it is missing, is not a regular file or leads out of the root. */
  open(name: string, file: string): OpenFile | undefined;
}

const SEARCH_MS = 1000;
const DEEPEST = 8;
const MOST_FOLDERS = 50_000;
const SKIPPED = new Set(["checkpoints", "node_modules"]);

/** @throws Error when the root is not a folder */
export function createPlaces(rootPath: string): Places {
  const root = realFolder(rootPath);
  let runNames: readonly string[] = [];
  let known = new Set<string>();
  let searched = -Infinity;
  const search = (olderThan: number): void => {
    if (performance.now() - searched < olderThan) return;
    runNames = findRuns(root);
    known = new Set(runNames);
    searched = performance.now();
  };
  const folder = (name: string): string | undefined => {
    if (!known.has(name)) search(SEARCH_MS / 4);
    if (!known.has(name)) return undefined;
    const wanted = path.join(root, name);
    return realPath(wanted) === wanted ? wanted : undefined;
  };
  return {
    root,
    names() {
      search(SEARCH_MS);
      return runNames;
    },
    folder,
    open(name, file) {
      const place = folder(name);
      const real = place === undefined ? undefined : realPath(path.join(place, file));
      return real !== undefined && isInside(root, real) ? openRegular(real) : undefined;
    },
  };
}

/** The status of a file; undefined if it does not exist or cannot be queried. */
export function statsOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function realFolder(folder: string): string {
  const mend = "give the folder that holds your run folders: birkhoff serve FOLDER";
  try {
    const real = fs.realpathSync.native(folder);
    if (fs.statSync(real).isDirectory()) return real;
  } catch (error) {
    throw new Error(`Cannot read ${folder}: ${reason(error)}; ${mend}`, { cause: error });
  }
  throw new Error(`${folder} is not a folder; ${mend}`);
}

function realPath(file: string): string | undefined {
  try {
    return fs.realpathSync.native(file);
  } catch {
    return undefined;
  }
}

function isInside(root: string, file: string): boolean {
  const relative = path.relative(root, file);
  return relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

function openRegular(file: string): OpenFile | undefined {
  // Windows lacks the last two; undefined adds nothing.
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const { size, dev, ino } = expectFile(fs.fstatSync(descriptor));
    const open = descriptor;
    return {
      size,
      mark: `${dev}:${ino}`,
      read(from, length) {
        const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - from)));
        return bytes.subarray(0, fs.readSync(open, bytes, 0, bytes.length, from));
      },
      close: () => fs.closeSync(open),
    };
  } catch {
    if (descriptor !== undefined) fs.closeSync(descriptor);
    return undefined;
  }
}

function expectFile(stats: fs.Stats): fs.Stats {
  if (!stats.isFile()) throw new Error("not a regular file");
  return stats;
}

/** Whether a folder with these entries is one of a run: a config.json alone may be another program's. */
function isRunWith(folder: string, entries: readonly fs.Dirent[]): boolean {
  const config = entries.find(({ name }) => name === "config.json");
  if (!config) return false;
  // What is no file of its own is not opened here.
  return !config.isFile() || entries.some(({ name }) => name === "metrics.jsonl") || isRunFolder(folder);
}

/** Folders of runs, by their path from the root. */
function findRuns(root: string): string[] {
  const runs: string[] = [];
  let left = MOST_FOLDERS;
  const visit = (folder: string, name: string, depth: number): void => {
    if (left-- <= 0) return;
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(folder, { withFileTypes: true });
    } catch {
      return;
    }
    const isRun = isRunWith(folder, entries);
    if (isRun) runs.push(name || ".");
    // Do not search inside a run: an export in it has a config.json too.
    if ((isRun && name !== "") || depth === DEEPEST) return;
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
      visit(path.join(folder, entry.name), name ? `${name}/${entry.name}` : entry.name, depth + 1);
    }
  };
  visit(root, "", 0);
  return runs.sort();
}
