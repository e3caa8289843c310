// A model with a mixture of experts: what it computes, how it is balanced, and that a run of it resumes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters, type ParameterSet, parameterCount } from "../../src/graph/parameters.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { inactiveParameters, type MixtureConfig } from "../../src/model/mixture.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { parseTrainingConfig, withOlderMeanings } from "../../src/training/config.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";

const mixture: MixtureConfig = {
  kind: "moe",
  experts: 5,
  active: 2,
  shared: 1,
  hidden: 6,
  denseLayers: 1,
  balanceRate: 0.01,
};

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const modelWith = (feedForward: MixtureConfig | undefined): ModelConfig => ({
  ...tinySize,
  ropeTheta: 10000,
  normEpsilon: 1e-20,
  connection: defaultConnection("mhc"),
  ...(feedForward && { feedForward }),
});

interface Built {
  readonly parameters: ParameterSet;
  readonly tokens: Tensor;
  readonly targets: Tensor;
  readonly outputs: Record<string, Tensor>;
}

/** Loss, loads and the gradient of every parameter that has one. */
function build(config: ModelConfig): Built {
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const [tokens, targets] = ["tokens", "targets"].map((name) => input(name, [2, config.context], "i32")) as [
    Tensor,
    Tensor,
  ];
  const { hidden_NC, routing } = model.hidden(tokens);
  const loss = model.loss(hidden_NC, targets);
  const trained = parameters.all.filter(({ role }) => role !== "balance");
  const found = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const outputs: Record<string, Tensor> = { loss };
  trained.forEach(({ name }, index) => (outputs[`gradient of ${name}`] = found[index]!));
  for (const { layer, load_E } of routing) outputs[`load.${layer}`] = load_E;
  return { parameters, tokens, targets, outputs };
}

function run(
  runtime: SynchronousRuntime,
  { parameters, tokens, targets, outputs }: Built,
  values: (name: string) => ArrayLike<number> | undefined = () => undefined,
): Record<string, ArrayLike<number>> {
  for (const parameter of parameters.all)
    runtime.write(parameter.tensor, values(parameter.name) ?? initialValues(parameter, 3));
  const ids = Int32Array.from({ length: sizeOf(tokens.shape) }, (_, i) => (7 * i * i + 3 * i) % tinySize.vocabulary);
  runtime.write(tokens, ids);
  runtime.write(targets, ids.toReversed());
  const program = runtime.compile({ outputs });
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)]));
}

describe("what it computes", () => {
  test("the runtime equals the reference, loss and all gradients", () => {
    const built = build(modelWith(mixture));
    const expected = run(createReferenceRuntime(), built);
    const actual = run(wasm, built);
    for (const [name, values] of Object.entries(expected))
      expect(relativeError(actual[name]!, values), name).toBeLessThan(name.startsWith("gradient") ? 2e-4 : 1e-5);
  });

  test("no token is dropped: the loads of a layer add up to tokens times active", () => {
    const loads = run(wasm, build(modelWith(mixture)))["load.1"]!;
    expect(Array.from(loads).reduce((sum, load) => sum + load, 0)).toBe(2 * tinySize.context * mixture.active);
  });

  test("all experts active with the same weights are the plain feed-forward", () => {
    const plain = build(modelWith(undefined));
    const expected = run(createReferenceRuntime(), plain);
    const config = modelWith({ ...mixture, experts: 3, active: 3, shared: 0, hidden: tinySize.hidden, denseLayers: 0 });
    const own = new Map(plain.parameters.all.map((parameter) => [parameter.name, initialValues(parameter, 3)]));
    const repeated = (name: string): ArrayLike<number> | undefined => {
      const one = own.get(name.replace(".experts.", "."));
      return one && name.includes(".experts.") ? [...one, ...one, ...one] : one;
    };
    const actual = run(createReferenceRuntime(), build(config), repeated);
    expect(relativeError(actual.loss!, expected.loss!)).toBeLessThan(1e-12);
    // What reaches the embedding went through every sublayer.
    expect(relativeError(actual["gradient of embedding"]!, expected["gradient of embedding"]!)).toBeLessThan(1e-10);
  });
});

describe("balance", () => {
  const training = (changes: Partial<MixtureConfig> = {}, accumulate = 1) =>
    tinyTraining("residual", { accumulate, model: { feedForward: { ...mixture, ...changes } } });

  test.each([1, 3])("after a step of %i batches the bias moved against the load", async (accumulate) => {
    const config = training({}, accumulate);
    const trainer = createTrainer(wasm, config, tinyBatches(config));
    const loads = (await trainer.trainStep()).expertLoad!;
    const pairs = config.batch * tinySize.context * accumulate * mixture.active;
    expect(loads).toHaveLength(1);
    expect(loads[0]!.reduce((sum, load) => sum + load, 0)).toBe(pairs);
    const bias = (await trainer.save()).model.find(({ name }) => name === "layers.1.feedForward.routerBias")!.data;
    const expected = loads[0]!.map((load) => Math.fround(0.01 * Math.sign(pairs / mixture.experts - load)));
    expect([...bias]).toEqual(expected);
  });

  test("an expert that gets everything at first ends with its share", async () => {
    const largest = async (balanceRate: number): Promise<number> => {
      const config = training({ active: 1, balanceRate });
      const trainer = createTrainer(wasm, config, tinyBatches(config));
      const state = await trainer.save();
      state.model.find(({ name }) => name.endsWith("routerBias"))!.data[0] = 0.3;
      trainer.restore(state);
      const first = (await trainer.trainStep()).expertLoad![0]!;
      expect(first).toEqual([config.batch * tinySize.context, 0, 0, 0, 0]);
      let last = first;
      for (let step = 0; step < 60; step++) last = (await trainer.trainStep()).expertLoad![0]!;
      return Math.max(...last) / (config.batch * tinySize.context);
    };
    expect(await largest(0)).toBe(1);
    expect(await largest(0.02)).toBeLessThan(0.6);
  });

  test("the sequence-wise loss changes the router's gradient, not the loss that is reported", async () => {
    const first = async (balanceLoss?: number): Promise<{ loss: number; gradientNorm: number }> => {
      const config = training(balanceLoss === undefined ? {} : { balanceLoss });
      return await createTrainer(wasm, config, tinyBatches(config)).trainStep();
    };
    const [without, withLoss] = [await first(), await first(10)];
    expect(withLoss.loss).toBe(without.loss);
    expect(withLoss.gradientNorm).not.toBe(without.gradientNorm);
  });

  test("a restored trainer goes on with the same bits", async () => {
    const config = training();
    const whole = createTrainer(wasm, config, tinyBatches(config));
    for (let step = 0; step < 3; step++) await whole.trainStep();
    const saved = await whole.save();
    const { loss, gradientNorm, expertLoad } = await whole.trainStep();
    const resumed = createTrainer(wasm, config, tinyBatches(config));
    resumed.restore(saved);
    expect(await resumed.trainStep()).toMatchObject({ loss, gradientNorm, expertLoad });
  });
});

