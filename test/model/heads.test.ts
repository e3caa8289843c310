// Heads that mix and keys and values that pass on: the graphs against the formulas written out, their bounds, and models
// of them: gradients by finite differences, what a token may see, training and going on, what is refused.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { residualMapNames } from "../../src/connections/manifolds/table.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { wholeSequences } from "../../src/model/attending.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { headMixing, headMixingMisfit, type HeadMixingConfig } from "../../src/model/head-mixing.ts";
import { type CarriedKeyValues, carryKeyValues } from "../../src/model/key-values.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { normal, relativeError, uniform } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";
import { expectCausal, runTiny, tinyConfig, tinyModel, tinyValues } from "./tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const [B, T, H, K, D] = [2, 5, 4, 2, 3] as const;
const [N, G, WIDTH] = [B * T, H / K, H * D];
const nothing = { meanSoFar: (x: Tensor) => x };

/** A graph over inputs with normal values and parameters away from their start, computed in float64 or by wasm. */
function computed(
  runtime: SynchronousRuntime,
  made: { readonly outputs: Record<string, Tensor>; readonly parameters: ReturnType<typeof createParameters> },
  inputs: readonly (readonly [Tensor, ArrayLike<number>])[],
): Record<string, Float64Array> {
  const random = uniform(11);
  for (const parameter of made.parameters.all)
    runtime.write(
      parameter.tensor,
      initialValues(parameter, 1).map((value) => value + 0.5 * normal(random)),
    );
  for (const [tensor, values] of inputs) runtime.write(tensor, values);
  const program = runtime.compile({ outputs: made.outputs });
  program.run();
  return Object.fromEntries(
    Object.keys(made.outputs).map((name) => [name, Float64Array.from(program.readNow(name) as ArrayLike<number>)]),
  );
}

const draw = (count: number, seed: number): Float64Array => {
  const random = uniform(seed);
  return Float64Array.from({ length: count }, () => normal(random));
};

describe.each([
  { of: "values", dynamic: true },
  { of: "logits", dynamic: true },
  { of: "both", dynamic: true },
  { of: "both", dynamic: false, iterations: 30 },
] as const)("heads that mix, %j", (config) => {
  test("are the formula, in float64 and on the processor", () => {
    const width = (H + 2 * K) * D;
    const [qkv, x] = [input("qkv", [B, T, width]), input("x", [N, WIDTH])];
    const [qkvValues, xValues] = [draw(N * width, 3), draw(N * WIDTH, 4)];
    const make = (runtime: SynchronousRuntime) => {
      const parameters = createParameters();
      const outputs = {
        y: headMixing(parameters, config, { width: WIDTH, heads: H, kvHeads: K })(qkv, x, wholeSequences.attend, 0)
          .mixed_BTC,
        ...Object.fromEntries(parameters.all.map(({ name, tensor }) => [name, tensor])),
      };
      return computed(runtime, { outputs, parameters }, [
        [qkv, qkvValues],
        [x, xValues],
      ]);
    };
    const exact = make(createReferenceRuntime());
    const matrix = (part: "values" | "logits", n: number, row: number): number[][] => {
      const of = (name: string): Float64Array => exact[`${part}.${name}`]!;
      let M = Array.from({ length: n }, (_, g) =>
        Array.from({ length: n }, (_, h) => {
          const at = g * n + h;
          const read = config.dynamic
            ? of("alpha")[0]! *
              [...Array(WIDTH).keys()].reduce(
                (sum, c) => sum + xValues[row * WIDTH + c]! * of("phi")[c * n * n + at]!,
                0,
              )
            : 0;
          return Math.exp(of("bias")[at]! + read);
        }),
      );
      const sums = (rows: number[][]): number[] => rows.map((line) => line.reduce((a, b) => a + b));
      const transposed = (rows: number[][]): number[][] => rows[0]!.map((_, j) => rows.map((line) => line[j]!));
      for (let i = 0; i < ("iterations" in config ? config.iterations : 20); i++) {
        const columns = sums(transposed(M));
        M = M.map((line) => line.map((value, h) => value / columns[h]!));
        M = M.map((line) => line.map((value) => value / sums([line])[0]!));
      }
      return M;
    };
    const at = (b: number, t: number, column: number): number => qkvValues[(b * T + t) * width + column]!;
    const unmixed = config.of === "values" ? undefined : "mixed";
    const expected: number[] = [];
    for (let b = 0; b < B; b++)
      for (let i = 0; i < T; i++) {
        const scores = Array.from({ length: H }, (_, h) =>
          Array.from({ length: i + 1 }, (_, j) => {
            const key = (H + Math.floor(h / G)) * D;
            return [0, 1, 2].reduce((sum, d) => sum + at(b, i, h * D + d) * at(b, j, key + d), 0) / Math.sqrt(D);
          }),
        );
        const M = unmixed && matrix("logits", H, b * T + i);
        const seen = M
          ? M.map((line) => scores[0]!.map((_, j) => line.reduce((sum, m, h) => sum + m * scores[h]![j]!, 0)))
          : scores;
        if (M)
          for (const j of seen[0]!.keys())
            expect(Math.max(...seen.map((line) => line[j]!))).toBeLessThanOrEqual(
              Math.max(...scores.map((line) => line[j]!)) + 1e-12,
            );
        for (let h = 0; h < H; h++) {
          const weights = seen[h]!.map(Math.exp);
          const total = weights.reduce((a, c) => a + c);
          for (let d = 0; d < D; d++) {
            const value = (j: number, k: number): number => at(b, j, (H + K + k) * D + d);
            expected.push(
              weights.reduce((sum, weight, j) => {
                const own = Math.floor(h / G);
                const mixed =
                  config.of === "logits"
                    ? value(j, own)
                    : matrix("values", K, b * T + j)[own]!.reduce((all, m, k) => all + m * value(j, k), 0);
                return sum + (weight / total) * mixed;
              }, 0),
            );
          }
        }
      }
    expect(relativeError(exact["y"]!, expected)).toBeLessThan(1e-12);
    expect(relativeError(make(wasm)["y"]!, expected)).toBeLessThan(1e-5);
  });
});

