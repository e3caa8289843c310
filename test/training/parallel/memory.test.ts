// What is predicted of each rank of a mesh is what its runtime then has, to the byte.

import { expect, test } from "vitest";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { predictRanks, type RankMemory } from "../../../src/training/parallel/memory.ts";
import type { MeshSize } from "../../../src/training/parallel/mesh.ts";
import type { ScheduleName } from "../../../src/training/parallel/schedules/table.ts";
import { createSpreadTrainer } from "../../../src/training/parallel/spread.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { type Changes, mixture, tinyBatches, tinyTraining } from "../tiny.ts";

const cases: readonly (readonly [Changes, MeshSize, ScheduleName])[] = [
  [{}, { data: 2, pipeline: 1, expert: 1 }, "1f1b"],
  [{ optimizer: { kind: "muon" } }, { data: 2, pipeline: 1, expert: 1 }, "1f1b"],
  [mixture, { data: 1, pipeline: 1, expert: 2 }, "1f1b"],
  [{ recompute: 1 }, { data: 1, pipeline: 2, expert: 1 }, "zb-h1"],
  [mixture, { data: 1, pipeline: 2, expert: 2 }, "1f1b"],
  [{}, { data: 2, pipeline: 2, expert: 1 }, "dualpipe"],
];

test.each(cases)("%j on %j by %s", async (changes, mesh, schedule) => {
  const ranks = mesh.data * mesh.pipeline * mesh.expert;
  const config = { ...tinyTraining("mhc", changes), batch: 1, accumulate: 4 * mesh.data * mesh.expert };
  const plan = { mesh, schedule, chunks: 1 } as const;
  // Stages write together; else rank 0 alone does, and how many programs it keeps depends on the texts.
  const sample = mesh.pipeline > 1 ? { prompt: 3, tokens: 2 } : undefined;
  let prediction: RankMemory[] | undefined;
  const has = await onAll(createWorld(ranks, { deadline: 60 }), async (world) => {
    const runtime = await createWasmRuntime({ threads: 1 });
    try {
      // All ranks have the same machine: one prediction serves them.
      const predicted = (prediction ??= predictRanks(config, runtime.machine, plan, { sample }))[world.rank]!;
      const trainer = createSpreadTrainer(runtime, config, tinyBatches(config), world, plan);
      for (let step = 0; step < 2; step++) {
        await trainer.trainStep({ instruments: step === 0 && (world.rank === 0 || mesh.expert * mesh.pipeline > 1) });
        await trainer.evaluate();
      }
      if (sample)
        for await (const token of trainer.generate([1, 2, 3], { maxTokens: sample.tokens, random: () => 0.5 }))
          expect(token).toBeLessThan(config.model.vocabulary);
      trainer.restore(await trainer.save());
      await trainer.trainStep();
      return { predicted, bytes: runtime.memoryBytes() };
    } finally {
      runtime.close();
    }
  });
  for (const [rank, { predicted, bytes }] of has.entries()) {
    expect(predicted.rank).toBe(rank);
    expect(predicted.runtimeBytes).toBe(bytes);
    expect(predicted.parameterBytes + predicted.momentBytes).toBeLessThan(bytes);
  }
});
