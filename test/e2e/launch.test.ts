// Training by real processes over real MPI: the losses of one process, checkpoints that go on anywhere, and a job that
// ends within seconds, with the rank's name, when one of them is killed or stopped.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSamples } from "../../src/runs/samples.ts";
import { type Finished, makeWorkplace, run, start } from "./cli.ts";

const kinds = [
  ["openmpi", "mpirun.openmpi", "OMPI_COMM_WORLD_RANK"],
  ["mpich", "mpirun.mpich", "PMI_RANK"],
] as const;
const isThere = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
for (const [kind, program] of kinds)
  if (!isThere(program))
    process.stderr.write(`no ${program}: the tests of ${kind} are skipped (apt-get install openmpi-bin mpich)\n`);

const SECONDS = 90;

let place: ReturnType<typeof makeWorkplace>;
let alone: number[] = [];
const words = (text: string): string[] => text.split(" ");
const model = words(
  "--data text.txt --cache cache --vocabulary 260 --context 16 --batch 4 --threads 1 --evaluate-every 10 --checkpoint-every 10 " +
    "--set model.width=32 --set model.layers=2 --set model.heads=2 --set model.kvHeads=2",
);
const experts = words(
  "--set model.feedForward.kind=moe --set model.feedForward.experts=4 --set model.feedForward.active=2 " +
    "--set model.feedForward.shared=1 --set model.feedForward.hidden=16 --set model.feedForward.denseLayers=0",
);

interface Step {
  readonly loss: number;
  readonly validationLoss?: number;
  readonly rankSpeed?: readonly number[];
}
const stepsOf = (folder: string): Step[] =>
  fs
    .readFileSync(place.at(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Step);
const lossesOf = (folder: string): number[] => stepsOf(folder).map(({ loss }) => loss);
const worst = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((loss, index) => Math.abs(loss - b[index]!)));

const train = async (...args: string[]): Promise<Finished> => {
  const finished = await run(place.folder, args);
  expect(finished.stderr + finished.stdout).toContain("Saved in");
  expect(finished.code).toBe(0);
  return finished;
};

/** The process of a rank of the job that writes into a folder. */
function processOf(variable: string, rank: number, folder: string): number {
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = fs.readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      if (command.includes(`\0${folder}\0`) && environment.includes(`${variable}=${rank}`)) return Number(pid);
    } catch {
      // It has ended, or is another's.
    }
  }
  throw new Error(`no process of rank ${rank}`);
}

beforeAll(async () => {
  place = makeWorkplace();
  await train("train", ...model, "--steps", "20", "--out", "alone");
  alone = lossesOf("alone");
}, SECONDS * 1000);
afterAll(() => place.remove());

