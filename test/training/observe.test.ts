// The whole of a small model's instruments, read while it trains, against float64 computations on the reference
// runtime by formulas of their own.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import type { ConnectionConfig } from "../../src/connections/table.ts";
import type { MixedConnectionConfig } from "../../src/model/overrides.ts";
import { parseConnection } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { Instruments } from "../../src/stability/instruments.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { type Changes, tinyBatches, tinyTraining } from "./tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const connection = (value: object): ConnectionConfig => parseConnection(value);
const mhc = (more: object = {}): ConnectionConfig => connection({ kind: "mhc", ...more });
const mixed: MixedConnectionConfig = {
  default: mhc({ streams: 2 }),
  overrides: [
    { layers: [0], connection: connection({ kind: "hc", streams: 3 }) },
    { layers: [1], role: "attention", connection: connection({ kind: "residual" }) },
  ],
};

const cases: Readonly<Record<string, Changes>> = {
  mhc: {},
  hc: { model: { connection: connection({ kind: "hc" }) } },
  residual: { model: { connection: connection({ kind: "residual" }) } },
  mixed: { model: { connection: mixed, layers: 3 } },
  "of one stream": { model: { connection: mhc({ streams: 1 }) } },
  "with streams in bfloat16": { model: { connection: mhc({ streams: 3, streamPrecision: "bfloat16" }) } },
  "with rotations": { model: { connection: mhc({ residualMap: "cayley" }) } },
  "without logits": { model: { connection: mhc({ residualMap: "identity" }) } },
  "as DeepSeek-V4": { model: { connection: mhc({ convention: "deepseek-v4" }) } },
  "in a single pass": { model: { connection: mhc({ convention: "deepseek-v4.1" }) } },
  "as Megatron": { model: { connection: mhc({ convention: "megatron" }) } },
  "with recomputation": { recompute: 2 },
  "with gradients accumulated": { accumulate: 3 },
  "gated, which mixes nothing": { model: { connection: connection({ kind: "gated-residual" }) } },
};

describe.each(Object.entries(cases))("%s", (_name, changes) => {
  test("instruments are those of the reference", async () => {
    const config = tinyTraining("mhc", changes);
    const batches = tinyBatches(config);
    const trainer = createTrainer(wasm, config, batches);
    for (let step = 0; step < 3; step++) await trainer.trainStep();
    const before = await trainer.save();
    const { instruments } = await trainer.trainStep({ instruments: true });
    const after = await trainer.save();

    // The same model in float64.
    const reference = createReferenceRuntime();
    const parameters = createParameters();
    const model = languageModel(config.model, parameters);
    const { context } = config.model;
    const values = new Map(before.model.map(({ name, data }) => [name, data]));
    for (const { name, tensor } of parameters.all) reference.write(tensor, values.get(name)!);
    const first = input("first", [1, context], "i32");
    const { sublayers } = model.hidden(first);
    const outputs: Record<string, Tensor> = {};
    for (const [index, { coefficients, streams, read_NC, result_NC }] of sublayers.entries()) {
      outputs[`read.${index}`] = read_NC;
      outputs[`result.${index}`] = result_NC;
      if (coefficients) outputs[`h.${index}`] = coefficients;
      if (streams) outputs[`x.${index}`] = streams;
    }
    const program = reference.compile({ outputs });
    reference.write(first, batches.trainingBatch(3, 0).tokens.slice(0, context));
    program.run();

    const mixing = sublayers.flatMap(({ coefficients }, index) => (coefficients ? [index] : []));
    const expected = plainInstruments(
      mixing.map((index) => program.readNow(`h.${index}`)),
      mixing.map((index) => program.readNow(`x.${index}`)),
      context,
    );
    const near = (actual: unknown, wanted: unknown, name: string, tolerance = 2e-4): void => {
      const [a, b] = [flat(actual), flat(wanted)];
      expect(a.length, name).toBe(b.length);
      for (const [k, value] of b.entries()) {
        if (value === null) expect(a[k], name).toBeNull();
        else
          expect(Math.abs(a[k]! - value), `${name} ${k}: ${a[k]} for ${value}`).toBeLessThan(
            tolerance * Math.max(1, Math.abs(value)),
          );
      }
    };
    for (const [name, value] of Object.entries(expected))
      near(instruments![name as keyof Instruments] ?? [], mixing.length > 0 ? value : [], name);
    near(
      instruments!.sublayers ?? sublayers.map((_, index) => index),
      mixing.length > 0 ? mixing : sublayers.map((_, index) => index),
      "sublayers",
    );
    near(
      instruments!.activation,
      sublayers.map((_, index) => rms(program.readNow(`read.${index}`))),
      "activation",
    );
    near(
      instruments!.blockOutput,
      sublayers.map((_, index) => rms(program.readNow(`result.${index}`))),
      "blockOutput",
    );

    // Gradients of the whole batch, all microbatches together.
    const tokens = input("tokens", [config.batch, context], "i32");
    const targets = input("targets", [config.batch, context], "i32");
    const found = gradients(
      model.loss(model.hidden(tokens).hidden_NC, targets),
      parameters.all.map(({ tensor }) => tensor),
    );
    const backward = reference.compile({
      outputs: Object.fromEntries(found.map((tensor, index) => [`${index}`, tensor])),
    });
    const sums = parameters.all.map(() => [] as number[]);
    for (let index = 0; index < config.accumulate; index++) {
      const batch = batches.trainingBatch(3, index);
      reference.write(tokens, batch.tokens);
      reference.write(targets, batch.targets);
      backward.run();
      for (const [at, sum] of sums.entries())
        backward.readNow(`${at}`).forEach((value, k) => (sum[k] = (sum[k] ?? 0) + value / config.accumulate));
    }
    const squares = (values: Iterable<number>): number => [...values].reduce((sum, value) => sum + value * value, 0);
    const normOf = (test: (name: string, role: string) => boolean): number =>
      Math.sqrt(
        parameters.all.reduce((sum, { name, role }, at) => sum + (test(name, role) ? squares(sums[at]!) : 0), 0),
      );
    near(
      instruments!.gradient,
      sublayers.map((_, index) =>
        normOf((name) => name.startsWith(`layers.${index >> 1}.${["attention", "feedForward"][index % 2]}.`)),
      ),
      "gradient",
    );
    expect(Object.keys(instruments!.groups!).sort()).toEqual(
      [...new Set(parameters.all.map(({ role }) => role as string))].sort(),
    );
    for (const [role, { gradient, weight, update }] of Object.entries(instruments!.groups!)) {
      near([gradient], [normOf((_, own) => own === role)], `gradient of ${role}`);
      const names = new Set(parameters.all.filter((each) => each.role === role).map(({ name }) => name));
      const [was, is] = [before, after].map(({ model: saved }) =>
        saved.filter(({ name }) => names.has(name)).flatMap(({ data }) => [...data]),
      ) as [number[], number[]];
      near([weight], [Math.sqrt(squares(was))], `weight of ${role}`, 1e-9);
      expect(update).toBeGreaterThan(0);
      near(
        [update],
        [Math.sqrt(squares(is.map((value, k) => value - was[k]!)) / squares(was))],
        `update of ${role}`,
        1e-9,
      );
    }
  });
});