test("inactive parameters are the experts a token does not use and the embedding", () => {
  const parameters = createParameters();
  const config = modelWith(mixture);
  languageModel(config, parameters);
  const experts = parameters.all.filter(({ name }) => name.includes(".experts."));
  const all = experts.reduce((sum, { tensor }) => sum + sizeOf(tensor.shape), 0);
  expect(inactiveParameters(config)).toBe((all * 3) / 5 + tinySize.vocabulary * tinySize.width);
  expect(parameterCount(parameters)).toBe(
    parameters.all.reduce((sum, { tensor }) => sum + sizeOf(tensor.shape), 0) - mixture.experts,
  );
});

test("at the paper's sizes the model has the parameters of Table 5 (arXiv 2512.24880)", () => {
  const rows = [
    { width: 1280, layers: 12, heads: 16, experts: 64, hidden: 896, total: "2.97", active: "0.612" },
    { width: 1920, layers: 18, heads: 24, experts: 64, hidden: 1280, total: "9.18", active: "1.66" },
    { width: 2560, layers: 30, heads: 32, experts: 72, hidden: 1536, total: "27.0", active: "4.14" },
  ];
  for (const { width, layers, heads, experts, hidden, total, active } of rows) {
    const config = modelSchema.parse({
      vocabulary: 129280,
      context: 4096,
      width,
      layers,
      heads,
      kvHeads: heads,
      hidden: 8 * hidden,
      connection: defaultConnection("mhc"),
      attention: { kind: "mla", rank: 512, rotarySize: 64, contentSize: 128, valueSize: 128 },
      feedForward: { kind: "moe", experts, active: 6, shared: 2, hidden, denseLayers: 1 },
    });
    const parameters = createParameters();
    languageModel(config, parameters);
    const count = parameterCount(parameters);
    expect((count / 1e9).toPrecision(3)).toBe(total);
    expect(((count - inactiveParameters(config)) / 1e9).toPrecision(3)).toBe(active);
  }
});

test("a mixture that cannot be is refused with the reason", () => {
  expect(() => modelSchema.parse({ ...modelWith(undefined), feedForward: { ...mixture, active: 6 } })).toThrow(
    /it must be at most the number of experts/,
  );
  expect(modelSchema.parse(modelWith(undefined))).not.toHaveProperty("feedForward");
});

describe("one active expert", () => {
  const one = modelSchema.parse({ ...modelWith(undefined), feedForward: { ...mixture, active: 1 } });
  const gradientOf = (config: ModelConfig, runtime: SynchronousRuntime): number[] => {
    const built = build(config);
    const values = run(runtime, built);
    return Array.from(values["gradient of layers.1.feedForward.router"]!);
  };
  test("the router learns: its weight is the score, which is not divided by itself", () => {
    expect(one.feedForward?.normalise).toBe(false);
    const expected = gradientOf(one, createReferenceRuntime());
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-6);
    expect(relativeError(gradientOf(one, wasm), expected)).toBeLessThan(1e-3);
  });
  test("divided, as when nothing else was possible, its gradient is rounding noise", () => {
    const divided = modelSchema.parse({ ...one, feedForward: { ...mixture, active: 1, normalise: true } });
    expect(Math.max(...gradientOf(divided, createReferenceRuntime()).map(Math.abs))).toBeLessThan(1e-12);
  });
  test("a run stored before the field existed keeps its meaning; several experts need none", () => {
    const stored = tinyTraining("residual", { model: { feedForward: { ...mixture, active: 1 } } });
    expect(stored.model.feedForward?.normalise).toBe(false);
    const { normalise: _, ...older } = stored.model.feedForward!;
    const old = { ...stored, model: { ...stored.model, feedForward: older } };
    expect(parseTrainingConfig(withOlderMeanings(old)).model.feedForward?.normalise).toBe(true);
    expect(parseTrainingConfig(withOlderMeanings(stored)).model.feedForward?.normalise).toBe(false);
    const several = tinyTraining("residual", { model: { feedForward: mixture } });
    expect(withOlderMeanings(several)).toEqual(several);
    for (const value of [3, null, {}, { model: 1 }, { model: { feedForward: null } }])
      expect(withOlderMeanings(value)).toEqual(value);
  });
});
