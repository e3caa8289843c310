// Interventions on trained models: what must change nothing changes no bit, what must change something does,
// and the numbers are those of other models that compute the same, in float64.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { type ConnectionConfig, connectionKinds, defaultConnection } from "../../src/connections/table.ts";
import type { MixedConnectionConfig } from "../../src/model/overrides.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { parseIntervention } from "../../src/study/interventions.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { intervene, type InterventionReport, isUndecided } from "../../src/study/intervene.ts";
import type { SavedTensor, TrainerState } from "../../src/training/state.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const configOf = (connection: ConnectionConfig | MixedConnectionConfig, layers = 2): TrainingConfig =>
  tinyTraining("residual", { model: { connection, layers }, optimizer: { learningRate: 2e-2 } });

async function trained(config: TrainingConfig, steps = 25): Promise<{ state: TrainerState; loss: number }> {
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  for (let step = 0; step < steps; step++) await trainer.trainStep();
  return { state: await trainer.save(), loss: (await trainer.evaluate()).loss };
}

const measure = async (
  config: TrainingConfig,
  state: TrainerState,
  names?: readonly string[],
  sublayers?: readonly string[],
  runtime: Parameters<typeof intervene>[0] = wasm,
): Promise<InterventionReport> =>
  await intervene(runtime, config, state, tinyBatches(config), {
    ...(names ? { interventions: names.map(parseIntervention) } : {}),
    ...given({ sublayers }),
  });

/** The change of every row, by its name. */
const changes = async (...given: Parameters<typeof measure>): Promise<Record<string, number>> =>
  Object.fromEntries((await measure(...given)).rows.map(({ name, change }) => [name, change]));

const mhc = defaultConnection("mhc") as Extract<ConnectionConfig, { kind: "mhc" }>;
const hc = defaultConnection("hc") as Extract<ConnectionConfig, { kind: "hc" }>;
const partlyMixed: MixedConnectionConfig = {
  default: mhc,
  overrides: [
    { layers: [0], role: "feedForward", connection: { kind: "residual" } },
    { layers: [1], role: "feedForward", connection: { ...hc, streams: 2 } },
  ],
};

describe("nothing changed is nothing changed, to the last bit", () => {
  test.each<[string, ConnectionConfig | MixedConnectionConfig]>([
    ["hc", hc],
    ["hc, static", { ...hc, dynamic: false }],
    ["mhc", mhc],
    ["mhc, three streams", { ...mhc, streams: 3 }],
    ["mhc, bfloat16", { ...mhc, streamPrecision: "bfloat16" }],
    ["mhc, rotations", { ...mhc, residualMap: "cayley" }],
    ["mhc, implicit gradient", { ...mhc, residualMap: "sinkhorn-implicit" }],
    ["mhc, as many iterations as needed", { ...mhc, residualMap: "sinkhorn-adaptive" }],
    ["deepseek-v4", { ...mhc, convention: "deepseek-v4" }],
    ["deepseek-v4.1", { ...mhc, convention: "deepseek-v4.1" }],
    ["mixed", partlyMixed],
  ])("%s", async (_, connection) => {
    const config = configOf(connection);
    const { state, loss } = await trained(config);
    const report = await measure(config, state);
    expect(report.loss).toBe(loss);
    for (const { name, loss: own, change } of report.rows) {
      expect(own - report.loss, name).toBe(change);
      expect(change, name).toSatisfy(Number.isFinite);
    }
    // Each drops what was learned there: not all of it can be worth nothing.
    expect(report.rows.filter(({ change }) => change !== 0).length).toBeGreaterThan(report.rows.length / 2);
    const asTrained = report.rows.filter(({ intervention }) => intervention === "iterations:20");
    for (const { change } of asTrained) expect(change).toBe(0);
    const described = JSON.stringify(connection);
    expect(asTrained).toHaveLength(described.includes("mhc") && !/cayley|adaptive/.test(described) ? 1 : 0);
  });

  test("a static connection is frozen already", async () => {
    const config = configOf({ ...hc, dynamic: false });
    const { state } = await trained(config);
    const found = await changes(config, state, ["freeze", "mean", "identity"]);
    for (const [name, change] of Object.entries(found)) {
      if (/^(freeze|mean)/.test(name)) expect(change, name).toBe(0);
      if (name === "identity, all") expect(change).not.toBe(0);
    }
  });

  test("an H_res that is the identity is replaced by itself", async () => {
    const config = configOf({ ...hc, dynamic: false });
    // As it starts, all streams are written alike; these writes tell them apart.
    const start = edited((await trained(config, 0)).state, ({ name }, bias) => {
      if (name.endsWith("bias")) bias.set([1, 0.5, 2, 0], 4);
    });
    expect(Object.values(await changes(config, start, ["identity"]))).toEqual(Array(7).fill(0));
    expect(Math.abs((await changes(config, start, ["uniform"]))["uniform, all"]!)).toBeGreaterThan(1e-5);
  });
});

