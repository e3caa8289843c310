// Question: does another process already write to this run folder?
//
// The file `lock` names the process that does. If that process has ended, the lock is taken over, so a kill leaves
// nothing to clean up. Process numbers are used again, so the time at which the process started counts too.
//
// Two processes that want a folder at one instant must not both get it. Each first makes a claim, an empty file whose
// name is its own and is never used again, then lists the claims, then reads the lock:
//
//   claim → list: another living claim? then give up mine, wait a little, begin again
//         → read: a living holder? then give up mine, the folder is in use
//         → fill my claim and rename it to `lock`, over a lock whose holder is dead
//
// Let A and B both come to the rename, A first. B listed the claims either while A's was there, and gave up; or after
// A's rename, and then B read A's lock; or before A made its claim, and then A, which listed later, saw B's claim or,
// after B's rename, B's lock. So at most one of them comes through. No step removes a file by a name that another
// process can have given to a file of its own: dead claims have names of their own, and a dead lock goes by being
// renamed over.

import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { attempt, hasCode, reason } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { readText } from "./read.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in the system's format; empty where the system does not say. */
  readonly started: string;
  /** Tells this lock from every other of the same process; absent in locks of version 0.1. */
  readonly nonce?: string;
}

/** Locks that this thread holds, and what it wrote into them. */
const held = new Map<string, string>();
let releasesAtExit = false;

/** How long contenders that meet at one instant may take to find out who is first. */
const LONGEST_CONTEST_MS = 5000;
/** So long a lock without content is given its time: version 0.1 made the file before it wrote into it. */
const WRITING_MS = 20;

/** Locks a folder for this process and returns how to unlock it; throws if another process has locked it. */
export function lockFolder(folder: string): () => void {
  const file = path.join(fs.realpathSync(folder), "lock");
  const self: Holder = { ...thisProcess(), nonce: randomUUID() };
  if (held.has(file)) throw inUse(folder, file, self);
  const content = `${JSON.stringify(self)}\n`;
  const started = performance.now();
  for (let wait = 2; !takeAlone(folder, file, content, self); wait = Math.min(2 * wait, 100)) {
    if (performance.now() - started > LONGEST_CONTEST_MS) throw contested(folder, file);
    pause(wait * (0.5 + Math.random()));
  }
  held.set(file, content);
  // A process that leaves without unlocking leaves no lock behind, unless it is killed.
  if (!releasesAtExit) process.once("exit", () => [...held.keys()].forEach(release));
  releasesAtExit = true;
  return () => release(file);
}

/** Unlock a folder whose holder is one of these processes, of which its caller knows that they have ended. */
export function unlockAfter(folder: string, ended: readonly { readonly pid: number; readonly host: string }[]): void {
  const file = path.join(folder, "lock");
  const holder = parse(contentOf(file) ?? "");
  if (holder && ended.some(({ pid, host }) => pid === holder.pid && host === holder.host))
    fs.rmSync(file, { force: true });
}

function release(file: string): void {
  const content = held.get(file);
  // Someone may have deleted the lock by hand, and another process may hold the folder since.
  if (held.delete(file) && contentOf(file) === content) fs.rmSync(file, { force: true });
}

/** One attempt; false when another process is at it too. Throws when the folder has a holder. */
function takeAlone(folder: string, file: string, content: string, self: Holder): boolean {
  expectFree(folder, file, self);
  const claim = makeClaim(file, self);
  try {
    if (otherClaims(file, path.basename(claim)).length > 0) {
      fs.rmSync(claim, { force: true });
      return false;
    }
    expectFree(folder, file, self);
    fs.writeFileSync(claim, content, { flag: "r+" });
    fs.renameSync(claim, file);
    return true;
  } catch (error) {
    attempt(() => fs.rmSync(claim, { force: true }));
    if (error instanceof FolderInUseError) throw error;
    throw new Error(`cannot write ${file}: ${reason(error)}`, { cause: error });
  }
}

