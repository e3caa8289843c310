// Training by real processes whose GPUs exchange by NCCL, as a person starts it: the losses of one process, and a job that
// ends within seconds, with the rank's name, when one of them is killed or stopped. The GPUs and the NCCL are the machine
// that plays them (test/runtime/cuda/machine).

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fakeMachine } from "../runtime/cuda/machine/build.ts";
import { makeWorkplace, run, start } from "./cli.ts";

const machine = await fakeMachine();
const launcher: string = ["mpirun", "openmpi"].join(".");
const hasMpi = spawnSync(launcher, ["--version"]).status === 0;
if (!hasMpi)
  process.stderr.write(`no ${launcher}: GPUs of several processes are not tested (apt-get install openmpi-bin)\n`);

const words = (text: string): string[] => text.split(" ");
const model = words(
  "--data text.txt --cache cache --vocabulary 260 --context 16 --batch 4 --runtime cuda --evaluate-every 5 --checkpoint-every 5 " +
    "--set model.width=32 --set model.layers=2 --set model.heads=2 --set model.kvHeads=2",
);
const launch = (...more: string[]): string[] => [...words("launch -n 2 --mpi openmpi -- train"), ...model, ...more];

describe.skipIf(!machine || !hasMpi)("two processes with a GPU each", { timeout: 300_000 }, () => {
  let place: ReturnType<typeof makeWorkplace>;
  beforeAll(() => {
    process.env.BIRKHOFF_FAKE_CUDA_DEVICES = "2";
    place = makeWorkplace();
  });
  afterAll(() => {
    delete process.env.BIRKHOFF_FAKE_CUDA_DEVICES;
    place?.remove();
  });
  const lossesOf = (folder: string): number[] =>
    fs
      .readFileSync(place.at(folder, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { loss: number }).loss);

  test("doctor says how they would reach each other, or what is missing", async () => {
    const here = await run(place.folder, ["doctor"]);
    expect(here.stdout.replace(/\s+/g, " ")).toMatch(
      /✓ NCCL 2\.30\.7 \(.*\): GPUs of several processes reach each other/,
    );
    process.env.BIRKHOFF_NCCL_LIBRARY = place.at("nowhere.so");
    try {
      const missing = await run(place.folder, ["doctor"]);
      expect(missing.stdout).toMatch(/! NCCL +not here: several processes exchange/);
      expect(missing.stdout).toMatch(/nowhere\.so/);
    } finally {
      delete process.env.BIRKHOFF_NCCL_LIBRARY;
    }
  });

  test("they have the losses of one, and the run goes on alone", async () => {
    const alone = await run(place.folder, ["train", ...model, "--steps", "8", "--out", "alone"]);
    expect(alone.stderr + alone.stdout).toContain("Saved in");
    const two = await run(place.folder, launch("--steps", "8", "--out", "two"));
    expect(two.stderr + two.stdout).toContain("Saved in");
    expect(two.stderr).toContain("the GPUs exchange by NCCL 2.30.7");
    expect(two.code).toBe(0);
    const expected = lossesOf("alone");
    const found = lossesOf("two");
    expect(found).toHaveLength(8);
    for (const [step, loss] of found.entries()) expect(Math.abs(loss - expected[step]!)).toBeLessThan(1e-5);
    const onward = await run(place.folder, ["train", "--resume", "two", "--runtime", "cuda", "--steps", "9"]);
    expect(onward.code).toBe(0);
    expect(lossesOf("two")).toHaveLength(9);
  });

  test("a GPU that both have is told, and what then carries the exchange", async () => {
    process.env.BIRKHOFF_FAKE_CUDA_DEVICES = "1";
    try {
      const asked = await run(place.folder, launch("--steps", "2", "--out", "asked", "--exchange", "nccl"));
      expect(asked.stderr).toContain("nccl: it is asked for (--exchange nccl), and ranks 0 and 1 have the same GPU");
      expect(asked.code).not.toBe(0);
      const found = await run(place.folder, launch("--steps", "2", "--out", "found"));
      expect(found.stderr).toContain(
        "the GPUs exchange through the processors' memory, for ranks 0 and 1 have the same",
      );
      expect(found.code).toBe(0);
    } finally {
      process.env.BIRKHOFF_FAKE_CUDA_DEVICES = "2";
    }
  });

  test.each([
    ["SIGKILL", "ended before the others"],
    ["SIGSTOP", "hangs: nothing was heard of it"],
  ] as const)("a rank that gets %s ends the job within 10 s", async (signal, message) => {
    const job = start(place.folder, launch("--steps", "100000", "--out", signal));
    await job.said("step 1/");
    const pid = processOf(1, signal);
    const before = Date.now();
    process.kill(pid, signal);
    const { code, stderr } = await job.finished;
    expect((Date.now() - before) / 1000).toBeLessThan(10);
    expect(stderr).toContain(`rank 1 (process ${pid} on`);
    expect(stderr).toContain(message);
    expect(code).toBe(75);
    for (const rank of [0, 1]) expect(() => processOf(rank, signal)).toThrow("no process");
  });
});

/** The process of a rank of the job that writes into a folder. */
function processOf(rank: number, folder: string): number {
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = fs.readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      if (command.includes(`\0${folder}\0`) && environment.includes(`OMPI_COMM_WORLD_RANK=${rank}`)) return Number(pid);
    } catch {
      // It has ended, or is another's.
    }
  }
  throw new Error(`no process of rank ${rank}`);
}
