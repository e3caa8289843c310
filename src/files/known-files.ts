// Question: what is the SHA-256 of a large file, without reading it again at each start?
//
// A small file in a folder of one's own keeps, for each path, the hash with the size and the times of change that the
// file had when it was read. A file that has others is read again. So the hash is always that of all its bytes, as
// long as nobody changes them and sets the clock of the file back.

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../basics/objects.ts";
import { writeFileAtomically } from "./atomic.ts";
import { attempt } from "./errors.ts";
import { sha256OfFile } from "./hash.ts";

/** Hashes that are remembered in a folder. */
export interface KnownFiles {
  /**
   * @param onBytes hears how many bytes were read, from time to time; of a known file not at all
   * @throws a system error
   */
  hashOf(file: string, onBytes?: (bytes: number) => void): string;
  /** Remember the hash of a file that was just written and that nobody else writes. */
  remember(file: string, sha256: string): void;
}

interface Known {
  readonly size: number;
  readonly changed: number;
  readonly modified: number;
  readonly sha256: string;
}

const NAME = "known-files.json";
/** A file of others that is this young may change again within the same tick of its clock. */
const YOUNG_MS = 50;

/** @param folder where the hashes are remembered; where it cannot be written to they are not */
export function knownFiles(folder: string): KnownFiles {
  const place = path.join(folder, NAME);
  const read = (): Map<string, Known> => {
    const known = new Map<string, Known>();
    attempt(() => {
      const json: unknown = JSON.parse(fs.readFileSync(place, "utf8"));
      if (isObject(json)) for (const [file, entry] of Object.entries(json)) if (isKnown(entry)) known.set(file, entry);
    });
    return known;
  };
  const remember = (file: string, { size, ctimeMs, mtimeMs }: fs.Stats, sha256: string): void => {
    // Read again: another process may have added to it.
    const known = read();
    known.set(file, { size, changed: ctimeMs, modified: mtimeMs, sha256 });
    for (const other of known.keys()) if (!fs.existsSync(other)) known.delete(other);
    attempt(() => writeFileAtomically(place, `${JSON.stringify(Object.fromEntries(known), undefined, 1)}\n`));
  };
  return {
    hashOf(file, onBytes) {
      const real = fs.realpathSync(file);
      const stat = fs.statSync(real);
      const found = read().get(real);
      if (found?.size === stat.size && found.changed === stat.ctimeMs && found.modified === stat.mtimeMs)
        return found.sha256;
      const sha256 = sha256OfFile(real, onBytes);
      if (Date.now() - Math.max(stat.ctimeMs, stat.mtimeMs) >= YOUNG_MS) remember(real, stat, sha256);
      return sha256;
    },
    remember(file, sha256) {
      const real = fs.realpathSync(file);
      remember(real, fs.statSync(real), sha256);
    },
  };
}

function isKnown(entry: unknown): entry is Known {
  return (
    isObject(entry) &&
    ["size", "changed", "modified"].every((field) => typeof entry[field] === "number") &&
    typeof entry["sha256"] === "string"
  );
}