function expectFree(folder: string, file: string, self: Holder): void {
  const holder = parse(settledText(file));
  if (holder && mayLive(holder, self)) throw inUse(folder, file, holder);
}

/** The content of a lock, empty if there is none. One that is not whole is read again after a moment. */
function settledText(file: string): string {
  const text = contentOf(file);
  if (text === undefined || parse(text)) return text ?? "";
  pause(WRITING_MS);
  return contentOf(file) ?? "";
}

function contentOf(file: string): string | undefined {
  try {
    return readText(file);
  } catch {
    return undefined;
  }
}

/** A claim says all of its process in its name, so that it is whole as soon as it is there. */
function makeClaim(file: string, { pid, host, started, nonce }: Holder): string {
  const claim = path.join(path.dirname(file), `.lock-${pid}-${started || "x"}-${markOf(host)}-${nonce}`);
  try {
    fs.writeFileSync(claim, "", { flag: "wx" });
    return claim;
  } catch (error) {
    throw new Error(`cannot write ${claim}: ${reason(error)}`, { cause: error });
  }
}

const claims = /^\.lock-(\d+)-(\w+)-([\da-f]{8})-[\da-f-]+$/;

/** Names of the claims of other processes and threads that may be at work; those of dead ones are removed. */
function otherClaims(file: string, own: string): string[] {
  const folder = path.dirname(file);
  const self = thisProcess();
  return fs.readdirSync(folder).filter((name) => {
    const [, pid, started, host] = claims.exec(name) ?? [];
    if (pid === undefined || name === own) return false;
    const isHere = host === markOf(self.host);
    const holder = { pid: Number(pid), host: isHere ? self.host : "", started: started === "x" ? "" : started! };
    if (mayLive(holder, self)) return true;
    attempt(() => fs.rmSync(path.join(folder, name), { force: true }));
    return false;
  });
}

const markOf = (host: string): string => sha256(host).slice(0, 8);

const thisProcess = (): Holder => ({ pid: process.pid, host: os.hostname(), started: startOf(process.pid) });

/** Which process a lock's content names: this one, or another that may still be running; undefined if it has ended. */
export function holderOf(content: string): "this" | "another" | undefined {
  const holder = parse(content);
  if (!holder) return undefined;
  const self = thisProcess();
  const isSelf = holder.host === self.host && holder.pid === self.pid;
  if (isSelf) return holder.started === self.started ? "this" : undefined;
  return mayLive(holder, self) ? "another" : undefined;
}

/** The holder that a lock names; undefined if a kill or a full disk left the file without its content. */
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
  // Another thread of this process; or, where the system does not say when it started, an earlier one of its number.
  if (pid === self.pid) return started !== "" && started === self.started;
  if (!isAlive(pid)) return false;
  const now = startOf(pid);
  // The system may hide other users' processes: what cannot be known may live.
  return now === "" ? isAlive(pid) : started === "" || started === now;
}

/** Whether a process of this machine runs under that number. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (hasCode(error, "ESRCH")) return false;
  }
  return !hasEnded(pid);
}

/** Whether only a process's number is left, which its parent has not yet asked for: such a process writes nothing. */
const hasEnded = (pid: number): boolean => /^[ZX]$/.test(statOf(pid)[0] ?? "");

/** Linux reports when a process started: field 22 of its stat. */
const startOf = (pid: number): string => statOf(pid)[19] ?? "";

/** The fields of a process's stat from the third on, its state; they follow a name that may hold anything but a last ")". */
function statOf(pid: number): string[] {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
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

const contested = (folder: string, file: string): FolderInUseError =>
  new FolderInUseError(
    `${folder} is being locked by another process, which has not come to an end in ${LONGEST_CONTEST_MS / 1000} s: wait for it or stop it. ` +
      `If no process does that, delete the files ${path.join(path.dirname(file), ".lock-*")}`,
  );
