// Question: which machines of a hostfile can still be reached?
//
// A launcher is asked to start one process on each, as it would for the job; so whatever it needs (ssh, a daemon, a
// route) is tried too. Those that do not answer are left out, and the job has fewer processes.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Launcher, launchLine } from "./launch-line.ts";

/** A machine as a line of a hostfile names it. */
export interface Host {
  readonly name: string;
  /** The whole line. */
  readonly line: string;
  /** How many processes it takes: "slots=4" (Open MPI) or ":4" (MPICH); 1 where it does not say. */
  readonly slots: number;
}

/** A machine that does not answer within this time is gone. */
const ANSWER_MS = 10_000;

export const parseHosts = (text: string): Host[] =>
  text.split("\n").flatMap((whole): Host[] => {
    const line = whole.replace(/#.*/, "").trim();
    if (line === "") return [];
    const [, name = line, colon] = /^([^\s:]+)(?::(\d+))?/.exec(line) ?? [];
    const slots = Number(/\bslots\s*=\s*(\d+)/.exec(line)?.[1] ?? colon ?? 1);
    return [{ name, line, slots: Math.max(1, slots) }];
  });

/** Machines that answer, and those that do not. */
export async function askHosts(
  launcher: Launcher,
  hosts: readonly Host[],
): Promise<{ readonly here: readonly Host[]; readonly gone: readonly Host[] }> {
  const answers = await Promise.all(hosts.map((host) => doesAnswer(launcher, host)));
  return { here: hosts.filter((_, index) => answers[index]), gone: hosts.filter((_, index) => !answers[index]) };
}

async function doesAnswer(launcher: Launcher, host: Host): Promise<boolean> {
  const file = writeHosts([host]);
  try {
    const [program, ...args] = launchLine(launcher, { processes: 1, hostfile: file, print: true }, [
      process.execPath,
      "--version",
    ]);
    const child = spawn(program!, args, { detached: true, stdio: "ignore" });
    const ended = new Promise<boolean>((resolve) => {
      child.once("error", () => resolve(false)).once("close", (code) => resolve(code === 0));
    });
    const answered = await Promise.race([ended, setTimeout(ANSWER_MS, false, { ref: false })]);
    if (!answered && child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    return answered;
  } catch {
    return false;
  } finally {
    removeHosts(file);
  }
}

/** Write some hosts into a file of their own. */
export function writeHosts(hosts: readonly Host[]): string {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-hosts-")), "hosts");
  fs.writeFileSync(file, hosts.map(({ line }) => `${line}\n`).join(""));
  return file;
}

export const removeHosts = (file: string): void => fs.rmSync(path.dirname(file), { recursive: true, force: true });