/** The same state with the entries of some tensors changed. */
function edited(state: TrainerState, edit: (tensor: SavedTensor, values: Float32Array) => void): TrainerState {
  const model = state.model.map((tensor) => {
    const data = tensor.data.slice();
    edit(tensor, data);
    return { ...tensor, data };
  });
  return { ...state, model };
}

describe("streams", () => {
  const config = configOf({ ...hc, dynamic: false });
  const biasOf = (sublayer: number): string =>
    `layers.${sublayer >> 1}.${sublayer % 2 ? "feedForward" : "attention"}.connection.bias`;
  const n = 4;

  test("a stream that nothing reads, carries on or writes to can go", async () => {
    const state = edited((await trained(config)).state, ({ name }, bias) => {
      if (name !== biasOf(2)) return;
      bias[1] = bias[n + 1] = 0;
      for (let j = 0; j < n; j++) bias[2 * n + n + j] = bias[2 * n + n * j + 1] = 0;
    });
    const found = await changes(config, state, ["drop:0", "drop:1"], ["2"]);
    expect(found["drop:1, 2"]).toBe(0);
    expect(Math.abs(found["drop:0, 2"]!)).toBeGreaterThan(1e-4);
  });

  test("dropped early, it is missed only by what is fed from it", async () => {
    // Sublayers 1 and 2 do not read stream 3, and sublayer 2 lets nothing of it through.
    const state = edited((await trained(config)).state, ({ name }, bias) => {
      if (name === biasOf(1) || name === biasOf(2)) bias[3] = 0;
      for (let i = 0; i < n; i++) {
        if (name === biasOf(1) && i !== 3) bias[2 * n + n * i + 3] = 0;
        if (name === biasOf(2)) bias[2 * n + n * i + 3] = 0;
      }
    });
    const found = await changes(config, state, ["drop:3"], ["1", "3"]);
    // Row 3 of sublayer 1 feeds stream 3 alone, and nobody sees it.
    expect(Math.abs(found["drop:3, 1"]!)).toBeLessThan(1e-6);
    expect(Math.abs(found["drop:3, 3"]!)).toBeGreaterThan(1e-4);
  });

  test("before the first sublayer all streams are alike, so they may be swapped", async () => {
    const whole = configOf(mhc);
    const found = await changes(whole, (await trained(whole)).state, ["swap:0-1", "swap:1-3"], ["0", "2"]);
    for (const name of ["swap:0-1, 0", "swap:1-3, 0"]) expect(Math.abs(found[name]!)).toBeLessThan(1e-6);
    expect(Math.abs(found["swap:0-1, 2"]!)).toBeGreaterThan(1e-5);
  });
});

