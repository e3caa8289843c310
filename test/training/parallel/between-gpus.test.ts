// Processes with a GPU each train as one process on the processor does, and their gradients and parameters go from GPU
// to GPU by NCCL. The GPUs and the NCCL are the machine that plays them.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { type Carrier, hasMpi, type RankTrained, type RankTraining, runRanks } from "../../runtime/collective/ranks.ts";
import { fakeMachine } from "../../runtime/cuda/machine/build.ts";
import { mixture, tinyBatches, tinyTraining } from "../tiny.ts";

const machine = await fakeMachine();

async function trainRanks(carrier: Carrier, size: number, training: RankTraining): Promise<RankTrained[]> {
  const environment = { BIRKHOFF_TEST_TRAINING: JSON.stringify(training) };
  const said = (await runRanks(carrier, size, "train", environment, 170)).map((each) => each.said).join("");
  const told = [...said.matchAll(/^trained: (.*)$/gm)].map(([, text]) => JSON.parse(text!) as RankTrained);
  if (told.length !== size) throw new Error(`Not all ranks have trained:\n${said}`);
  return told.sort((a, b) => a.rank - b.rank);
}

describe.skipIf(!machine)("by NCCL", { timeout: 180_000 }, () => {
  let processor: Runtime;
  beforeAll(async () => {
    processor = await createWasmRuntime({ threads: 1 });
  });
  afterAll(() => processor?.close());
  const alone = async ({ kind, changes, steps }: RankTraining): Promise<number[]> => {
    const config = { ...tinyTraining(kind, changes), accumulate: 4, batch: 2 };
    const trainer = createTrainer(processor, config, tinyBatches(config));
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) losses.push((await trainer.trainStep()).loss);
    trainer.release();
    return losses;
  };
  const nccl = { steps: 6, exchange: "nccl" } as const;

  test.skipIf(!hasMpi)(
    "under mpirun -n 2 losses are those of one process, and nothing large is sent by MPI",
    async () => {
      const training = { ...nccl, kind: "mhc", changes: {} } as const;
      const expected = await alone(training);
      const [gpus, messages] = [
        await trainRanks("mpi", 2, training),
        await trainRanks("mpi", 2, { ...training, exchange: "messages" }),
      ];
      for (const told of [...gpus, ...messages])
        for (const [step, loss] of told.losses.entries()) expect(Math.abs(loss - expected[step]!)).toBeLessThan(1e-5);
      for (const { name, losses, hash, sentBytes } of gpus) {
        expect(name).toBe("nccl");
        expect(losses).toEqual(gpus[0]!.losses);
        expect(hash).toBe(gpus[0]!.hash);
        expect(sentBytes).toBeLessThan(0.2 * messages[0]!.sentBytes);
      }
      expect(messages[0]!.name).toBe("mpi");
    },
  );

  test.each([
    ["gradients that are sent after each microbatch", 2, { kind: "residual", changes: { sharded: "gradients" } }],
    ["whole parameters of Muon's", 2, { kind: "residual", changes: { optimizer: { kind: "muon" } } }],
    ["shared experts", 2, { kind: "residual", changes: mixture, mesh: { data: 1, pipeline: 1, expert: 2 } }],
    ["replicas of two stages", 4, { kind: "mhc", changes: {}, mesh: { data: 2, pipeline: 2, expert: 1 } }],
  ] as const)("%s have the losses of one process", async (_name, size, what) => {
    const training: RankTraining = { ...nccl, ...what, steps: 4 };
    const expected = await alone(training);
    const told = await trainRanks("tcp", size, training);
    for (const { losses } of told)
      for (const [step, loss] of losses.entries()) expect(Math.abs(loss - expected[step]!)).toBeLessThan(1e-5);
  });
});
