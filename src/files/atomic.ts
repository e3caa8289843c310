// Question: how is a file written so that a reader finds the old one, the new one or none, but never half of one?
//
// It is written under a temporary name beside its place, synced to the disk, then renamed. The name says which process
// of which machine writes: what a killed one has left is removed by the next that works in the folder.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { attempt, reason } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { isAlive } from "./lock.ts";

/** Writes through `write` and moves the file to its place; after an error nothing is left behind. */
export function writeAtomically(file: string, write: (descriptor: number) => void): void {
  const temporary = temporaryOf(file);
  try {
    // The file must be new: an existing one could be a link to somewhere else.
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
    attempt(() => fs.rmSync(temporary, { force: true }));
    throw new Error(`cannot write ${file}: ${reason(error)}`, { cause: error });
  }
}

const machine = sha256(os.hostname()).slice(0, 8);

/** The name beside a file under which this process writes it. */
export const temporaryOf = (file: string): string => `${file}.${machine}-${process.pid}.tmp`;

/** Version 0.1 left the machine out of the name. */
const temporaries = /\.(?:(?<host>[\da-f]{8})-)?(?<pid>\d+)\.tmp$|^\.write-test-(?<probe>\d+)$/;

/**
 * Removes the temporary files and folders of this machine's processes that have ended: nobody will rename them.
 *
 * @param of names of the files that they would have become: another file whose name looks alike is its owner's
 */
export function sweepLeftovers(folder: string, of: readonly string[]): void {
  let present: string[] = [];
  attempt(() => (present = fs.readdirSync(folder)));
  for (const name of present) {
    const found = temporaries.exec(name);
    const { host = machine, pid, probe } = found?.groups ?? {};
    if (probe === undefined && !of.includes(name.slice(0, found?.index ?? 0))) continue;
    const writer = Number(pid ?? probe);
    if (host === machine && writer > 0 && !isAlive(writer))
      attempt(() => fs.rmSync(path.join(folder, name), { recursive: true, force: true }));
  }
}

/** A reader finds the old file or the new one, never half of one, also after a loss of power. */
export function writeFileAtomically(file: string, content: string | Uint8Array): void {
  writeAtomically(file, (descriptor) =>
    writeAll(descriptor, typeof content === "string" ? Buffer.from(content) : content),
  );
}

/**
 * Writes all of `bytes`: a single write may take only a part of them, and at most 2 GiB.
 *
 * @param position in the file; default: where the last write ended
 */
export function writeAll(descriptor: number, bytes: Uint8Array, position?: number): void {
  const largestWrite = 1 << 30;
  for (let done = 0; done < bytes.length;) {
    const at = position === undefined ? null : position + done;
    done += fs.writeSync(descriptor, bytes, done, Math.min(bytes.length - done, largestWrite), at);
  }
}

/** Makes the addition or removal of names in a folder durable, where the system can. */
export function syncFolder(folder: string): void {
  attempt(() => {
    const descriptor = fs.openSync(folder, "r");
    attempt(() => fs.fsyncSync(descriptor));
    fs.closeSync(descriptor);
  });
}
