// What is printed for schedulers: the script does what it should with any end of a step, the objects have the fields
// that the scheduler knows.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type ClusterJob, trainingJob, wishesOf } from "../../src/cli/launch-cluster.ts";
import { parseHosts } from "../../src/cli/launch-hosts.ts";
import { goOn, type Onward } from "../../src/cli/launch-restart.ts";
import { kubernetesObject } from "../../src/cli/launch-kubernetes.ts";
import { directivesOf, slurmScript } from "../../src/cli/launch-slurm.ts";
import type { TrainOptions } from "../../src/cli/train.ts";
import type { MeshSize } from "../../src/training/parallel/mesh.ts";

const training: ClusterJob = {
  name: "long",
  processes: 8,
  mpi: "openmpi",
  restarts: 2,
  threads: 4,
  words: ["train", "--data", "my text.txt", "--threads", "4", "--out", "runs/long", "--continue"],
};
const sweep: ClusterJob = { ...training, threads: 1, words: ["sweep", "rates.json"], points: 18, processes: 4 };

let folder: string;
beforeAll(() => void (folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-slurm-"))));
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Run a script with commands of Slurm that note how they were called; srun is this body. */
function play(script: string, srun: string): { readonly code: number | null; readonly calls: string[] } {
  const calls = path.join(folder, "calls");
  fs.writeFileSync(calls, "");
  for (const [name, body] of Object.entries({ srun, scontrol: "", scancel: 'kill -KILL "$(cat srun.pid)"' }))
    fs.writeFileSync(path.join(folder, name), `#!/bin/bash\necho "${name} $*" >> calls\n${body}\n`, { mode: 0o755 });
  fs.writeFileSync(path.join(folder, "job.sh"), script);
  const { status } = spawnSync("bash", ["job.sh"], {
    cwd: folder,
    env: {
      PATH: `${folder}:${process.env["PATH"]}`,
      SLURM_JOB_ID: "7",
      SLURM_CPUS_PER_TASK: "4",
      SLURM_ARRAY_TASK_ID: "3",
    },
  });
  return { code: status, calls: fs.readFileSync(calls, "utf8").trim().split("\n") };
}

describe("the script of Slurm", () => {
  const script = slurmScript(training, ["node", "birkhoff.js"], { time: "12:00:00", output: "my.log" });

  test("asks for what the job needs, and what else is wished", () => {
    const directives = script.split("\n").filter((line) => line.startsWith("#SBATCH"));
    expect(directives).toEqual([
      "#SBATCH --job-name=long",
      "#SBATCH --ntasks=8",
      "#SBATCH --cpus-per-task=4",
      "#SBATCH --output=my.log",
      "#SBATCH --open-mode=append",
      "#SBATCH --requeue",
      "#SBATCH --signal=B:USR1@120",
      "#SBATCH --time=12:00:00",
    ]);
  });

  test("starts the step again after a loss, as often as it may, and not after an error that was told", () => {
    const step =
      "srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task=4 node birkhoff.js train --data my text.txt --threads 4 --out runs/long --continue";
    expect(play(script, "exit 0")).toEqual({ code: 0, calls: [step] });
    expect(play(script, "exit 1")).toEqual({ code: 1, calls: [step] });
    expect(play(script, "exit 137")).toEqual({ code: 137, calls: [step, step, step] });
    expect(play(script, "[ -e lost ] && exit 0; touch lost; exit 137")).toEqual({ code: 0, calls: [step, step] });
  });

  test("near the time limit it saves, and goes back into the queue", () => {
    const { code, calls } = play(script, "echo $$ > srun.pid; kill -USR1 $PPID; exec sleep 60");
    expect(code).toBe(0);
    expect(calls.slice(1)).toEqual(["scancel --signal=TERM 7", "scontrol requeue 7"]);
  });

  test("of a sweep is an array, with so many tasks at once", () => {
    const array = slurmScript(sweep, ["node", "birkhoff.js"], {});
    expect(array).toContain("#SBATCH --array=1-18%4\n");
    expect(array).not.toContain("--ntasks=4");
    expect(play(array, "exit 0").calls).toEqual([
      "srun --ntasks=1 --cpus-per-task=4 node birkhoff.js sweep rates.json --threads 1 --point 3",
    ]);
  });

  test("directives are KEY=VALUE, some of them a word", () => {
    expect(wishesOf("--kubernetes", ["image=a", "mount=/a=b"])).toEqual({ image: "a", mount: "/a=b" });
    const directives = directivesOf(["time=1:00", "exclusive"]);
    expect(directives).toEqual({ time: "1:00", exclusive: true });
    expect(slurmScript(training, ["node"], directives)).toContain("#SBATCH --time=1:00\n#SBATCH --exclusive\n");
    expect(() => directivesOf(["train"])).toThrow('--slurm: "train" is given; what follows must be KEY=VALUE');
  });
});

const container = z.strictObject({
  name: z.string(),
  image: z.literal("me/birkhoff"),
  command: z.array(z.string()).min(1),
  workingDir: z.literal("/data"),
  volumeMounts: z.array(z.strictObject({ name: z.literal("work"), mountPath: z.literal("/data") })).length(1),
  resources: z
    .strictObject({ limits: z.record(z.enum(["cpu", "memory", "nvidia.com/gpu"]), z.string()).and(z.unknown()) })
    .optional(),
});
const podOf = <S extends z.ZodRawShape>(more: S) =>
  z.strictObject({
    spec: z.strictObject({
      ...more,
      containers: z.array(container).length(1),
      volumes: z.array(
        z.strictObject({
          name: z.literal("work"),
          persistentVolumeClaim: z.strictObject({ claimName: z.literal("w") }),
        }),
      ),
    }),
  });
const replicas = z.strictObject({
  replicas: z.int().min(1),
  restartPolicy: z.enum(["Never", "OnFailure"]),
  template: podOf({}),
});

describe("the object of Kubernetes", () => {
  const wishes = { image: "me/birkhoff", claim: "w", memory: "8Gi", gpu: "1" };

  test("is an MPIJob with as many workers as processes, and a launcher that watches them", () => {
    const mpiJob = z.strictObject({
      apiVersion: z.literal("kubeflow.org/v2beta1"),
      kind: z.literal("MPIJob"),
      metadata: z.strictObject({ name: z.literal("long") }),
      spec: z.strictObject({
        slotsPerWorker: z.literal(1),
        runPolicy: z.strictObject({ cleanPodPolicy: z.enum(["None", "Running", "All"]), backoffLimit: z.literal(2) }),
        sshAuthMountPath: z.string(),
        mpiImplementation: z.enum(["OpenMPI", "Intel", "MPICH"]),
        mpiReplicaSpecs: z.strictObject({ Launcher: replicas, Worker: replicas }),
      }),
    });
    const { Launcher, Worker } = mpiJob.parse(kubernetesObject(training, wishes)).spec.mpiReplicaSpecs;
    expect([Launcher.replicas, Worker.replicas]).toEqual([1, 8]);
    expect(Launcher.template.spec.containers[0]!.command.join(" ")).toBe(
      "birkhoff launch -n 8 --mpi openmpi --hostfile /etc/mpi/hostfile --restarts 2 -- train --data my text.txt --threads 4 --out runs/long --continue --cache /data/cache",
    );
    expect(Worker.template.spec.containers[0]!.resources).toEqual({
      limits: { cpu: "4", memory: "8Gi", "nvidia.com/gpu": "1" },
    });
  });

  test("of a sweep is an indexed Job", () => {
    const job = z.strictObject({
      apiVersion: z.literal("batch/v1"),
      kind: z.literal("Job"),
      metadata: z.strictObject({ name: z.literal("long"), namespace: z.literal("ml") }),
      spec: z.strictObject({
        completionMode: z.literal("Indexed"),
        completions: z.literal(18),
        parallelism: z.literal(4),
        backoffLimit: z.literal(36),
        template: podOf({ restartPolicy: z.literal("Never") }),
      }),
    });
    const { spec } = job.parse(kubernetesObject(sweep, { ...wishes, namespace: "ml" })).spec.template;
    const [sh, c, text] = spec.containers[0]!.command;
    expect([sh, c]).toEqual(["sh", "-c"]);
    const said = spawnSync("sh", ["-c", text!.replace("exec birkhoff", "echo")], {
      env: { JOB_COMPLETION_INDEX: "2" },
    });
    expect(said.stdout.toString()).toBe("sweep rates.json --threads 1 --cache /data/cache --point 3\n");
  });

  test("has a thread for each whole core", () => {
    const said = (cpu: string): string =>
      JSON.stringify(kubernetesObject({ ...training, words: ["train"] }, { ...wishes, cpu }));
    for (const [cpu, threads] of Object.entries({ 4: 4, "0.5": 1, "500m": 1, "2500m": 2 }))
      expect(said(cpu)).toContain(`"--threads","${threads}"`);
    expect(said("500m")).toContain('"cpu":"500m"');
    expect(() => said("half")).toThrow("cpu=half is given; it must be a number of cores");
  });

  test("says what is missing or not known", () => {
    expect(() => kubernetesObject(training, { image: "x" })).toThrow("--kubernetes: claim is missing, the Persistent");
    expect(() => kubernetesObject(training, { ...wishes, imag: "x" })).toThrow(
      "imag is given; it must be image, claim",
    );
  });
});

test("without a machine a job has fewer processes, of a mesh fewer replicas, or is given up", async () => {
  const run = path.join(folder, "run");
  fs.cpSync(fileURLToPath(new URL("../fixtures/runs-0.1/hyper", import.meta.url)), run, { recursive: true });
  const program = path.join(folder, "mpirun");
  fs.writeFileSync(program, '#!/bin/bash\n! grep -q gone "$4"\n', { mode: 0o755 });
  const goOnWith = (mesh: Partial<MeshSize> | undefined, hosts: string): Promise<Onward> =>
    goOn(
      { program, flavour: "mpich" },
      { folder: run, ...(mesh ? { mesh } : {}) },
      {
        processes: 4,
        hosts: parseHosts(hosts),
        ended: [],
      },
    );
  const [all, some] = ["here:2\nthere:2", "here:2\ngone:2"];
  const ends = await Promise.all([
    goOnWith({ data: 2, pipeline: 2 }, all),
    goOnWith(undefined, some),
    goOnWith({ pipeline: 2 }, some),
    goOnWith({ data: 2, pipeline: 2 }, some),
  ]);
  expect(ends.map(({ processes, more }) => [processes, ...more])).toEqual([
    [4],
    [2],
    [2],
    [2, "--mesh", "data=1,pipeline=2,expert=1"],
  ]);
  expect(fs.readFileSync(ends[3].hostfile!, "utf8")).toBe("here:2\n");
  for (const each of ends) each.end();
  expect(fs.existsSync(ends[3].hostfile!)).toBe(false);
  await expect(goOnWith({ pipeline: 4 }, some)).rejects.toThrow(
    "--mesh pipeline=4,expert=1 needs 4 processes, and there is room for 2. Launch it again with --resume",
  );
});

test("a command that a scheduler starts again goes on, and never removes its run", () => {
  const job = trainingJob(
    ["train", "--out", "runs/My Run_2", "--overwrite"],
    { out: "runs/My Run_2", overwrite: true } as TrainOptions,
    training,
  );
  expect(job.words).toEqual(["train", "--out", "runs/My Run_2", "--continue"]);
  expect(job.name).toBe("my-run-2");
});
