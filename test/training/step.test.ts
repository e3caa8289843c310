// The compiled step against AdamW written out by hand from the gradients, on both runtimes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters, type ParameterSet, trainedParameters } from "../../src/graph/parameters.ts";
import { connectionKinds } from "../../src/connections/table.ts";
import { type LanguageModel, languageModel } from "../../src/model/language-model.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { initialValues } from "../../src/training/initialise.ts";
import type { AdamwSettings } from "../../src/training/adamw-updates.ts";
import { buildStep, type StepGraph } from "../../src/training/step.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinyTraining } from "./tiny.ts";
import { tensorsOf } from "../../src/runtime/program.ts";
import { compileStep } from "../../src/training/programs.ts";
import { oneByOne } from "../collect.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const STEPS = 3;
const RATE = 5e-3;

interface Built {
  readonly config: TrainingConfig;
  readonly parameters: ParameterSet;
  readonly model: LanguageModel;
  readonly graph: StepGraph;
}

function build(config: TrainingConfig): Built {
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  return { config, parameters, model, graph: buildStep(model, parameters, config) };
}

type Values = Map<string, Float64Array>;

/** Parameters and moments after some steps, and the gradient norms on the way. */
async function train(
  runtime: SynchronousRuntime,
  { config, parameters, graph }: Built,
): Promise<{ values: Values; norms: number[] }> {
  const batches = tinyBatches(config);
  const { micro, last, single } = compileStep(runtime, graph.programs);
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const norms = await oneByOne(Array(STEPS).keys(), async (index) => {
    const { beta1, beta2 } = config.optimizer as AdamwSettings;
    runtime.write(graph.schedule, [RATE, 1 - beta1 ** (index + 1), 1 - beta2 ** (index + 1)]);
    for (let part = 0; part < config.accumulate; part++) {
      const { tokens, targets } = batches.trainingBatch(index, part);
      runtime.write(graph.tokens, tokens);
      runtime.write(graph.targets, targets);
      micro.run();
    }
    if (!single) last.run();
    return (await last.read("clip"))[0]!;
  });
  const named = [...parameters.all.map(({ name, tensor }) => ({ name, tensor })), ...graph.moments];
  return {
    norms,
    values: new Map(named.map(({ name, tensor }) => [name, Float64Array.from(runtime.readNow(tensor))])),
  };
}

/** The same by hand: gradients from the reference runtime, everything else in plain numbers. */
function trainByHand({ config, parameters, model, graph }: Built): { values: Values; norms: number[] } {
  const { beta1, beta2, epsilon, weightDecay, decayed, clip } = config.optimizer as AdamwSettings & { clip: number };
  const runtime = createReferenceRuntime();
  const loss = model.loss(model.hidden(graph.tokens).hidden_NC, graph.targets);
  const found = gradients(
    loss,
    parameters.all.map(({ tensor }) => tensor),
  );
  const program = runtime.compile({
    outputs: Object.fromEntries(parameters.all.map(({ name }, index) => [name, found[index]!])),
  });
  const batches = tinyBatches(config);
  const values: Values = new Map(
    parameters.all.map((parameter) => [parameter.name, Float64Array.from(initialValues(parameter, 1))]),
  );
  for (const { name, tensor } of graph.moments)
    values.set(name, new Float64Array(tensor.shape.reduce((product, size) => product * size, 1)));

  const norms = Array.from({ length: STEPS }, (_, index) => {
    const step = index + 1;
    const summed = new Map(parameters.all.map(({ name }) => [name, new Float64Array(values.get(name)!.length)]));
    for (let part = 0; part < config.accumulate; part++) {
      const { tokens, targets } = batches.trainingBatch(index, part);
      runtime.write(graph.tokens, tokens);
      runtime.write(graph.targets, targets);
      for (const { name, tensor } of parameters.all) runtime.write(tensor, values.get(name)!);
      program.run();
      for (const [name, sum] of summed)
        program.readNow(name).forEach((value, i) => (sum[i]! += value / config.accumulate));
    }
    const norm = Math.sqrt(
      [...summed.values()].reduce(
        (total, gradient) => total + gradient.reduce((sum, value) => sum + value * value, 0),
        0,
      ),
    );
    const factor = Math.min(1, clip / norm);
    for (const { name, role } of parameters.all) {
      const [p, m, v] = ["", ".m", ".v"].map((suffix) => values.get(name + suffix)!) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      const decay = decayed.includes(role) ? weightDecay : 0;
      summed.get(name)!.forEach((gradient, i) => {
        const g = gradient * factor;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        p[i]! -=
          RATE * (m[i] / (1 - beta1 ** step) / (Math.sqrt(v[i] / (1 - beta2 ** step)) + epsilon) + decay * p[i]!);
      });
    }
    return norm;
  });
  return { values, norms };
}

describe.each(connectionKinds)("%s", (kind) => {
  // A clip that is reached, a large decay, an epsilon that keeps tiny gradients from becoming full steps in one precision only.
  const optimizer = { clip: 0.3, weightDecay: 2, epsilon: 1e-4, decayed: ["weight", "norm"] } as const;

  test.each([1, 3])("three steps are AdamW with clipping and groups, %i microbatches", async (accumulate) => {
    const built = build(
      tinyTraining(kind, { accumulate, batch: 2, optimizer: { ...optimizer, decayed: [...optimizer.decayed] } }),
    );
    const expected = trainByHand(built);
    expect(Math.min(...expected.norms)).toBeGreaterThan(optimizer.clip);
    for (const [runtime, tolerance] of [
      [createReferenceRuntime(), 1e-5],
      [wasm, 1e-4],
    ] as const) {
      const actual = await train(runtime, built);
      expect(relativeError(actual.norms, expected.norms)).toBeLessThan(tolerance);
      expect([...actual.values.keys()].sort()).toEqual([...expected.values.keys()].sort());
      for (const [name, values] of expected.values)
        expect(relativeError(actual.values.get(name)!, values), name).toBeLessThan(tolerance);
    }
  });
});

test("by default only the matrices of the network decay", () => {
  const { optimizer } = tinyTraining("mhc");
  expect(optimizer.decayed).toEqual(["weight"]);
  const { parameters } = build(tinyTraining("mhc"));
  const decayed = parameters.all
    .filter(({ role }) => optimizer.decayed.includes(role))
    .map(({ name }) => name.replace(/^layers\.\d\./, ""));
  expect([...new Set(decayed)].sort()).toEqual([
    "attention.output",
    "attention.qkv",
    "feedForward.down",
    "feedForward.gateUp",
  ]);
});

test("outputs and programs: one without accumulation, two with", () => {
  const { graph: one, parameters } = build(tinyTraining("mhc"));
  expect(Object.keys(one.programs.micro.outputs)).toEqual(["loss", "loads", "clip", "squares"]);
  expect(one.programs.micro.outputs).toMatchObject({ loads: [] });
  expect(tensorsOf(one.programs.micro.outputs)).toHaveLength(2 + trainedParameters(parameters).length);
  expect(one.programs.update).toBeUndefined();
  const two = build(tinyTraining("residual", { accumulate: 2 }));
  expect(Object.keys(two.graph.programs.micro.outputs)).toEqual(["loss", "loads"]);
  expect(two.graph.programs.update?.outputs.squares).toHaveLength(trainedParameters(two.parameters).length);
});
