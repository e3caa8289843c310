// A graph in phases computes the bits of the whole, also when the phases of two batches take turns.

import { afterAll, beforeAll, expect, test } from "vitest";
import { persistent, stateOf } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { carriedForm, cutGraph } from "../../src/runtime/cut.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { programInPrecision } from "../../src/runtime/precision.ts";
import { initialise } from "../../src/training/initialise.ts";
import { writeBatch } from "../../src/training/inputs.ts";
import { buildHead } from "../../src/training/step.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => runtime.close());

test.each([
  ["mhc", undefined, "float32"],
  ["mhc", 2, "float32"],
  ["mhc", 2, "bfloat16"],
  ["residual", 1, "float32"],
] as const)("%s, states stored every %s sublayers, %s", async (kind, storeEvery, precision) => {
  const config = tinyTraining(kind, { precision });
  const parameters = createParameters();
  const head = buildHead(languageModel(config.model, parameters), parameters, { batch: config.batch, storeEvery });
  initialise(runtime, parameters, 3);
  const whole = programInPrecision({ outputs: { loss: head.loss, gradients: head.gradients } }, precision);
  const { loss, gradients } = whole.outputs;
  const cut = cutGraph([[loss], gradients]);
  expect(cut.carried.length).toBeGreaterThan(10);
  for (const { tensor, from, until } of cut.carried) {
    expect([from, until]).toEqual([0, 1]);
    expect(stateOf(tensor)).toBeUndefined();
  }
  /** The two programs of one batch, over states of its own. */
  const phasesOf = () => {
    const states = new Map<Tensor, Tensor>();
    for (const { tensor } of cut.carried)
      states.set(tensor, persistent("carried", tensor.shape, tensor.dtype === "i32" ? "i32" : "f32"));
    const place = cut.program(1, (tensor) => states.get(tensor)!);
    const forward = runtime.compile({
      outputs: { loss },
      updates: [...states].map(([tensor, state]) => [state, carriedForm(tensor)]),
    });
    const backward = runtime.compile({ outputs: { gradients: gradients.map(place) } });
    // Nothing of the forward pass is done again but what recomputation asks for.
    expect(backward.plan.calls.length).toBeLessThan(together.plan.calls.length);
    return { forward, backward };
  };
  const together = runtime.compile(whole);
  const batches = [0, 1].map((step) => tinyBatches(config).trainingBatch(step, 0));
  const expected = batches.map((batch) => {
    writeBatch(runtime, head.inputs, batch);
    together.run();
    return { loss: together.readNow("loss"), gradients: together.readNow("gradients") };
  });
  const programs = batches.map(phasesOf);
  const losses = programs.map(({ forward }, index) => {
    writeBatch(runtime, head.inputs, batches[index]!);
    forward.run();
    return forward.readNow("loss");
  });
  for (const index of [1, 0]) {
    const { backward } = programs[index]!;
    writeBatch(runtime, head.inputs, batches[index]!);
    backward.run();
    expect(losses[index]).toEqual(expected[index]!.loss);
    expect(backward.readNow("gradients")).toEqual(expected[index]!.gradients);
  }
  for (const { forward, backward } of programs) {
    forward.release();
    backward.release();
  }
  together.release();
});