describe("against other models in float64", () => {
  const config = configOf(mhc);
  const names = ["identity", "uniform", "mean", "freeze", "drop:2", "swap:0-3", "iterations:1"];

  test("the changes are those of the reference runtime", async () => {
    const { state } = await trained(config);
    const exact = await changes(config, state, names, ["all", "early"], createReferenceRuntime());
    const found = await changes(config, state, names, ["all", "early"]);
    for (const [name, change] of Object.entries(exact))
      expect(Math.abs(found[name]! - change), name).toBeLessThan(2e-6);
    expect(Object.keys(exact)).toHaveLength(14);
  });

  test("the identity everywhere is the model whose map is the identity", async () => {
    const { state } = await trained(config);
    const oracle = configOf({ ...mhc, residualMap: "identity" });
    // That map has no logits: of φ and the bias the rows of pre and post remain, 2 n.
    const model = state.model.map(({ name, shape, data }) => {
      if (!/connection\.(phi|bias)$/.test(name)) return { name, shape, data };
      return { name, shape: [8, ...shape.slice(1)], data: data.slice(0, (data.length / shape[0]!) * 8) };
    });
    const expected = (await measure(oracle, { ...state, model }, ["uniform"], ["all"], createReferenceRuntime())).loss;
    const [row] = (await measure(config, state, ["identity"], ["all"], createReferenceRuntime())).rows;
    expect(row!.loss).toBeCloseTo(expected, 12);
    expect(row!.change).not.toBe(0);
  });

  test("other iterations are the model of that many, also in a part of it", async () => {
    const { state } = await trained(config);
    const lossOf = async (connection: TrainingConfig["model"]["connection"]): Promise<number> =>
      (await measure(configOf(connection), state, ["identity"], ["all"])).loss;
    const found = (await measure(config, state, ["iterations:1"], ["all", "2-last"])).rows.map(({ loss }) => loss);
    const one = { ...mhc, iterations: 1 };
    expect(found).toEqual([
      await lossOf(one),
      await lossOf({ default: mhc, overrides: [{ layers: [1], connection: one }] }),
    ]);
  });
});

test("sublayers that mix nothing are passed over, and those that differ are changed as they are", async () => {
  const config = configOf(partlyMixed);
  const { rows } = await measure(
    config,
    (await trained(config)).state,
    ["identity", "drop:3", "iterations:2"],
    ["all", "last"].slice(0, 1),
  );
  expect(rows.map(({ name, sublayers }) => [name, ...sublayers])).toEqual([
    ["identity, all", 0, 2, 3],
    ["drop:3, all", 0, 2],
    ["iterations:2, all", 0, 2],
  ]);
});

test.each(connectionKinds.filter((kind) => kind !== "hc" && kind !== "mhc"))(
  "%s mixes no streams, and says so",
  async (kind) => {
    const config = configOf(defaultConnection(kind));
    await expect(measure(config, (await trained(config, 1)).state)).rejects.toThrow(
      `the model mixes no streams (its connection is ${kind}), so there are no maps to change. Interventions are for models with hc or mhc in some sublayers.`,
    );
  },
);

test("a change is undecided within two standard errors; of one batch there is none", async () => {
  expect(isUndecided({ change: 0.1, error: 0.06 })).toBe(true);
  expect(isUndecided({ change: -0.1, error: 0.04 })).toBe(false);
  expect(isUndecided({ change: 0, error: 0 })).toBe(false);
  const config = { ...configOf(mhc), evaluateBatches: 1 };
  for (const row of (await measure(config, (await trained(config, 2)).state, ["identity"])).rows)
    expect(row).not.toHaveProperty("error");
});

test("it tells of every row as it is measured", async () => {
  const config = configOf(mhc);
  const told: string[] = [];
  const { rows } = await intervene(wasm, config, (await trained(config, 1)).state, tinyBatches(config), {
    interventions: [{ kind: "identity" }],
    meanBatches: 1,
    onRow: ({ name }, done, total) => told.push(`${done}/${total} ${name}`),
  });
  expect(told).toEqual(rows.map(({ name }, index) => `${index + 1}/7 ${name}`));
});
