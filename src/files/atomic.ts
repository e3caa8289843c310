/**
 * How is a file written so that a reader finds the old one, the new one or none, but never half of
 * one? Under a temporary name beside it, synced to the disk, then renamed.
 */
import fs from "node:fs";
import path from "node:path";

/** Writes through `write` and puts the file in its place; on an error nothing is left behind. */
export function writeAtomically(file: string, write: (descriptor: number) => void): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    // Made anew, never opened: what lies there could be a link to somewhere else.
    fs.rmSync(temporary, { force: true });
    const descriptor = fs.openSync(temporary, "wx");
    try {
      write(descriptor);
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, file);
    syncFolder(path.dirname(file));
  } catch (error) {
    removeLeftover(temporary);
    throw new Error(`cannot write ${file}: ${reason(error)}`, { cause: error });
  }
}

/** `force` covers only files that are not there; where the folder is at fault, that is what to report. */
function removeLeftover(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    return;
  }
}

/** Makes the rename itself durable; not every system can, and there the rename must do. */
function syncFolder(folder: string): void {
  try {
    const descriptor = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    return;
  }
}

/** Makes the folder if need be and tries a file in it, so that a failure comes before the work. */
export function ensureWritableFolder(folder: string): void {
  const probe = path.join(folder, `.write-test-${process.pid}`);
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(probe, "x");
    fs.rmSync(probe);
  } catch (error) {
    removeLeftover(probe);
    throw new Error(
      `cannot write to the folder ${folder}: ${reason(error)}. ` +
        "Make it writable, free some space, or choose another folder",
      { cause: error },
    );
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  ENOTDIR: "part of the path is a file, not a folder",
  EEXIST: "a file of that name is in the way",
  ENOENT: "there is no such file or folder",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links go in a circle",
};

/** A system error in words. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return ("code" in error && reasons[String(error.code)]) || error.message;
}