test("every set of matrices that is not refused mixes heads, dynamic and static", () => {
  const tried = residualMapNames.flatMap((map) =>
    [true, false].map((dynamic): HeadMixingConfig => ({ of: "both", dynamic, map })),
  );
  const [qkv, x] = [input("qkv", [B, T, 3 * WIDTH]), input("x", [N, WIDTH])];
  for (const config of tried) {
    const sizes = { width: WIDTH, heads: H, kvHeads: H };
    const refused = headMixingMisfit(config, sizes);
    expect(refused === undefined, config.map).toBe(config.map !== "learned-slack");
    if (refused !== undefined) continue;
    const parameters = createParameters();
    const { mixed_BTC: y } = headMixing(parameters, config, sizes)(qkv, x, wholeSequences.attend, 0);
    const inputs = [[qkv, draw(N * 3 * WIDTH, 5)] as const, [x, draw(N * WIDTH, 6)] as const];
    const [exact, fast] = [createReferenceRuntime(), wasm].map(
      (runtime) => computed(runtime, { outputs: { y }, parameters }, inputs)["y"]!,
    );
    expect(relativeError(fast!, exact!), JSON.stringify(config)).toBeLessThan(1e-4);
  }
});

test("keys and values pass on by the formula; with the residual connection they are convex combinations", () => {
  const layers = 4;
  const own = Array.from({ length: layers }, (_, layer) => input(`own${layer}`, [N, 2 + 2 * D]));
  const values = own.map((_, layer) => draw(N * (2 + 2 * D), 20 + layer));
  const parameters = createParameters();
  const carried: CarriedKeyValues = {};
  const used = own.map((qkv_NE, layer) =>
    carryKeyValues(
      parameters.under(`${layer}`),
      { of: "both", connection: { kind: "residual" } },
      { layer, columns: D },
    )(qkv_NE, carried, nothing),
  );
  const outputs = {
    ...Object.fromEntries(used.map((tensor, layer) => [`used${layer}`, tensor])),
    ...Object.fromEntries(parameters.all.map(({ name, tensor }) => [name, tensor])),
  };
  const found = computed(
    createReferenceRuntime(),
    { outputs, parameters },
    own.map((tensor, layer) => [tensor, values[layer]!] as const),
  );
  for (let row = 0; row < N; row++)
    for (let column = 0; column < 2 + 2 * D; column++) {
      const at = row * (2 + 2 * D) + column;
      let mean = values[0]![at]!;
      for (let layer = 0; layer < layers; layer++) {
        const theta = layer === 0 ? 0 : found[`${layer}.shares`]![column < 2 + D ? 0 : 1]!;
        const share = 1 / (1 + Math.exp(-theta));
        if (layer > 0) mean += share * (values[layer]![at]! - mean);
        // The queries stay what they are.
        expect(found[`used${layer}`]![at]).toBeCloseTo(column < 2 ? values[layer]![at]! : mean, 12);
      }
    }
});

const mhc = defaultConnection("mhc");
const four = { heads: 4, kvHeads: 2 };
const models: Readonly<Record<string, Partial<ModelConfig>>> = {
  "values and logits of heads": { ...four, headMixing: { of: "both", dynamic: true } },
  "static logits of heads": { ...four, headMixing: { of: "logits", dynamic: false, map: "birkhoff-newton" } },
  "values by mHC": { layers: 3, keyValues: { of: "values", connection: mhc } },
  "keys and values by mHC": { layers: 3, keyValues: { of: "both", connection: mhc } },
  "keys and values by gated residual, heads that mix": {
    ...four,
    layers: 3,
    headMixing: { of: "both", dynamic: true },
    keyValues: { of: "both", connection: defaultConnection("gated-residual") },
  },
};

