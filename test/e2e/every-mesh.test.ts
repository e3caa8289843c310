// Every mesh of four processes over real MPI has the losses of one process; what does not fit is refused with what does.

import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { planSpread } from "../../src/training/parallel/spread.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches } from "../training/tiny.ts";
import { makeWorkplace, run } from "./cli.ts";
import { asked, fits, meshes, models, nameOf, RANKS, STEPS } from "./every-mesh.ts";

const program = fileURLToPath(new URL("./every-mesh-rank.ts", import.meta.url));
const SECONDS = 120;
type Losses = Readonly<Record<string, readonly number[]>>;

/** What a job of four processes prints; the launcher's own line starts them. */
async function trainTogether(kind: string): Promise<Losses> {
  const place = makeWorkplace();
  try {
    const line = ["launch", "-n", String(RANKS), "--mpi", kind, "--print", "--json", "--", "train"];
    const { command } = JSON.parse((await run(place.folder, line)).stdout) as { command: string[] };
    const [launcher, ...before] = command.slice(0, command.indexOf(process.execPath));
    const job = spawn(launcher!, [...before, process.execPath, program], {
      cwd: place.folder,
      timeout: SECONDS * 1000,
    });
    let [stdout, stderr] = ["", ""];
    job.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    job.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise((resolve, reject) => job.on("error", reject).on("close", resolve));
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout) as Losses;
  } finally {
    place.remove();
  }
}

let alone: Losses = {};
beforeAll(async () => {
  const runtime = await createWasmRuntime({ threads: 1 });
  const all: [string, number[]][] = [];
  for (const [name, config] of Object.entries(models)) {
    const trainer = createTrainer(runtime, config, tinyBatches(config));
    const losses: number[] = [];
    for (let step = 0; step < STEPS; step++) losses.push((await trainer.trainStep()).loss);
    trainer.release();
    all.push([name, losses]);
  }
  alone = Object.fromEntries(all);
  runtime.close();
});

const isThere = (kind: string): boolean => spawnSync(`mpirun.${kind}`, ["--version"]).status === 0;
const seen: Losses[] = [];

describe.each(["openmpi", "mpich"])("%s", (kind) => {
  let together: Losses = {};
  const hasMpi = isThere(kind);
  beforeAll(async () => {
    if (!hasMpi) return;
    together = await trainTogether(kind);
    seen.push(together);
  }, SECONDS * 1000);

  test.skipIf(!hasMpi).each(asked.map((each) => [nameOf(each), each.model] as const))(
    "%s has the losses of one process within 1e-5",
    (name, model) => {
      const losses = together[name]!;
      expect(losses).toHaveLength(STEPS);
      for (const [step, loss] of losses.entries()) expect(Math.abs(loss - alone[model]![step]!)).toBeLessThan(1e-5);
    },
  );
});

test.skipIf(!["openmpi", "mpich"].every(isThere))("both libraries give the same bits on every mesh", () => {
  expect(seen).toHaveLength(2);
  expect(seen[0]).toEqual(seen[1]);
});

const refused = Object.keys(models).flatMap((model) =>
  meshes.filter((size) => !fits(model, size)).map((size) => [model, size] as const),
);

test.each(refused)("%s on %j is refused, with a mesh that fits", (model, size) => {
  const plan = (mesh: typeof size) =>
    planSpread(models[model]!, undefined, RANKS, { mesh, schedule: "1f1b", chunks: 1 });
  let said = "";
  try {
    plan(size);
  } catch (error) {
    said = (error as Error).message;
  }
  expect(said).toContain("the model has no mixture of experts to be shared. Take --mesh data=");
  const [, data, pipeline, expert] = /Take --mesh data=(\d+),pipeline=(\d+),expert=(\d+)/.exec(said)!.map(Number);
  const nearest = { data: data!, pipeline: pipeline!, expert: expert! };
  expect(plan(nearest).mesh).toEqual(nearest);
  expect(fits(model, nearest)).toBe(true);
});