test("logits are those the formula gives from the streams", async () => {
  const config = tinyTraining("mhc");
  const batches = tinyBatches(config);
  const trainer = createTrainer(wasm, config, batches);
  await trainer.trainStep();
  const saved = new Map((await trainer.save()).model.map(({ name, data }) => [name, data]));
  const { instruments } = await trainer.trainStep({ instruments: true });
  const reference = createReferenceRuntime();
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  for (const { name, tensor } of parameters.all) reference.write(tensor, saved.get(name)!);
  const first = input("first", [1, config.model.context], "i32");
  reference.write(first, batches.trainingBatch(1, 0).tokens.slice(0, config.model.context));
  const x = model.hidden(first).sublayers.map(({ streams }) => streams!);
  const program = reference.compile({ outputs: Object.fromEntries(x.map((tensor, index) => [`${index}`, tensor])) });
  program.run();
  for (const [index, { shape }] of x.entries()) {
    const prefix = `layers.${index >> 1}.${["attention", "feedForward"][index % 2]}.connection`;
    const [phi, alpha, bias] = ["phi", "alpha", "bias"].map((part) => saved.get(`${prefix}.${part}`)!);
    const [tokens, n, C] = shape as [number, number, number];
    const logits: number[] = [];
    for (let t = 0; t < tokens; t++) {
      const row = Float64Array.from(program.readNow(`${index}`)).subarray(t * n * C, (t + 1) * n * C);
      const root = rms(row);
      for (let m = 2 * n; m < n * n + 2 * n; m++) {
        const p = row.reduce((sum, value, k) => sum + (value / root) * phi![m * n * C + k]!, 0);
        logits.push(alpha![2]! * p + bias![m]!);
      }
    }
    expect(instruments!.smallestLogit![index]).toBeCloseTo(Math.min(...logits), 4);
    expect(instruments!.largestLogit![index]).toBeCloseTo(Math.max(...logits), 4);
  }
});

test("which maps have logits", async () => {
  const of = async (value: object): Promise<readonly (number | null)[]> => {
    const config = tinyTraining("mhc", { model: { connection: connection(value) } });
    return (await createTrainer(wasm, config, tinyBatches(config)).trainStep({ instruments: true })).instruments!
      .largestLogit!;
  };
  expect(await of({ kind: "hc" })).toEqual([null, null, null, null]);
  expect(await of({ kind: "mhc", residualMap: "identity" })).toEqual([null, null, null, null]);
  expect((await of({ kind: "mhc", residualMap: "permutations" })).every((logit) => logit !== null)).toBe(true);
  expect((await of({ kind: "mhc", convention: "deepseek-v4.1" })).every((logit) => logit !== null)).toBe(true);
});

