// A job that loses a rank or a machine goes on from its last checkpoint by itself: with the same bits where the world is
// the same, with fewer processes where it is smaller.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { main, makeWorkplace, run, start } from "./cli.ts";
import { makeTwoMachines } from "./two-machines.ts";

const isThere = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const SECONDS = 120;
const words = (text: string): string[] => text.split(" ");
const train = words(
  "train --data text.txt --cache cache --vocabulary 260 --context 16 --batch 4 --threads 1 --evaluate-every 30 --checkpoint-every 20 " +
    "--set model.width=32 --set model.layers=2 --set model.heads=2 --set model.kvHeads=2 --steps 60",
);

const place = makeWorkplace();
const machines = isThere("mpirun.openmpi") ? makeTwoMachines(place.folder) : undefined;
if (!machines)
  process.stderr.write("no Open MPI, or no right to make network namespaces: the test of a cut link is skipped\n");
afterAll(() => {
  machines?.remove();
  place.remove();
});

interface Step {
  readonly step: number;
  readonly loss: number;
  readonly rankSpeed?: readonly number[];
}

/** The steps that a run has recorded; its last line may be half written. */
const stepsOf = (folder: string): Step[] => {
  try {
    const lines = fs.readFileSync(place.at(folder, "metrics.jsonl"), "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Step);
  } catch {
    return [];
  }
};

async function untilStep(folder: string, step: number): Promise<void> {
  while (stepsOf(folder).length < step) await sleep(20);
}

/** The processes of a run, with their rank. */
function ranksOf(folder: string): { readonly pid: number; readonly rank: number }[] {
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
        if (!command.includes(`\0${folder}\0`) || command.includes("\0launch\0")) return [];
        const environment = fs.readFileSync(`/proc/${pid}/environ`, "utf8");
        const [, rank] = /\0(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)\0/.exec(environment) ?? [];
        return rank === undefined ? [] : [{ pid: Number(pid), rank: Number(rank) }];
      } catch {
        // It has ended.
        return [];
      }
    });
}

test.skipIf(!isThere("mpirun.mpich"))(
  "a killed rank costs the steps since the last checkpoint, and no bit; a job without restarts left ends",
  { timeout: SECONDS * 1000 },
  async () => {
    const launch = words("launch -n 2 --mpi mpich --restarts 1 --");
    const job = start(place.folder, [...launch, ...train, "--out", "killed"]);
    await untilStep("killed", 30);
    const victim = ranksOf("killed").find(({ rank }) => rank === 1)!;
    process.kill(victim.pid, "SIGKILL");
    const { code, stderr } = await job.finished;
    expect(stderr).toMatch(new RegExp(`rank 1 \\(process ${victim.pid} on`));
    expect(stderr).toMatch(/started again \(1 of 1\), from step \d+ with 2 processes/);
    expect(code).toBe(0);
    const whole = await run(place.folder, [...words("launch -n 2 --mpi mpich --"), ...train, "--out", "whole"]);
    expect(whole.code).toBe(0);
    const losses = (folder: string): number[] => stepsOf(folder).map(({ loss }) => loss);
    expect(losses("killed")).toEqual(losses("whole"));
    const weights = (folder: string): Buffer =>
      fs.readFileSync(place.at(folder, "checkpoints/step-60/optimizer-00002-of-00002.safetensors"));
    expect(weights("killed").equals(weights("whole"))).toBe(true);
    expect(ranksOf("killed")).toEqual([]);

    const never = await run(place.folder, [...launch, ...train, "--batch", "3", "--out", "never"]);
    expect(never.stderr).toContain("3 sequences a step are given, and 2 processes");
    expect(never.stderr).not.toContain("started again");
    expect(never.code).not.toBe(0);
  },
);

test.skipIf(!machines)(
  "a machine that is cut off is named within 10 s, and the job goes on without it",
  { timeout: SECONDS * 1000 },
  async () => {
    const { addresses, words: enter, environment, cut } = machines!;
    fs.writeFileSync(place.at("hosts"), addresses.map((address) => `${address} slots=1\n`).join(""));
    const launch = words("launch -n 2 --mpi openmpi --hostfile hosts --restarts 2 --");
    const [program, ...entering] = enter;
    const child = spawn(program!, [...entering, process.execPath, main, ...launch, ...train, "--out", "cut"], {
      cwd: place.folder,
      env: { ...process.env, ...environment, NO_COLOR: "1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    let namedAt = 0;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      if (namedAt === 0 && stderr.includes("rank 1 (process")) namedAt = performance.now();
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await untilStep("cut", 30);
    cut();
    const before = performance.now();
    expect(await ended, stderr).toBe(0);
    expect((namedAt - before) / 1000).toBeLessThan(10);
    expect(stderr).toContain("hangs: nothing was heard of it");
    expect(stderr).toMatch(new RegExp(`with 1 process; without ${addresses[1]}, which does not answer`));
    const steps = stepsOf("cut");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
    expect(steps[0]!.rankSpeed).toHaveLength(2);
    expect(steps.at(-1)!.rankSpeed).toBeUndefined();
    // The processes on the other machine end by themselves.
    for (let waited = 0; ranksOf("cut").length > 0 && waited < 150; waited++) await sleep(100);
    expect(ranksOf("cut")).toEqual([]);
  },
);
