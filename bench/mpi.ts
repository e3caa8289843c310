// Question: how much faster do two processes train than one?
//
// The same model, with as many sequences for each process: two have twice the batch of one, in the best case in the same
// time. Each process has one thread. Runs of one and of two take turns, each a command of its own with real MPI; the speed
// of a run is the median of its steps, without those of its beginning. The figure is the speed of two by twice that of one.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { median } from "../src/basics/numbers.ts";
import { uniformInteger } from "../src/data/random.ts";
import { createBackground } from "./lib/background.ts";
import type { Group } from "./lib/group.ts";
import { type Measured, ratio, type Side } from "./lib/report.ts";

const FIGURE = "mpi.scaling.two";
const BAR = 0.9;
const BATCH = 4;
const STEPS = 9;
/** Steps in which memory is touched for the first time. */
const WARM = 3;
const ROUNDS = 4;
const PAUSE_MS = 200;

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

/** Letters as good as any: the speed does not depend on them. */
function writeText(file: string): void {
  const letter = (i: number): string => String.fromCodePoint(97 + uniformInteger(1, 5, i, 26));
  writeFileSync(file, Array.from({ length: 200_000 }, (_, i) => (i % 7 === 6 ? " " : letter(i))).join(""));
}

/** Tokens a second of a run by so many processes. */
function speedOf(folder: string, processes: number, round: number): number {
  const out = `run-${processes}-${round}`;
  const train = [
    "train",
    "--data",
    "text.txt",
    "--cache",
    "cache",
    "--out",
    out,
    "--preset",
    "micro",
    "--connection",
    "mhc",
  ];
  train.push("--threads", "1", "--batch", String(BATCH * processes), "--steps", String(STEPS), "--vocabulary", "260");
  train.push("--evaluate-every", "1000", "--checkpoint-every", "1000", "--json");
  const command = processes === 1 ? train : ["launch", "-n", String(processes), "--", ...train];
  const { status, stderr } = spawnSync(process.execPath, [main, ...command], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`a run of ${processes} ended with ${status}: ${stderr}`);
  const lines = readFileSync(path.join(folder, out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .slice(WARM);
  return median(lines.map((line) => (JSON.parse(line) as { tokensPerSecond: number }).tokensPerSecond));
}

const sideOf = (label: string, values: readonly number[], factor: number): Side => ({
  label,
  value: factor * median(values),
  unit: "tokens/s",
  median: factor * median(values),
  best: factor * Math.max(...values),
  samples: values.length,
});

export const mpi: Group = {
  names: [FIGURE],
  onRequest: true,
  async *measure(_names, { rounds, note }) {
    const there = spawnSync(process.execPath, [main, "launch", "-n", "2", "--print", "--", "train"], {
      encoding: "utf8",
    });
    if (there.status !== 0) {
      yield { name: FIGURE, skipped: there.stderr.trim() };
      return;
    }
    const folder = mkdtempSync(path.join(os.tmpdir(), "birkhoff-mpi-"));
    try {
      writeText(path.join(folder, "text.txt"));
      const [one, two]: [number[], number[]] = [[], []];
      const background = createBackground();
      for (let round = 0; round < Math.min(rounds, ROUNDS); round++) {
        note(`one process and two, round ${round + 1}`);
        await background.watch(sleep(PAUSE_MS));
        one.push(speedOf(folder, 1, round));
        two.push(speedOf(folder, 2, round));
      }
      const figure: Measured = ratio(FIGURE, sideOf("two processes", two, 1), sideOf("twice one process", one, 2), {
        higher_is_better: true,
        bar: BAR,
      });
      yield { ...figure, background: background.share() };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};
