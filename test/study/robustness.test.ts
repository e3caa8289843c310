// Disturbances: none changes nothing, each does what another way of computing it says, and draws are repeatable.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ConnectionKind } from "../../src/connections/table.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { RobustnessData, RobustnessRow } from "../../src/runs/robustness-data.ts";
import { intervene } from "../../src/study/intervene.ts";
import { parseIntervention } from "../../src/study/interventions.ts";
import { measureRobustness, type RobustnessOptions } from "../../src/study/robustness.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import type { SavedTensor, TrainerState } from "../../src/training/state.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

interface Trained {
  readonly config: TrainingConfig;
  readonly state: TrainerState;
  readonly loss: number;
}

let wasm: WasmRuntime;
const trained: Partial<Record<ConnectionKind, Trained>> = {};
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
  for (const kind of ["mhc", "residual"] as const) {
    const config = tinyTraining(kind, { optimizer: { learningRate: 2e-2 } });
    const trainer = createTrainer(wasm, config, tinyBatches(config));
    for (let step = 0; step < 25; step++) await trainer.trainStep();
    trained[kind] = { config, state: await trainer.save(), loss: (await trainer.evaluate()).loss };
    trainer.release();
  }
});
afterAll(() => wasm.close());

const measure = async (kind: ConnectionKind, options: RobustnessOptions = {}): Promise<RobustnessData> => {
  const { config, state } = trained[kind]!;
  return await measureRobustness(wasm, config, state, tinyBatches(config), { draws: 1, ...options });
};
const rowOf = ({ rows }: RobustnessData, name: string): RobustnessRow => rows.find((row) => row.name === name)!;

/** The loss with some parameters replaced, as a trainer measures it. */
async function lossWith({ config, state }: Trained, change: (tensor: SavedTensor) => Float32Array): Promise<number> {
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  trainer.restore({ ...state, model: state.model.map((tensor) => ({ ...tensor, data: change(tensor) })) });
  const { loss } = await trainer.evaluate();
  trainer.release();
  return loss;
}

test("the undisturbed loss is the trainer's, and a disturbance of size 0 changes nothing", async () => {
  const report = await measure("mhc", { noise: [0], inputs: [0] });
  expect(report.loss).toBe(trained.mhc!.loss);
  expect(report.guessing).toBe(Math.log(trained.mhc!.config.model.vocabulary));
  for (const name of ["noise:0", "input:0"])
    expect(rowOf(report, name)).toMatchObject({ change: 0, divergence: 0, flips: 0, bounded: true });
  // After all disturbances the model is as it was.
  expect((await measure("mhc", { noise: [0], inputs: [] })).loss).toBe(report.loss);
});

test("a dropped stream is the intervention of that name; a residual model has none", async () => {
  const { config, state } = trained.mhc!;
  const interventions = [0, 3].map((stream) => parseIntervention(`drop:${stream}`));
  const options = { interventions, sublayers: ["all"] };
  const { rows } = await intervene(wasm, config, state, tinyBatches(config), options);
  const report = await measure("mhc");
  expect([0, 3].map((stream) => rowOf(report, `drop:${stream}`).loss)).toEqual(rows.map(({ loss }) => loss));
  expect((await measure("residual")).rows.filter(({ kind }) => kind === "drop")).toEqual([]);
});

test("a residual model without its last layer is the model of one layer", async () => {
  const { config, state } = trained.residual!;
  const shorter = { ...config, model: { ...config.model, layers: 1 } };
  const trainer = createTrainer(wasm, shorter, tinyBatches(shorter));
  trainer.restore({ ...state, optimizer: (await trainer.save()).optimizer });
  const { loss } = await trainer.evaluate();
  expect(rowOf(await measure("residual"), "skip:1").loss).toBeCloseTo(loss, 5);
  expect(Math.abs(loss - trained.residual!.loss)).toBeGreaterThan(1e-3);
});

test.each([
  ["int8", (values: Float32Array) => 127 / Math.max(...values.map(Math.abs))],
  ["bfloat16", undefined],
] as const)("%s rounds every matrix and nothing else", async (name, scaleOf) => {
  const bits = new DataView(new ArrayBuffer(4));
  const rounded = ({ shape, data }: SavedTensor): Float32Array => {
    if (shape.length < 2) return data;
    const scale = scaleOf?.(data);
    return data.map((value) => {
      if (scale !== undefined) return Math.round(value * scale) / scale;
      // The nearer of the two neighbours that have 16 bits.
      bits.setFloat32(0, value);
      const low = bits.getUint32(0) & 0xffff0000;
      const neighbours = [low, low + 0x10000].map((word) => (bits.setUint32(0, word >>> 0), bits.getFloat32(0)));
      return neighbours.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a));
    });
  };
  const row = rowOf(await measure("mhc"), name);
  expect(row.loss).toBeCloseTo(await lossWith(trained.mhc!, rounded), 5);
  expect(row.divergence).toBeGreaterThan(0);
  expect(row.draws).toBe(1);
});

test("noise and replaced tokens grow with their size, and are the same when drawn again", async () => {
  const options = { noise: [0.02, 0.5], inputs: [0.02, 0.5], draws: 2 };
  const report = await measure("mhc", options);
  for (const kind of ["noise", "input"]) {
    const [small, large] = [rowOf(report, `${kind}:0.02`), rowOf(report, `${kind}:0.5`)];
    expect(large.divergence).toBeGreaterThan(3 * small.divergence);
    expect(large.flips).toBeGreaterThan(small.flips);
    expect(small.draws).toBe(2);
  }
  expect((await measure("mhc", options)).rows).toEqual(report.rows);
});

test("what is worse than guessing is not bounded", async () => {
  const { rows, guessing } = await measure("residual", { noise: [30], inputs: [] });
  const [noise] = rows as [RobustnessRow];
  expect(noise.loss).toBeGreaterThan(guessing);
  expect(noise.bounded).toBe(false);
  expect(rows.find(({ name }) => name === "bfloat16")!.bounded).toBe(true);
});

test("a signal ends it after the row in progress", async () => {
  const stop = new AbortController();
  const { rows } = await measure("mhc", { signal: stop.signal, onRow: (_, done) => void (done === 2 && stop.abort()) });
  expect(rows).toHaveLength(2);
});
