// Of n streams a sublayer mixes and writes k: the mixing stays doubly stochastic, the others stay as they are, and all runs.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mhc } from "../../src/connections/mhc.ts";
import { type ConnectionConfig, connectionSchema } from "../../src/connections/table.ts";
import { createParameters, type Parameter } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { collect, oneByOne } from "../collect.ts";
import { scoresOfWhole } from "../model/tiny.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const connectionOf = (options: object): ConnectionConfig => connectionSchema.parse({ kind: "mhc", ...options });
const text = [1, 5, 3, 7, 2, 9];

/** With α and φ large enough that tokens differ. */
const valuesOf = (parameter: Parameter): number[] =>
  parameter.part === "alpha"
    ? [1, 1, 1, 1]
    : Array.from(initialValues(parameter, 3), (value) => (parameter.part === "phi" ? 20 * value : value));

/** A model whose tokens differ in what they choose; the tokens are given. */
function modelWith(runtime: Pick<WasmRuntime, "write">, options: object) {
  const parameters = createParameters();
  const model = languageModel(tinyTraining("mhc", { model: { connection: connectionOf(options) } }).model, parameters);
  for (const each of parameters.all) runtime.write(each.tensor, valuesOf(each));
  const tokens = input("tokens", [1, text.length], "i32");
  runtime.write(tokens, text);
  return { model, parameters, tokens };
}

/** The coefficients of every sublayer and token, in float64. */
function coefficientsOf(options: object): number[][] {
  const runtime = createReferenceRuntime();
  const { model, tokens } = modelWith(runtime, options);
  const { sublayers } = model.hidden(tokens);
  const program = runtime.compile({
    outputs: Object.fromEntries(sublayers.map(({ coefficients }, index) => [String(index), coefficients!])),
  });
  program.run();
  return sublayers.flatMap((_, index) => {
    const values = [...program.readNow(String(index))];
    const size = values.length / text.length;
    return text.map((_token, t) => values.slice(t * size, (t + 1) * size));
  });
}

/** Streams that are written. */
const active = (row: readonly number[], n: number): number[] =>
  Array.from({ length: n }, (_, stream) => stream).filter((stream) => row[n + stream] !== 0);

describe.each([
  { n: 6, k: 4, map: "birkhoff-newton" },
  { n: 5, k: 1, map: "birkhoff-newton" },
  { n: 7, k: 3, map: "permutations" },
  { n: 16, k: 4, map: "sinkhorn" },
])("$k of $n streams, $map", ({ n, k, map }) => {
  const rows = coefficientsOf({ streams: n, active: k, residualMap: map });
  test("k streams are written, the first half of them always, and what the others choose depends on the token", () => {
    const chosen = rows.map((row) => active(row, n));
    for (const streams of chosen) {
      expect(streams).toHaveLength(k);
      expect(streams.slice(0, Math.floor(k / 2))).toEqual(Array.from({ length: Math.floor(k / 2) }, (_, i) => i));
    }
    expect(new Set(chosen.map(String)).size).toBeGreaterThan(1);
  });
  test("H_res is doubly stochastic, and the row and column of a stream that is not active are the identity's", () => {
    for (const row of rows) {
      const H = (i: number, j: number): number => row[2 * n + i * n + j]!;
      const streams = active(row, n);
      for (let i = 0; i < n; i++) {
        let [across, down] = [0, 0];
        for (let j = 0; j < n; j++) {
          expect(H(i, j)).toBeGreaterThanOrEqual(-1e-15);
          if (!streams.includes(i) || !streams.includes(j)) expect(H(i, j)).toBe(i === j ? 1 : 0);
          across += H(i, j);
          down += H(j, i);
        }
        expect(across).toBeCloseTo(1, 10);
        // Twenty iterations leave an error in the columns.
        expect(Math.abs(down - 1)).toBeLessThan(map === "sinkhorn" ? 0.1 : 1e-10);
      }
    }
  });
});

