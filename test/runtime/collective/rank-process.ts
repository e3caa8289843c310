// What one rank does that a test has started (ranks.ts), by the name that is given; all names that it says are of checks
// that hold.

import { setTimeout } from "node:timers/promises";
import { persistent } from "../../../src/graph/state.ts";
import type { Collective, GpuCollective } from "../../../src/runtime/collective/collective.ts";
import { joinGpus } from "../../../src/runtime/collective/nccl/join.ts";
import { openCollective } from "../../../src/runtime/collective/open.ts";
import { createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createMesh } from "../../../src/training/parallel/mesh.ts";
import { hashOf } from "../../../src/training/parallel/shared-steps.ts";
import { createSpreadTrainer } from "../../../src/training/parallel/spread.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "../../training/tiny.ts";
import { contract, gpuContract } from "./contract.ts";
import type { RankTrained, RankTraining } from "./ranks.ts";

/** A rank whose GPU reaches the others'. */
async function withGpus(
  work: (gpu: GpuCollective, runtime: Runtime, collective: Collective) => Promise<void>,
  deadline?: number,
): Promise<void> {
  const base = await openCollective();
  const runtime = await createCudaRuntime({ largestMemory: 2 ** 27 });
  const { collective, leave } = await joinGpus(base, runtime, "nccl", deadline);
  await work(collective.gpu!, runtime, collective);
  await leave();
  runtime.close();
  await base.close();
}

/** Some ranks do one more operation than the last. */
async function unequal(deadline: number, last: () => Promise<unknown>): Promise<void> {
  await withGpus(async (gpu, runtime, { rank, size }) => {
    const state = persistent("values", [1000]);
    runtime.write(state, new Float32Array(1000));
    await gpu.allReduce({ state }).done();
    if (rank === size - 1) await last();
    const started = performance.now();
    await gpu
      .allReduce({ state })
      .done()
      .catch((error: unknown) => {
        const seconds = (performance.now() - started) / 1000;
        process.stdout.write(`rank ${rank} after ${seconds.toFixed(1)} s: ${(error as Error).message}\n`);
        process.exit(3);
      });
  }, deadline);
}

const works: Readonly<Record<string, () => Promise<void>>> = {
  async contract() {
    const collective = await openCollective();
    for (const [name, check] of Object.entries(contract)) {
      await check(collective);
      if (collective.rank === 0) process.stdout.write(`holds: ${name}\n`);
    }
    await collective.close();
  },
  gpus: () =>
    withGpus(async (gpu, runtime, collective) => {
      for (const [name, check] of Object.entries(contract)) {
        await check(collective);
        if (collective.rank === 0) process.stdout.write(`holds: ${name}\n`);
      }
      for (const [name, check] of Object.entries(gpuContract)) {
        await check(gpu, runtime, collective);
        if (collective.rank === 0) process.stdout.write(`holds: ${name}\n`);
      }
    }),
  async train() {
    const { kind, changes, steps, exchange, mesh } = JSON.parse(process.env.BIRKHOFF_TEST_TRAINING!) as RankTraining;
    const base = await openCollective();
    const runtime = await createCudaRuntime({ largestMemory: 2 ** 28 });
    const { collective, leave } = await joinGpus(base, runtime, exchange);
    const config = { ...tinyTraining(kind, changes), accumulate: 4, batch: 2 };
    // Small buckets: parameters are cut, and several buckets are under way.
    const ranks = mesh ? createMesh(collective, mesh) : Object.assign({}, collective, { bucketBytes: 2048 });
    const trainer =
      mesh && mesh.pipeline > 1
        ? createSpreadTrainer(runtime, config, tinyBatches(config), collective, {
            mesh,
            schedule: "1f1b",
            chunks: 1,
          })
        : createTrainer(runtime, config, tinyBatches(config), ranks);
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) losses.push((await trainer.trainStep()).loss);
    const { model } = await trainer.save();
    const hash = hashOf(Float32Array.from(model.flatMap(({ data }) => [...data])));
    const { sentBytes } = collective.traffic;
    const told: RankTrained = { rank: base.rank, name: collective.name, losses, hash, sentBytes };
    process.stdout.write(`trained: ${JSON.stringify(told)}\n`);
    trainer.release();
    await leave();
    runtime.close();
    await base.close();
  },
  absent: () => unequal(1, () => setTimeout(20_000)),
  killed: () => unequal(30, () => Promise.resolve(process.kill(process.pid, "SIGKILL"))),
  refused: () => unequal(30, () => Promise.resolve()),
};

await works[process.argv[2]!]!();
