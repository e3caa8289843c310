// Question: can a folder take what will be written, before the work is done?

import fs from "node:fs";
import path from "node:path";
import { attempt, hasCode, reason } from "./errors.ts";

/** Makes the folder if necessary and tries a file in it, so that a failure comes before the work. */
export function ensureWritableFolder(folder: string): void {
  const probe = path.join(folder, `.write-test-${process.pid}`);
  try {
    makeFolder(path.resolve(folder));
    fs.writeFileSync(probe, "x");
    // Another machine whose process has this number may have swept it up.
    fs.rmSync(probe, { force: true });
  } catch (error) {
    attempt(() => fs.rmSync(probe, { force: true }));
    throw new Error(
      `cannot write to the folder ${folder}: ${reason(error)}. ` +
        "Make it writable, free some space, or choose another folder",
      { cause: error },
    );
  }
}

/** Node says of a read-only file system that the folder is not there; a level made alone fails with the true reason. */
function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { recursive: true });
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    const missing = path.relative(existingPart(folder), folder).split(path.sep)[0]!;
    fs.mkdirSync(path.join(existingPart(folder), missing));
    throw error;
  }
}

/**
 * Throws when the disk of a folder, which need not exist yet, has less room than `bytes`. If the file system does
 * not report its free space, this passes, and the write itself may fail.
 *
 * @param purpose what the bytes are for; the error names it
 */
export function expectSpace(folder: string, bytes: number, purpose: string): void {
  const free = freeBytes(folder);
  if (bytes <= free) return;
  throw new Error(
    `${purpose} need ${inMiB(bytes, Math.ceil)} MiB, but the disk of ${folder} has ${inMiB(free, Math.floor)} MiB free: ` +
      "free some space, or choose a folder on another disk",
  );
}

const inMiB = (bytes: number, round: (value: number) => number): number => round(bytes / 2 ** 20);

function freeBytes(folder: string): number {
  try {
    const { bavail, blocks, bsize } = fs.statfsSync(existingPart(path.resolve(folder)));
    return blocks === 0 ? Infinity : bavail * bsize;
  } catch {
    return Infinity;
  }
}

function existingPart(folder: string): string {
  return fs.existsSync(folder) || path.dirname(folder) === folder ? folder : existingPart(path.dirname(folder));
}