describe.each(Object.entries(models))("a model with %s", (_name, changes) => {
  const tiny = tinyModel(tinyConfig("mhc", changes));
  const values = tinyValues(tiny, 0.3);

  test("has the gradients of finite differences, and the same on the processor", () => {
    const exact = createReferenceRuntime();
    const outputs = { loss: tiny.loss, ...tiny.gradients };
    const found = runTiny(exact, tiny, outputs, values);
    const fast = runTiny(wasm, tiny, outputs, values);
    for (const [name, of] of Object.entries(found)) expect(relativeError(fast[name]!, of), name).toBeLessThan(3e-4);
    const own = tiny.parameters.all.filter(({ name }) => /attention\.(heads|keyValues)\./.test(name));
    expect(own.length).toBeGreaterThan(0);
    const random = uniform(8);
    for (const { name } of own) {
      const direction = Float64Array.from(values.get(name)!, () => normal(random));
      const step = 1e-5;
      const lossAt = (way: number): number => {
        const moved = new Map<string, ArrayLike<number>>(values);
        moved.set(
          name,
          Float64Array.from(values.get(name)!, (value, i) => value + way * step * direction[i]!),
        );
        return (runTiny(exact, tiny, { loss: tiny.loss }, moved as never)["loss"] as ArrayLike<number>)[0]!;
      };
      const along = Float64Array.from(found[name] as ArrayLike<number>).reduce(
        (sum, value, i) => sum + value * direction[i]!,
        0,
      );
      // What the last layer would hand on is read by none.
      if (along === 0) {
        expect(name).toMatch(/layers\.2\.attention\.keyValues\.connection\.inject/);
        continue;
      }
      expect((lossAt(1) - lossAt(-1)) / (2 * step) / along, name).toBeCloseTo(1, 4);
    }
  });

  test("says nothing of a token that depends on a later one", () => {
    expectCausal(wasm, tiny, values);
  });

  test("learns, goes on from what was saved with the same bits, and with recomputation within rounding", async () => {
    const config = tinyTraining("mhc", { steps: 40, model: changes });
    const begin = () => createTrainer(wasm, config, tinyBatches(config));
    const trainer = begin();
    const first = (await trainer.trainStep()).loss;
    for (let step = 1; step < 30; step++) await trainer.trainStep();
    const saved = await trainer.save();
    const rest = async (one: typeof trainer): Promise<number[]> => {
      const losses: number[] = [];
      for (let step = 30; step < 40; step++) losses.push((await one.trainStep()).loss);
      return losses;
    };
    const losses = await rest(trainer);
    expect(losses.at(-1)).toBeLessThan(first - 0.7);
    const later = begin();
    later.restore(saved);
    expect(await rest(later)).toEqual(losses);
    const config2 = tinyTraining("mhc", { steps: 40, model: changes, recompute: 1 });
    const again = createTrainer(wasm, config2, tinyBatches(config2));
    again.restore(saved);
    for (const [step, loss] of (await rest(again)).entries()) expect(loss).toBeCloseTo(losses[step]!, 4);
    for (const each of [trainer, later, again]) each.release();
  });
});

test("what cannot be is refused with the reason", () => {
  const valid = { ...tinySize, connection: mhc };
  const problem = (changes: object): string => {
    const result = modelSchema.safeParse({ ...valid, ...changes });
    return result.success ? "" : result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join();
  };
  expect(problem({ headMixing: {} })).toBe(
    "headMixing: values of one head cannot mix; kvHeads is 1 and must be at least 2",
  );
  expect(problem({ headMixing: { of: "logits" } })).toBe("");
  expect(problem({ headMixing: { of: "logits", map: "quaternions" } })).toMatch(/does not mix the logits of 2 heads/);
  expect(problem({ headMixing: { of: "logits", map: "cayley", iterations: 3 } })).toMatch(/cayley does not iterate/);
  expect(problem({ headMixing: { of: "logits" }, width: 1024, heads: 8, kvHeads: 8 })).toMatch(/1024; they can be 512/);
  expect(problem({ headMixing: { of: "logits" }, width: 128, heads: 64, kvHeads: 1 })).toMatch(/at most 32/);
  expect(problem({ headMixing: { of: "keys" } })).toMatch(/headMixing.of/);
  expect(problem({ attention: { kind: "sinkhorn" } })).toMatch(/can only be the identity/);
  expect(problem({ keyValues: { connection: mhc }, valueResidual: true })).toMatch(/leave out one of the two/);
  const slack = { kind: "mhc", residualMap: "learned-slack" };
  expect(problem({ keyValues: { connection: slack } })).toMatch(/learned-slack/);
  for (const connection of [
    { kind: "mhc", collapse: "sum" },
    { kind: "hc", collapse: "mean" },
  ])
    expect(problem({ keyValues: { connection } })).toMatch(/collapse is .*do not join/);
  expect(problem({ keyValues: { connection: { kind: "hc", collapse: "sum" } } })).toBe("");
  const latent = { kind: "mla", rank: 7, rotarySize: 4, contentSize: 6, valueSize: 5 };
  expect(problem({ kvHeads: 2, attention: latent, headMixing: {} })).toBe(
    "headMixing: it does not go with latent attention",
  );
});
