// Question: which files of a folder are its texts, and what was left out?
//
// Every file below the folder whose name has one of the extensions, sorted by path. Links are followed, also to
// folders elsewhere; a link to a folder that holds it, or to one that was read already, is left out, so that no
// circle is walked and no folder is read twice. Hidden files and folders and `node_modules` are left out, and so is
// what is no file: named pipes, sockets, devices. Nothing is left out in silence: `leftOut` names all of it.

import fs from "node:fs";
import path from "node:path";
import { kindOf } from "../files/read.ts";
import { attempt } from "./read-text.ts";

/** Everything of one kind that a folder's reading left out. */
export interface LeftOut {
  /** Such as "hidden", "named pipe", "broken link", or an extension. */
  readonly kind: string;
  /** In the order in which they were met. */
  readonly names: readonly string[];
}

export interface FolderFiles {
  /** Relative to the folder, by code unit. */
  readonly files: readonly string[];
  /** Linked folders that were followed, and where they lead. */
  readonly followed: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

/** The extension that stands for every file. */
export const ANY_FILE = "*";

const READ_ALREADY = "folder that is read already";

/** A note to the user of what was left out has this many names or extensions at most. */
const SHOWN = 6;

/**
 * Which files below a folder have one of the extensions (in lower case, such as ".txt"; "*" for all).
 *
 * @param skipUnreadable leave out a subfolder that cannot be read, instead of an error
 */
export function listFolder(folder: string, extensions: readonly string[], skipUnreadable = false): FolderFiles {
  const files: string[] = [];
  const followed: string[] = [];
  const leftOut = collector();
  const seen = new Set<string>([attempt(folder, () => fs.realpathSync(folder))]);
  // Folders of the tree itself come before linked ones, so that a folder is known by its own name where it has one.
  const links: { name: string; real: string }[] = [];

  const entriesOf = (relative: string): fs.Dirent[] => {
    const here = path.join(folder, relative);
    try {
      const entries = attempt(here, () => fs.readdirSync(here, { withFileTypes: true }));
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    } catch (error) {
      if (!skipUnreadable || relative === "") throw error;
      leftOut.add("unreadable folder", relative);
      return [];
    }
  };
  const visit = (relative: string): void => {
    for (const entry of entriesOf(relative)) {
      const name = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.name.startsWith(".")) leftOut.add("hidden", name);
      else if (entry.name === "node_modules") leftOut.add("node_modules", name);
      else if (entry.isDirectory()) {
        const real = attempt(name, () => fs.realpathSync(path.join(folder, name)));
        if (seen.has(real)) leftOut.add(READ_ALREADY, name);
        else {
          seen.add(real);
          visit(name);
        }
      } else consider(name, entry);
    }
  };
  const consider = (name: string, entry: fs.Dirent): void => {
    const place = path.join(folder, name);
    let stat: fs.Stats;
    try {
      stat = fs.statSync(place);
    } catch {
      leftOut.add(entry.isSymbolicLink() ? "broken link" : "unreadable", name);
      return;
    }
    const kind = kindOf(place, stat);
    if (kind === "folder") links.push({ name, real: fs.realpathSync(place) });
    else if (kind !== "file") leftOut.add(kind, name);
    else if (extensions.includes(ANY_FILE) || extensions.some((ending) => name.toLowerCase().endsWith(ending)))
      files.push(name);
    else leftOut.add(path.extname(name).toLowerCase() || "no extension", name);
  };

  visit("");
  for (let next = links.shift(); next; next = links.shift()) {
    const { name, real } = next;
    const holder = attempt(folder, () => fs.realpathSync(path.dirname(path.join(folder, name))));
    if (`${holder}${path.sep}`.startsWith(real === path.sep ? real : `${real}${path.sep}`)) {
      leftOut.add("link to a folder that holds it", name);
    } else if (seen.has(real)) {
      leftOut.add(READ_ALREADY, name);
    } else {
      seen.add(real);
      followed.push(`${name} (${real})`);
      visit(name);
    }
  }
  // By code unit, so that the order does not depend on the locale.
  files.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return { files, followed, leftOut: leftOut.all() };
}

interface Collector {
  add(kind: string, name: string): void;
  all(): LeftOut[];
}

export function collector(): Collector {
  const kinds = new Map<string, string[]>();
  return {
    add(kind, name) {
      const names = kinds.get(kind);
      if (names) names.push(name);
      else kinds.set(kind, [name]);
    },
    all: () => Array.from(kinds, ([kind, names]) => ({ kind, names })),
  };
}

const isExtension = (kind: string): boolean => kind.startsWith(".") || kind === "no extension";

/**
 * One line on what was left out, and how to read the files of other extensions too; undefined when nothing was.
 * "left out: 9 files (.py 5, .json 4), 1 named pipe (p.txt); --extensions .txt,.py,.json reads the files too".
 */
export function describeLeftOut(leftOut: readonly LeftOut[], read: readonly string[]): string | undefined {
  if (leftOut.length === 0) return undefined;
  const byExtension = leftOut.filter(({ kind }) => isExtension(kind)).sort((a, b) => b.names.length - a.names.length);
  const others = leftOut.filter(({ kind }) => !isExtension(kind));
  const parts: string[] = [];
  if (byExtension.length > 0) {
    const count = byExtension.reduce((sum, { names }) => sum + names.length, 0);
    const counts = shorten(byExtension.map(({ kind, names }) => `${kind} ${names.length}`));
    parts.push(`${count} ${count === 1 ? "file" : "files"} (${counts})`);
  }
  for (const { kind, names } of others) parts.push(`${names.length} ${kind} (${shorten(names)})`);
  return `left out: ${parts.join(", ")}${wayToRead(byExtension, read)}`;
}

function wayToRead(byExtension: readonly LeftOut[], read: readonly string[]): string {
  if (byExtension.length === 0) return "";
  const named = byExtension.map(({ kind }) => kind).filter((kind) => kind.startsWith("."));
  const asked = named.length === byExtension.length && named.length <= SHOWN ? [...read, ...named].join() : "'*'";
  return `; --extensions ${asked} reads the files too`;
}

function shorten(texts: readonly string[]): string {
  const rest = texts.length - SHOWN;
  return rest > 0 ? `${texts.slice(0, SHOWN).join(", ")} and ${rest} more` : texts.join(", ");
}
