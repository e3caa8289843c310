// Every optimizer trains the tiny model, resumes with the same bits, and passes over a step that is not finite.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectionKinds } from "../../../src/connections/table.ts";
import { createParameters } from "../../../src/graph/parameters.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { square } from "../../../src/ops/elementwise.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { parseTrainingConfig } from "../../../src/training/config.ts";
import { connectionParts, groupOf } from "../../../src/training/optimizers/groups.ts";
import { orthogonalise } from "../../../src/training/optimizers/orthogonalise.ts";
import { persistent } from "../../../src/graph/state.ts";
import { optimizerEntry, optimizerKinds, usualSettings } from "../../../src/training/optimizers/table.ts";
import { type OptimizerOptions, optimizerUpdates } from "../../../src/training/optimizers/updates.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { type Changes, tinyBatches, tinyTraining } from "../tiny.ts";

let runtime: Runtime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => runtime.close());

const mixture = {
  feedForward: { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 8, denseLayers: 0, balanceRate: 0.01 },
};

describe.each(optimizerKinds)("%s", (kind) => {
  const learningRate = 2 * optimizerEntry(kind).usual.learningRate;
  const optimizer = { kind, learningRate, clip: "adaptive" };

  // Muon and Adafactor take a tensor of experts as the matrices that it holds.
  test.each(kind === "muon" || kind === "adafactor" ? [{}, mixture] : [{}])(
    "it learns, and a resumed training has the same bits (%j)",
    async (model) => {
      const config = tinyTraining("mhc", { optimizer, model, steps: 16 } as Changes);
      const trainer = createTrainer(runtime, config, tinyBatches(config));
      const losses: number[] = [];
      for (let step = 0; step < 8; step++) losses.push((await trainer.trainStep()).loss);
      const state = await trainer.save();
      for (let step = 0; step < 8; step++) losses.push((await trainer.trainStep()).loss);
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.1);
      trainer.release();
      const resumed = createTrainer(runtime, config, tinyBatches(config));
      resumed.restore(state);
      for (let step = 8; step < 16; step++) expect((await resumed.trainStep()).loss).toBe(losses[step]);
      resumed.release();
    },
  );

  test("a step whose gradients are not finite changes nothing", () => {
    const reference = createReferenceRuntime();
    const parameters = createParameters();
    const w = parameters.create("w", [2, 3], { constant: 1 }, "weight");
    const updates = optimizerUpdates(parameters, sum(square(w)), { kind });
    const program = reference.compile({ outputs: {}, updates: updates.updates });
    const run = (values: readonly number[], step: number): void => {
      reference.write(w, values);
      updates.write(reference, step);
      program.run();
    };
    run([1, 2, 3, 4, 5, 6], 1);
    const kept = updates.moments.map(({ tensor }) => [...reference.readNow(tensor)]);
    run([1, 2, 3, Number.NaN, 5, 6], 2);
    expect([...reference.readNow(w)]).toEqual([1, 2, 3, Number.NaN, 5, 6]);
    expect(updates.moments.map(({ tensor }) => [...reference.readNow(tensor)])).toEqual(kept);
    expect(kept.flat().some((value) => value !== 0)).toBe(true);
  });

  test("a configuration without its settings has the usual ones", () => {
    const parsed = tinyTraining("mhc", { optimizer: { kind } }).optimizer;
    expect(parsed).toMatchObject(usualSettings(kind));
    expect(parseTrainingConfig(tinyTraining("mhc", { optimizer: { kind } })).optimizer).toEqual(parsed);
  });
});

test("every parameter of every connection has its line in the table of groups", () => {
  const seen = new Set<string>();
  for (const kind of connectionKinds) {
    const { model } = tinyTraining(kind, { model: { valueResidual: true } });
    const parameters = createParameters();
    languageModel(model, parameters);
    for (const { role, part, tensor, name } of parameters.all) {
      const group = groupOf({ role, part, shape: tensor.shape }, ["weight", "connection"]);
      if (role !== "connection") {
        expect(group, name).toBe(role === "weight" ? "matrices" : "rest");
        continue;
      }
      seen.add(part);
      expect(Object.keys(connectionParts), name).toContain(part);
      expect(group, name).toBe(connectionParts[part]!.group === "projection" ? "matrices" : "rest");
      expect(groupOf({ role, part, shape: tensor.shape }, ["weight"]), name).toBe("rest");
    }
  }
  expect([...seen].sort()).toEqual(Object.keys(connectionParts).sort());
});

