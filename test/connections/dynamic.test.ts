// What the maps of mHC depend on: each token, the sequence so far, or nothing; and groups of sublayers that read once.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ConnectionConfig, connectionSchema } from "../../src/connections/table.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { createDecoder } from "../../src/model/decoder.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { collect, oneByOne } from "../collect.ts";
import { scoresOfWhole } from "../model/tiny.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const n = 4;
const M = n * n + 2 * n;
const connectionOf = (options: object): ConnectionConfig => connectionSchema.parse({ kind: "mhc", ...options });
const modelOf = (connection: ConnectionConfig) => tinyTraining("mhc", { model: { connection } }).model;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** The coefficients [T][M] of each sublayer for one sequence, the parameters drawn anew, φ large enough to matter. */
function coefficientsOf(options: object, tokens: readonly number[]): number[][][] {
  const runtime = createReferenceRuntime();
  const parameters = createParameters();
  const model = languageModel(modelOf(connectionOf(options)), parameters);
  for (const each of parameters.all)
    runtime.write(
      each.tensor,
      each.part === "alpha"
        ? [1, 1, 1]
        : Array.from(initialValues(each, 3), (value) => (each.part === "phi" ? 20 * value : value)),
    );
  const given = input("tokens", [1, tokens.length], "i32");
  const { sublayers } = model.hidden(given);
  const outputs = Object.fromEntries(sublayers.map(({ coefficients }, index) => [String(index), coefficients!]));
  const program = runtime.compile({ outputs });
  runtime.write(given, tokens);
  program.run();
  return sublayers.map((_, index) => {
    const values = [...program.readNow(String(index))];
    return tokens.map((_token, t) => values.slice(t * M, (t + 1) * M));
  });
}

const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, at) => Math.abs(value - b[at]!)));

describe("what the coefficients depend on", () => {
  const text = [1, 5, 3, 7, 2, 9];
  test("token: those of another token differ", () => {
    const [first] = coefficientsOf({}, text);
    expect(largest(first![0]!, first![1]!)).toBeGreaterThan(0.01);
  });
  test("none: all tokens have the same, in every sublayer, and no φ", () => {
    for (const sublayer of coefficientsOf({ dynamic: "none" }, text))
      for (const row of sublayer) expect(row).toEqual(sublayer[0]);
    const parameters = createParameters();
    languageModel(modelOf(connectionOf({ dynamic: "none" })), parameters);
    expect(parameters.all.filter(({ part }) => part === "phi" || part === "alpha")).toEqual([]);
  });
  test("sequence: the first token's are its own; later ones average what was read so far, and nothing of what follows", () => {
    const [own] = coefficientsOf({ residualMap: "unconstrained" }, text);
    const [mean] = coefficientsOf({ residualMap: "unconstrained", dynamic: "sequence" }, text);
    expect(largest(mean![0]!, own![0]!)).toBeLessThan(1e-12);
    // H_res is affine in what was read where the map is the identity: means of p are means of H_res.
    for (const t of [1, 3, 5]) {
      const expected = upTo(M - 2 * n).map(
        (at) => own!.slice(0, t + 1).reduce((total, row) => total + row[2 * n + at]!, 0) / (t + 1),
      );
      expect(largest(mean![t]!.slice(2 * n), expected)).toBeLessThan(1e-12);
    }
    const changed = coefficientsOf({ dynamic: "sequence" }, [...text.slice(0, 3), 8, 8, 8]);
    const before = coefficientsOf({ dynamic: "sequence" }, text);
    for (const [index, sublayer] of before.entries())
      for (const t of [0, 1, 2]) expect(sublayer[t]).toEqual(changed[index]![t]);
  });
  test("groups: one φ for every group, and p of its first sublayer in all of them", () => {
    const parameters = createParameters();
    languageModel(modelOf(connectionOf({ group: 2 })), parameters);
    expect(parameters.all.filter(({ part }) => part === "phi").map(({ name }) => name)).toEqual(
      [0, 1].map((layer) => `layers.${layer}.attention.connection.phi`),
    );
    const alone = coefficientsOf({ group: 1 }, text);
    const grouped = coefficientsOf({ group: 4 }, text);
    // The first sublayer reads for itself.
    for (const t of upTo(text.length)) expect(largest(grouped[0]![t]!, alone[0]![t]!)).toBeLessThan(1e-12);
    expect(grouped[3]![0]).not.toEqual(alone[3]![0]);
  });
});

test.each([
  { dynamic: "none" },
  { dynamic: "sequence" },
  { group: 2 },
  { dynamic: "sequence", group: 3, residualMap: "learned-slack", slackSteps: 9 },
  { dynamic: "none", residualMap: "learned-mixture" },
  { dynamic: "none", residualMap: "identity" },
])("a model with %j trains, evaluates, writes, and a decoder says what the whole sequence says", async (options) => {
  const connection = connectionOf(options);
  const config = tinyTraining("mhc", { model: { connection }, steps: 4 });
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  const results = await oneByOne(upTo(4), () => trainer.trainStep());
  for (const { loss } of results) expect(loss).toBeLessThan(4);
  expect(Number.isFinite((await trainer.evaluate()).loss)).toBe(true);
  expect(await collect(trainer.generate([1, 2], { maxTokens: 3, random: () => 0.5 }))).toHaveLength(3);

  const text = [1, 5, 3, 7, 2, 9];
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  for (const each of parameters.all) wasm.write(each.tensor, initialValues(each, 3));
  const whole = scoresOfWhole(wasm, model, text);
  const decoder = createDecoder(wasm, model, 1);
  const rows = text.map((token, position) => ({ slot: 0, position, token }));
  const V = tinySize.vocabulary;
  await decoder.read(rows.slice(0, 4), 1);
  for (const t of [4, 5]) {
    const said = [...(await decoder.read([rows[t]!], 1))];
    expect(largest(said, whole.slice(t * V, (t + 1) * V))).toBeLessThan(1e-5);
  }
  decoder.release();
});

test("what does not go together is refused", () => {
  expect(() => mhc({ dynamic: "none", group: 2 })).toThrow(/nothing is read that a group could share/);
  expect(() => mhc({ dynamic: "sequence", convention: "deepseek-v4" })).toThrow(/are for convention "paper"/);
  expect(() => mhc({ dynamic: "always" as "none" })).toThrow(/dynamic.*token, sequence, none/);
  const x = input("x", [2, 4, 8]);
  const sublayer = mhc({ dynamic: "sequence" }).sublayer(createParameters(), { channels: 8, index: 0 });
  expect(() => sublayer.apply(x, (x_TC) => x_TC)).toThrow(/needs to know which tokens belong together/);
});
