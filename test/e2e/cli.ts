// Question: how does a test use the command line as a person does?

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { uniformInteger } from "../../src/data/random.ts";

export const main: string = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Command {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves when the text has been written to standard error. */
  said(text: string): Promise<void>;
}

/** Start `birkhoff` with these arguments in a folder; tables have 200 columns. */
export function start(
  folder: string,
  args: readonly string[],
  { input = "" }: { input?: string | Uint8Array } = {},
): Command {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", COLUMNS: "200" },
  });
  let [stdout, stderr] = ["", ""];
  const listeners = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    for (const listen of listeners) listen();
  });
  child.stdin.on("error", () => undefined).end(input);
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on("error", reject).on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const listen = (): void => void (stderr.includes(text) && resolve());
      listeners.add(listen);
      listen();
      void finished.then(() => reject(new Error(`The command ended without saying "${text}":\n${stderr}`)));
    });
  return { child, finished, said };
}

export function run(
  folder: string,
  args: readonly string[],
  options?: { input?: string | Uint8Array },
): Promise<Finished> {
  return start(folder, args, options).finished;
}

/** A folder of its own for a test file, with a small text in it. Remove it afterwards. */
export function makeWorkplace(): { folder: string; at(...names: string[]): string; remove(): void } {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-e2e-")));
  const at = (...names: string[]): string => path.join(folder, ...names);
  fs.writeFileSync(at("text.txt"), smallText(3000));
  return { folder, at, remove: () => fs.rmSync(folder, { recursive: true }) };
}

/** Sentences of a few words. */
export function smallText(words: number): string {
  const vocabulary = "the union of states must keep peace and we know that great nations grow in freedom".split(" ");
  const word = (i: number): string =>
    vocabulary[uniformInteger(3, 77, i, vocabulary.length)]! + (i % 9 === 8 ? ".\n" : " ");
  return Array.from({ length: words }, (_, i) => word(i)).join("");
}

/** The fields of the smallest model. */
export const sizes = { width: 16, layers: 2, heads: 2, kvHeads: 1, hidden: 24 };

/** The smallest model, on the text of the workplace. */
export const tiny: readonly string[] = [
  "--vocabulary",
  "270",
  "--context",
  "12",
  "--batch",
  "4",
  "--cache",
  "cache",
  "--threads",
  "2",
  ...Object.entries(sizes).flatMap(([name, value]) => ["--set", `model.${name}=${value}`]),
];

/** SHA-256 of a file. */
export function hashOf(file: string): string {
  return createHash("sha256").update(fs.readFileSync(file)).digest("hex");
}

/** The records of a run that repeat bit for bit: everything but times. */
export function losses(runFolder: string): unknown[] {
  const lines = fs.readFileSync(path.join(runFolder, "metrics.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => {
    const {
      tokensPerSecond: _speed,
      seconds: _seconds,
      memory: _memory,
      ...rest
    } = JSON.parse(line) as Record<string, unknown>;
    return rest;
  });
}

/** The lines of --json. */
export const eventsOf = (stdout: string): (Record<string, unknown> & { readonly event: string })[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown> & { event: string });

/** The last line of --json, which is the result. */
export function resultOf(stdout: string): Record<string, unknown> {
  const last = eventsOf(stdout).at(-1);
  if (last?.event !== "result") throw new Error(`the last line is no result: ${stdout}`);
  return last;
}
