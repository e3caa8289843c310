// Several ranks train one model as one process does that accumulates gradients.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Collective } from "../../../src/runtime/collective/collective.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { createTrainer, type StepResult, type Trainer, type TrainerState } from "../../../src/training/trainer.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { tinyBatches, tinyTraining } from "../tiny.ts";

const STEPS = 6;

const runtimes: Runtime[] = [];
const open = async (): Promise<Runtime> => {
  const runtime = await createWasmRuntime({ threads: 1 });
  runtimes.push(runtime);
  return runtime;
};
beforeAll(async () => {
  for (let rank = 0; rank < 4; rank++) await open();
});
afterAll(() => runtimes.forEach((runtime) => runtime.close()));

interface Trained {
  readonly results: readonly StepResult[];
  readonly state: TrainerState;
  readonly validation: number;
}

async function trainOn(trainer: Trainer, steps: number): Promise<Trained> {
  const results: StepResult[] = [];
  for (let step = 0; step < steps; step++) results.push(await trainer.trainStep({ instruments: step === steps - 1 }));
  const { loss: validation } = await trainer.evaluate();
  return { results, state: await trainer.save(), validation };
}

async function trainAlone(config: TrainingConfig, steps = STEPS): Promise<Trained> {
  const trainer = createTrainer(runtimes[0]!, config, tinyBatches(config));
  try {
    return await trainOn(trainer, steps);
  } finally {
    trainer.release();
  }
}

async function trainTogether(config: TrainingConfig, size: number, steps = STEPS): Promise<Trained[]> {
  return await onAll(createWorld(size, { deadline: 60 }), async (collective: Collective) => {
    const trainer = createTrainer(runtimes[collective.rank]!, config, tinyBatches(config), collective);
    try {
      return await trainOn(trainer, steps);
    } finally {
      trainer.release();
    }
  });
}

const losses = ({ results }: Trained): number[] => results.map(({ loss }) => loss);

describe.each([
  ["residual", 2],
  ["mhc", 2],
  ["mhc", 4],
] as const)("%s on %d ranks", (kind, size) => {
  test("has the losses of one process, which accumulates", async () => {
    const config = { ...tinyTraining(kind), batch: 1, accumulate: size };
    const one = await trainAlone(config);
    const ranks = await trainTogether(config, size);
    console.log(
      losses(one),
      losses(ranks[0]!),
      one.results.map((r) => r.gradientNorm),
      ranks[0]!.results.map((r) => r.gradientNorm),
    );
    for (const each of ranks) {
      expect(losses(each)).toEqual(losses(ranks[0]!));
      expect(each.state).toEqual(ranks[0]!.state);
      expect(each.validation).toBe(ranks[0]!.validation);
    }
    for (const [index, loss] of losses(ranks[0]!).entries()) expect(loss).toBeCloseTo(losses(one)[index]!, 5);
  });
});
