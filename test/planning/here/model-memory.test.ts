// What writing, observing and intervening were said to need is what they take in the runtime.

import { expect, test } from "vitest";
import { createParameters } from "../../../src/graph/parameters.ts";
import { createGenerator } from "../../../src/model/generate.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { initialValues } from "../../../src/training/initialise.ts";
import { inspectCheckpoint } from "../../../src/study/inspect.ts";
import { intervene } from "../../../src/study/intervene.ts";
import type { MemoryNeed } from "../../../src/planning/here/memory-limit.ts";
import { planIntervening, planObserving, planOneStep, planWriting } from "../../../src/planning/here/model-memory.ts";
import { measureStepMemory } from "../../../src/planning/step-memory.ts";
import type { SavedTensor } from "../../../src/training/state.ts";
import { tinyBatches, tinyTraining } from "../../training/tiny.ts";

/** A model as it starts, as a checkpoint has it. */
function modelOf({ model }: TrainingConfig): SavedTensor[] {
  const parameters = createParameters();
  languageModel(model, parameters);
  return parameters.all.map((parameter) => ({
    name: parameter.name,
    shape: parameter.tensor.shape,
    data: initialValues(parameter, 1),
  }));
}

/** Do something in a runtime of its own, and compare. */
async function compare(
  plan: (runtime: WasmRuntime) => MemoryNeed,
  act: (runtime: WasmRuntime) => unknown,
): Promise<void> {
  const runtime = await createWasmRuntime({ threads: 2 });
  try {
    const { runtimeBytes, machineBytes } = plan(runtime);
    await act(runtime);
    expect(runtime.memoryBytes()).toBeLessThanOrEqual(runtimeBytes);
    expect(runtime.memoryBytes()).toBeGreaterThan(0.98 * runtimeBytes);
    expect(machineBytes).toBeGreaterThan(runtimeBytes);
  } finally {
    runtime.close();
  }
}

const large = tinyTraining("mhc", { batch: 6, model: { layers: 3, context: 40, width: 32 } });

test.each<[string, number[], number]>([
  ["one text", [5], 20],
  ["one that outgrows its window", [30], 60],
  ["a prompt longer than the window", [55], 9],
  ["several, which end one after the other", [3, 17, 30, 8], 40],
  ["more than the programs that are kept", Array.from({ length: 12 }, (_, i) => 1 + 3 * i), 12],
])("writing %s", (_name, prompts, tokens) =>
  compare(
    (runtime) => planWriting(large, runtime.machine, { prompts, tokens }),
    async (runtime) => {
      const parameters = createParameters();
      const model = languageModel(large.model, parameters);
      for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
      const ended = new Set<number>();
      const texts = prompts.map((length) => Array.from({ length }, (_, i) => i % 19));
      const random = (): number => 0.4;
      for await (const { prompt } of createGenerator(runtime, model).generateBatch(texts, {
        maxTokens: tokens,
        random,
        ended,
      }))
        if (ended.size < prompt) ended.add(ended.size);
    },
  ),
);

test.each([1, 40])("observing %i tokens", (length) =>
  compare(
    (runtime) => planObserving(large, runtime.machine, length),
    async (runtime) =>
      void (await inspectCheckpoint(runtime, large.model, { model: modelOf(large) }, Array(length).fill(3))),
  ),
);

test.each(["mhc", "hc"] as const)("intervening in %s", (kind) => {
  const config = tinyTraining(kind, { batch: 8, model: { context: 32, width: 32 } });
  return compare(
    (runtime) => planIntervening(config, runtime.machine),
    async (runtime) =>
      void (await intervene(runtime, config, { step: 0, model: modelOf(config) }, tinyBatches(config))),
  );
});

test.each([1, 2])("a step that is measured, of %i batches", (accumulate) => {
  const config = { ...large, accumulate };
  return compare(
    (runtime) => planOneStep(config, runtime.machine, 2),
    (runtime) => measureStepMemory(runtime, config, 2),
  );
});