test("matrices that lie side by side are taken one by one", () => {
  const train = (columns: readonly number[] | undefined): number[] => {
    const reference = createReferenceRuntime();
    const parameters = createParameters();
    const values = [1, 2, 3, 4, -1, 5, 0.5, 2, 1, -2, 7, 1];
    const w = parameters.create("w", [3, 4], { values }, "weight", columns ? { columns } : {});
    const updates = optimizerUpdates(parameters, sum(square(w)), {
      kind: "muon",
      learningRate: 0.1,
      weightDecay: 0,
      finishing: 8,
    });
    const program = reference.compile({ outputs: {}, updates: updates.updates });
    reference.write(w, values);
    updates.write(reference, 1);
    program.run();
    return [...reference.readNow(w)].map((value, i) => value - values[i]!);
  };
  const [whole, apart] = [train(undefined), train([2, 2])];
  expect(apart).not.toEqual(whole);
  // Each half is orthogonal for itself: its root mean square is η s √max(3, 2) · √2 / √(3 · 2) = η s.
  const rms = (at: readonly number[]): number =>
    Math.sqrt(at.reduce((total, i) => total + apart[i]! ** 2, 0) / at.length);
  for (const half of [
    [0, 1, 4, 5, 8, 9],
    [2, 3, 6, 7, 10, 11],
  ])
    expect(rms(half)).toBeCloseTo(0.2 * 0.1, 4);
  expect(() => createParameters().create("w", [3, 4], { constant: 0 }, "weight", { columns: [2, 3] })).toThrow(
    "together they must be its last axis",
  );
});

test.each([
  [[5, 3], 0],
  [[3, 5], 3],
  [[2, 4, 4], 6],
  [[2, 3, 4, 5], 6],
])("orthogonalise: the singular values of %j lie near one", (shape, finishing) => {
  const reference = createReferenceRuntime();
  const g = persistent("g", shape);
  const program = reference.compile({ outputs: { x: orthogonalise(g, { iterations: 5, finishing }) } });
  const size = shape.reduce((a, b) => a * b, 1);
  reference.write(
    g,
    Array.from({ length: size }, (_, i) => Math.sin(3 * i * i + i)),
  );
  program.run();
  const x = [...program.readNow("x")];
  const [R, C] = shape.slice(-2) as [number, number];
  for (let from = 0; from < size; from += R * C) {
    const at = (r: number, c: number): number => x[from + r * C + c]!;
    const short = Math.min(R, C);
    // The mean of the squares of the singular values is ‖X‖² / min(R, C); after the finishing ones X is orthogonal.
    const square = x.slice(from, from + R * C).reduce((total, value) => total + value * value, 0) / short;
    expect(Math.abs(square - 1)).toBeLessThan(finishing > 0 ? 1e-3 : 0.4);
    if (finishing === 0) continue;
    for (let i = 0; i < short; i++)
      for (let j = 0; j < short; j++) {
        let dot = 0;
        for (let k = 0; k < Math.max(R, C); k++) dot += R > C ? at(k, i) * at(k, j) : at(i, k) * at(j, k);
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 2);
      }
  }
});

test.each([
  [{ kind: "loin" }, /kind is "loin"; it must be one of adamw, muon, lion, sgd, adafactor\. Did you mean "lion"\?/],
  [{ kind: "lion", epsilon: 1 }, /there is no option "epsilon"/],
  [{ kind: "sgd", momentum: 1 }, /momentum is 1.*from 0 to below 1/],
  [{ kind: "muon", iterations: 0 }, /iterations is 0/],
  [{ kind: "muon", matrices: ["norm"] }, /matrices is/],
  [{ kind: "adafactor", clip: "sometimes" }, /"sometimes" is given; it must be a largest norm/],
  [{ kind: "adamw", clip: { kind: "adaptive", threshold: 0 } }, /clip\.threshold: 0 is given; it must be/],
  [{ kind: "adamw", clip: { kind: "adaptive", treshold: 2 } }, /no field treshold here.*Did you mean "threshold"/],
  [{ kind: "sgd", learningRate: Number.NaN }, /learningRate is NaN/],
  // Its square is 0 in float32, and a parameter without a gradient would become 0 / 0.
  [{ kind: "adafactor", epsilon: 1e-30 }, /epsilon is 1e-30.*from 1\.1e-19/],
  [{ kind: "lion", decayed: 3 }, /decayed is 3; it must be a list of roles/],
  [{ kind: "lion", decayed: ["weights"] }, /decayed is "weights"; it must be one of weight/],
  [{}, /it must be an object with the optimizer's kind/],
])("optimizerUpdates refuses %j", (options, message) => {
  const parameters = createParameters();
  const loss = sum(parameters.create("w", [2, 2], { constant: 1 }, "weight"));
  expect(() => optimizerUpdates(parameters, loss, options as OptimizerOptions)).toThrow(message);
});