test("at the start with scores of zero, a sublayer adds to the mean of the streams as much as with all of them active", () => {
  const [n, k] = [6, 4];
  const runtime = createReferenceRuntime();
  const parameters = createParameters();
  const sublayer = mhc({ streams: n, active: k }).sublayer(parameters, { channels: 8, index: 1 });
  for (const each of parameters.all)
    runtime.write(
      each.tensor,
      each.part === "phi" ? Array.from(initialValues(each, 1), () => 0) : initialValues(each, 1),
    );
  const x = input("x", [1, n, 8]);
  runtime.write(
    x,
    Array.from({ length: n * 8 }, (_, i) => Math.sin(i)),
  );
  const { coefficients } = sublayer.apply(x, (u) => u);
  const program = runtime.compile({ outputs: { h: coefficients! } });
  program.run();
  const post = [...program.readNow("h")].slice(n, 2 * n);
  expect(post.reduce((sum, value) => sum + value, 0) / n).toBeCloseTo(1, 7);
});

test("the gradient of every parameter is that of finite differences, in float64", () => {
  const runtime = createReferenceRuntime();
  const { model, parameters, tokens } = modelWith(runtime, { streams: 5, active: 3, residualMap: "birkhoff-newton" });
  const targets = input("targets", [1, text.length], "i32");
  runtime.write(targets, [5, 3, 7, 2, 9, 1]);
  const loss = model.loss(model.hidden(tokens).hidden_NC, targets);
  const own = parameters.all.filter(({ role }) => role === "connection").slice(0, 6);
  const found = gradients(
    loss,
    own.map(({ tensor }) => tensor),
  );
  const program = runtime.compile({
    outputs: { loss, ...Object.fromEntries(own.map(({ name }, i) => [name, found[i]!])) },
  });
  program.run();
  for (const each of own) {
    const { name, tensor } = each;
    const gradient = [...program.readNow(name as "loss")];
    const values = valuesOf(each);
    for (let at = 0; at < values.length; at += Math.ceil(values.length / 7)) {
      const lossAt = (moved: number): number => {
        const changed = values.slice();
        changed[at]! += moved;
        runtime.write(tensor, changed);
        program.run();
        const [value] = program.readNow("loss");
        return value!;
      };
      const numeric = (lossAt(1e-5) - lossAt(-1e-5)) / 2e-5;
      expect(Math.abs(numeric - gradient[at]!), `${name}[${at}]`).toBeLessThan(1e-7 + 1e-6 * Math.abs(numeric));
    }
    runtime.write(tensor, values);
  }
});

test.each([
  { streams: 8, active: 4 },
  { streams: 3, active: 1, residualMap: "identity" },
  { streams: 5, active: 3, dynamic: "sequence" },
  { streams: 6, active: 2, group: 2, residualMap: "cayley" },
  { streams: 6, active: 4, streamPrecision: "bfloat16" },
])("a model with %j trains, evaluates and writes, and says in float32 what the reference says", async (options) => {
  const config = tinyTraining("mhc", { model: { connection: connectionOf(options) }, steps: 4 });
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  const results = await oneByOne([0, 1, 2, 3], () => trainer.trainStep());
  for (const { loss } of results) expect(loss).toBeLessThan(4);
  expect(Number.isFinite((await trainer.evaluate()).loss)).toBe(true);
  expect(await collect(trainer.generate([1, 2], { maxTokens: 3, random: () => 0.5 }))).toHaveLength(3);

  const [exact, fast] = [createReferenceRuntime(), wasm].map((runtime) => {
    const { model } = modelWith(runtime, options);
    return scoresOfWhole(runtime, model, text);
  });
  const far = options.streamPrecision === "bfloat16" ? 0.1 : 1e-3;
  exact!.forEach((value, at) => expect(Math.abs(value - fast![at]!)).toBeLessThan(far));
});

test.each([
  [{ streams: 4, active: 4 }, /active is 4 of 4 streams; it must be less than streams/],
  [{ streams: 4, active: 2, dynamic: "none" }, /no token chooses its streams/],
  [{ streams: 4, active: 2, residualMap: "learned-temperature" }, /learns some for all tokens/],
  [{ streams: 8, active: 3, residualMap: "kronecker" }, /kronecker/],
  [{ streams: 4, active: 2, convention: "deepseek-v4" }, /convention "paper"/],
] as const)("%j is refused", (options, message) => {
  expect(() => mhc(options)).toThrow(message);
});