function flat(value: unknown): (number | null)[] {
  if (typeof value === "number" || value === null) return [value];
  return Object.values(value as object).flatMap(flat);
}

function rms(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);
}

type Matrix = number[][];

/** From coefficients h [T, n² + 2n] and streams x [T, n, C] of each sublayer, by the formulas as they are written. */
function plainInstruments(h: readonly ArrayLike<number>[], x: readonly ArrayLike<number>[], tokens: number) {
  const streams = h.map(({ length }) => Math.round(Math.sqrt(length / tokens + 1) - 1));
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const H = (l: number, t: number): Matrix =>
    range(streams[l]!).map((i) =>
      range(streams[l]!).map((j) => h[l]![t * streams[l]! * (streams[l]! + 2) + (2 + i) * streams[l]! + j]!),
    );
  const times = (a: Matrix, b: Matrix): Matrix =>
    a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
  const average = (matrices: readonly Matrix[]): Matrix =>
    matrices[0]!.map((row, i) => row.map((_, j) => mean(matrices.map((matrix) => matrix[i]![j]!))));
  const rows = (m: Matrix): number[] => m.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = (m: Matrix): number[] => m[0]!.map((_, j) => m.reduce((sum, row) => sum + row[j]!, 0));
  const gain = (sums: number[]): number => Math.max(...sums.map(Math.abs));
  const T = range(tokens);
  // A run ends where the number of streams changes or a sublayer mixes nothing; here the former goes with the latter.
  const start = (l: number): number => (l > 0 && streams[l - 1] === streams[l] ? start(l - 1) : l);
  const end = (l: number): number => (l + 1 < h.length && streams[l + 1] === streams[l] ? end(l + 1) : l);
  const product = (from: number, to: number, t: number): Matrix =>
    from === to ? H(from, t) : times(H(to, t), product(from, to - 1, t));
  const L = range(h.length);
  const gram = (l: number): Matrix => {
    const n = streams[l]!;
    const C = x[l]!.length / tokens / n;
    return range(n).map((i) =>
      range(n).map((j) =>
        T.reduce(
          (sum, t) =>
            sum + range(C).reduce((dot, c) => dot + x[l]![(t * n + i) * C + c]! * x[l]![(t * n + j) * C + c]!, 0),
          0,
        ),
      ),
    );
  };
  const pairs = (n: number): [number, number][] =>
    range(n).flatMap((i) => range(n).flatMap((j): [number, number][] => (i === j ? [] : [[i, j]])));
  const means = L.map((l) => average(T.map((t) => H(l, t))));
  const forward = L.map((l) => average(T.map((t) => product(start(l), l, t))));
  const backward = L.map((l) => average(T.map((t) => product(l, end(l), t))));
  return {
    single: { forward: means.map((m) => gain(rows(m))), backward: means.map((m) => gain(columns(m))) },
    composite: { forward: forward.map((m) => gain(rows(m))), backward: backward.map((m) => gain(columns(m))) },
    mixing: means,
    product: forward,
    rowError: L.map((l) => Math.max(...T.flatMap((t) => rows(H(l, t)).map((sum) => Math.abs(sum - 1))))),
    columnError: L.map((l) => Math.max(...T.flatMap((t) => columns(H(l, t)).map((sum) => Math.abs(sum - 1))))),
    distance: L.map((l) =>
      mean(
        T.map((t) =>
          Math.hypot(
            ...product(start(l), l, t)
              .flat()
              .map((value) => value - 1 / streams[l]!),
          ),
        ),
      ),
    ),
    read: L.map((l) =>
      range(streams[l]!).map((j) => mean(T.map((t) => h[l]![t * streams[l]! * (streams[l]! + 2) + j]!))),
    ),
    write: L.map((l) =>
      range(streams[l]!).map((j) => mean(T.map((t) => h[l]![t * streams[l]! * (streams[l]! + 2) + streams[l]! + j]!))),
    ),
    streamCosine: L.map((l) => {
      const G = gram(l);
      return streams[l] === 1
        ? 1
        : mean(pairs(streams[l]!).map(([i, j]) => G[i]![j]! / Math.sqrt(G[i]![i]! * G[j]![j]!)));
    }),
    effectiveStreams: L.map((l) => {
      const G = gram(l);
      return G.reduce((sum, row, i) => sum + row[i]!, 0) ** 2 / G.flat().reduce((sum, value) => sum + value ** 2, 0);
    }),
    dominantShare: L.map((l) => {
      const lengths = gram(l).map((row, i) => row[i]!);
      return Math.max(...lengths) / lengths.reduce((a, b) => a + b, 0);
    }),
  };
}
