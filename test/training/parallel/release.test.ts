// Trainers that come and go in one job leave nothing behind: no memory, and no group of the job's few.

import { expect, test } from "vitest";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { createSpreadTrainer } from "../../../src/training/parallel/spread.ts";
import type { MeshSize } from "../../../src/training/parallel/mesh.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { type Changes, mixture, tinyBatches, tinyTraining } from "../tiny.ts";

const cases: readonly (readonly [Changes, MeshSize])[] = [
  [{}, { data: 2, pipeline: 1, expert: 1 }],
  [{ sharded: "gradients" }, { data: 2, pipeline: 1, expert: 1 }],
  [{ model: { ...mixture.model, layers: 1 } }, { data: 1, pipeline: 1, expert: 2 }],
  [{}, { data: 1, pipeline: 2, expert: 1 }],
];

test.each(cases)("%j on %j", async (changes, mesh) => {
  const config = { ...tinyTraining("residual", changes), batch: 2, accumulate: 2 };
  const seen = await onAll(createWorld(2, { deadline: 60 }), async (world) => {
    const runtime = await createWasmRuntime({ threads: 1 });
    try {
      const bytes: number[] = [];
      for (let time = 0; time < 8; time++) {
        const plan = { mesh, schedule: "1f1b", chunks: 1 } as const;
        const trainer = createSpreadTrainer(runtime, config, tinyBatches(config), world, plan);
        await trainer.trainStep();
        trainer.release();
        for (const call of ["trainStep", "evaluate", "save", "view", "viewOwn"] as const)
          await expect((async () => await trainer[call]())(), call).rejects.toThrow("has been released");
        bytes.push(runtime.memoryBytes());
      }
      return bytes;
    } finally {
      runtime.close();
    }
  });
  for (const bytes of seen) expect(new Set(bytes).size, bytes.join()).toBe(1);
});