describe.each(kinds)("%s", (kind, program, variable) => {
  const launch = (processes: number, ...args: string[]): string[] => [
    ...words(`launch -n ${processes} --mpi ${kind} -- train`),
    ...args,
  ];
  const hasMpi = isThere(program);

  test.skipIf(!hasMpi)(
    "two processes have the losses of one, write one run, and it goes on alone",
    { timeout: SECONDS * 1000 },
    async () => {
      const out = `${kind}-two`;
      await train(...launch(2, ...model, "--steps", "20", "--out", out));
      expect(worst(lossesOf(out), alone)).toBeLessThan(1e-5);
      const last = stepsOf(out).at(-1)!;
      expect(last.rankSpeed).toHaveLength(2);
      expect(last.validationLoss).toBeCloseTo(stepsOf("alone").at(-1)!.validationLoss!, 5);
      expect(fs.existsSync(place.at(out, "checkpoints"))).toBe(true);
      await train("train", "--resume", out, "--steps", "24", "--threads", "1");
      expect(lossesOf(out)).toHaveLength(24);
    },
  );

  test.skipIf(!hasMpi)(
    "four processes go on with the run of one, and share a mixture of experts",
    { timeout: SECONDS * 1000 },
    async () => {
      const out = `${kind}-four`;
      fs.cpSync(place.at("alone"), place.at(out), { recursive: true });
      await train(...launch(4, "--resume", out, "--steps", "22", "--threads", "1"));
      expect(lossesOf(out).slice(0, 20)).toEqual(alone);
      expect(stepsOf(out).at(-1)!.rankSpeed).toHaveLength(4);
      const moe = `${kind}-moe`;
      const mixture = [...model, ...experts, "--steps", "20", "--seed", "2"];
      if (!fs.existsSync(place.at("alone-moe"))) await train("train", ...mixture, "--out", "alone-moe");
      await train(...launch(4, ...mixture, "--out", moe));
      expect(worst(lossesOf(moe), lossesOf("alone-moe"))).toBeLessThan(1e-5);
    },
  );

  test.skipIf(!hasMpi)(
    "a mesh of two replicas of two stages has the losses of one process, and draws its step",
    { timeout: SECONDS * 1000 },
    async () => {
      const out = `${kind}-mesh`;
      const mesh = [
        ...model,
        "--batch",
        "1",
        "--accumulate",
        "4",
        "--mesh",
        "data=2,pipeline=2",
        "--sample-every",
        "10",
      ];
      const page = place.at(`${kind}-timeline.html`);
      const { stderr } = await train(...launch(4, ...mesh, "--steps", "20", "--out", out, "--timeline", page));
      expect(worst(lossesOf(out), alone)).toBeLessThan(1e-5);
      expect(stderr).toMatch(/bubble of step 20: [\d.]+ %; simulated: [\d.]+ %/);
      expect(fs.readFileSync(page, "utf8")).toContain("1F1B, step 20 as it ran");
      const samples = readSamples(place.at(out));
      expect(samples.map((sample) => /^step (\d+)/.exec(sample)?.[1])).toEqual(["10", "20"]);
    },
  );

  test.skipIf(!hasMpi)(
    "the printed line trains without launch, and all ranks leave rank 0's watch before it ends",
    { timeout: SECONDS * 1000 },
    async () => {
      const [first, ...train] = launch(4, ...model, "--steps", "2", "--out", `${kind}-printed`);
      const { stdout } = await run(place.folder, [first!, "--print", "--json", ...train]);
      const { command } = JSON.parse(stdout) as { command: string[] };
      const printed = spawnSync(command[0]!, command.slice(1), { cwd: place.folder, encoding: "utf8" });
      expect(printed.stderr).not.toContain("Warning");
      expect(printed.status).toBe(0);
      const wrong = spawnSync(command[0]!, [...command.slice(1), "--stepz", "3"], { encoding: "utf8" });
      expect(wrong.stderr.match(/unknown option '--stepz'/g)).toHaveLength(1);
      expect(wrong.status).toBe(1);
    },
  );

  test.skipIf(!hasMpi)(
    "a Ctrl-C before the training hears it ends the job as one after that does",
    { timeout: SECONDS * 1000 },
    async () => {
      const job = start(place.folder, launch(2, ...model, "--steps", "100000", "--out", `${kind}-early`));
      await job.said("reading the text");
      job.child.kill("SIGINT");
      const { code, stderr } = await job.finished;
      expect(stderr).not.toContain("before the others");
      expect(code).toBe(130);
    },
  );

  test.skipIf(!hasMpi)(
    "a Ctrl-C that npm forwards too is one: rank 0 saves and stops",
    { timeout: SECONDS * 1000 },
    async () => {
      const job = start(place.folder, launch(2, ...model, "--steps", "100000", "--out", `${kind}-ctrl-c`));
      await job.said("step 1/");
      job.child.kill("SIGINT");
      await sleep(20);
      job.child.kill("SIGINT");
      const { code, stdout } = await job.finished;
      expect(stdout).toContain(`Continue: birkhoff train --resume ${kind}-ctrl-c`);
      expect(code).toBe(130);
    },
  );

  test.skipIf(!hasMpi).each([
    ["SIGKILL", "ended before the others"],
    ["SIGSTOP", "hangs: nothing was heard of it"],
  ] as const)("a rank that gets %s ends the job within 10 s", { timeout: SECONDS * 1000 }, async (signal, message) => {
    const out = `${kind}-${signal}`;
    const job = start(place.folder, launch(2, ...model, "--steps", "100000", "--out", out));
    await job.said("step 1/");
    const pid = processOf(variable, 1, out);
    const before = Date.now();
    process.kill(pid, signal);
    const { code, stderr } = await job.finished;
    expect((Date.now() - before) / 1000).toBeLessThan(10);
    expect(stderr).toContain(`rank 1 (process ${pid} on`);
    expect(stderr).toContain(message);
    expect(code).toBe(75);
    for (const rank of [0, 1]) expect(() => processOf(variable, rank, out)).toThrow("no process");
  });
});

test.skipIf(!kinds.every(([, program]) => isThere(program)))("both libraries give the same bits", () => {
  expect(lossesOf("mpich-two").slice(0, 20)).toEqual(lossesOf("openmpi-two").slice(0, 20));
});

test("what cannot be launched is said", async () => {
  const other = await run(place.folder, ["launch", "-n", "2", "--", "compare"]);
  expect(other.stderr).toContain("launch: compare is given; only train shares its work");
  expect(other.code).toBe(1);
  const wrong = await run(place.folder, [...words("launch -n 2 -- train"), "--stepz", "3"]);
  expect(wrong.stderr.match(/unknown option '--stepz'/g)).toHaveLength(1);
  expect(wrong.code).toBe(1);
});

test.skipIf(!isThere("mpirun.openmpi"))(
  "a line is printed, and rows that cannot be shared are refused",
  async () => {
    const printed = await run(place.folder, [
      "launch",
      "-n",
      "3",
      "--mpi",
      "openmpi",
      "--print",
      "--",
      "train",
      "--steps",
      "2",
    ]);
    expect(printed.stdout).toContain("mpirun.openmpi -n 3 --oversubscribe --bind-to none");
    expect(printed.stdout).toMatch(/ train --steps 2\n$/);
    const refused = await run(place.folder, [
      "launch",
      "-n",
      "3",
      "--mpi",
      "openmpi",
      "--",
      "train",
      ...model,
      "--out",
      "three",
    ]);
    expect(refused.stderr).toContain("4 sequences a step are given, and 3 processes");
    expect(refused.code).not.toBe(0);
  },
  SECONDS * 1000,
);
