// Question: does another process already write to this run folder?
//
// A file names the process that does. If that process has ended, the lock is taken over, so a kill leaves nothing
// to clean up. Process numbers are reused, so the time at which the process started counts too.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { hasCode, reason } from "./errors.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in the system's format; empty where the system does not say. */
  readonly started: string;
}

/** Locks that this process holds. */
const held = new Set<string>();

/** Locks a folder for this process and returns how to unlock it; throws if another process has locked it. */
export function lockFolder(folder: string): () => void {
  const file = path.join(fs.realpathSync(folder), "lock");
  const self: Holder = { pid: process.pid, host: os.hostname(), started: startOf(process.pid) };
  for (let attempt = 0; !create(file, self); attempt++) {
    const holder = read(file);
    if (held.has(file) || attempt === 3 || (holder && mayLive(holder, self))) throw inUse(folder, file, holder ?? self);
    fs.rmSync(file, { force: true });
  }
  held.add(file);
  return () => {
    if (held.delete(file)) fs.rmSync(file, { force: true });
  };
}

/** False when the file exists already. */
function create(file: string, holder: Holder): boolean {
  try {
    fs.writeFileSync(file, `${JSON.stringify(holder)}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw new Error(`cannot write ${file}: ${reason(error)}`, { cause: error });
  }
}

/** Which process a lock's content names: this one, or another that may still be running; undefined if it has ended. */
export function holderOf(content: string): "this" | "another" | undefined {
  const holder = parse(content);
  if (!holder) return undefined;
  const self: Holder = { pid: process.pid, host: os.hostname(), started: startOf(process.pid) };
  const isSelf = holder.host === self.host && holder.pid === self.pid;
  if (isSelf) return holder.started === self.started ? "this" : undefined;
  return mayLive(holder, self) ? "another" : undefined;
}

/** The holder in a lock file; undefined if a kill came between the file's creation and its content. */
function read(file: string): Holder | undefined {
  try {
    return parse(fs.readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function parse(content: string): Holder | undefined {
  try {
    const { pid, host, started }: Holder = JSON.parse(content);
    return Number.isSafeInteger(pid) && pid > 0 ? { pid, host, started } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process may still be running; for processes of another machine the answer is yes. */
function mayLive({ pid, host, started }: Holder, self: Holder): boolean {
  if (host !== self.host) return true;
  if (pid === self.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (hasCode(error, "ESRCH")) return false;
  }
  return started === startOf(pid);
}

/** Linux reports when a process started: field 22 of its stat, after a name that may hold anything but a last ")". */
function startOf(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** Another process, or this one, already writes to the folder. */
export class FolderInUseError extends Error {
  override name = "FolderInUseError";
}

const inUse = (folder: string, file: string, { pid, host }: Holder): FolderInUseError =>
  new FolderInUseError(
    `${folder} is in use by process ${pid} on ${host}: wait for it, stop it, or train into another folder. ` +
      `If that process no longer runs, delete ${file}`,
  );
