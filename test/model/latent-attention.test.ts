// Latent attention: the graph against the formulas written out, whole and absorbed, and a model of it.

import { describe, expect, test } from "vitest";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { rotaryTable } from "../../src/ops/rotary-table.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { wholeSequences } from "../../src/model/attending.ts";
import { type LatentAttentionConfig, latentAttentionBlock } from "../../src/model/latent-attention.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";

const latent: LatentAttentionConfig = { kind: "mla", rank: 10, rotarySize: 4, contentSize: 6, valueSize: 7 };
const HEADS = 3;
const WIDTH = 16;
const LENGTH = 9;

function configWith(attention: LatentAttentionConfig): ModelConfig {
  return {
    ...tinySize,
    width: WIDTH,
    heads: HEADS,
    kvHeads: HEADS,
    ropeTheta: 100,
    normEpsilon: 1e-12,
    connection: defaultConnection("residual"),
    attention,
  };
}

type Matrix = Float64Array[];

const multiply = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => Float64Array.from(b[0]!, (_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)));
const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const normalised = (rows: Matrix, epsilon: number): Matrix =>
  rows.map((row) => row.map((x) => x / Math.sqrt(dot(row, row) / row.length + epsilon)));
const transposed = (a: Matrix): Matrix => Array.from(a[0]!, (_, j) => Float64Array.from(a, (row) => row[j]!));
const columns = (a: Matrix, from: number, count: number): Matrix => a.map((row) => row.slice(from, from + count));

/** Turn pairs (i, i + R/2) of a row by its position. */
function turn(row: Float64Array, position: number, theta: number): Float64Array {
  const half = row.length / 2;
  return row.map((x, c) => {
    const i = c % half;
    const angle = position * theta ** (-i / half);
    return x * Math.cos(angle) + (c < half ? -row[i + half]! : row[i]!) * Math.sin(angle);
  });
}

function softmaxRow(scores: number[]): number[] {
  const highest = Math.max(...scores);
  const exps = scores.map((score) => Math.exp(score - highest));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
}

/** The sublayer by hand. Absorbed, nothing but the latent and the rotated part of the key is looked at. */
function byHand(
  x: Matrix,
  weight: (name: string) => Matrix,
  { rank, queryRank, rotarySize: R, contentSize: K, valueSize: V }: LatentAttentionConfig,
  { ropeTheta, normEpsilon }: ModelConfig,
  absorbed: boolean,
): Matrix {
  const q = queryRank
    ? multiply(normalised(multiply(x, weight("queryDown")), normEpsilon), weight("queryUp"))
    : multiply(x, weight("query"));
  const down = multiply(x, weight("latentDown"));
  const memory = normalised(columns(down, 0, rank), normEpsilon);
  const turned = columns(down, rank, R).map((row, t) => turn(row, t, ropeTheta));
  const out = x.map(() => [] as number[]);
  for (let h = 0; h < HEADS; h++) {
    const keyUp = columns(weight("latentUp"), h * (K + V), K);
    const valueUp = columns(weight("latentUp"), h * (K + V) + K, V);
    const [keys, values] = [multiply(memory, keyUp), multiply(memory, valueUp)];
    const ofHead = columns(q, h * (R + K), R + K);
    for (let t = 0; t < x.length; t++) {
      const position = turn(ofHead[t]!.slice(0, R), t, ropeTheta);
      const content = ofHead[t]!.slice(R);
      const [asked] = multiply([content], transposed(keyUp)) as [Float64Array];
      const scores = Array.from(
        { length: t + 1 },
        (_, s) =>
          (dot(position, turned[s]!) + (absorbed ? dot(asked, memory[s]!) : dot(content, keys[s]!))) / Math.sqrt(R + K),
      );
      const p = softmaxRow(scores);
      const mix = (rows: Matrix): Float64Array =>
        rows[0]!.map((_, c) => p.reduce((sum, share, s) => sum + share * rows[s]![c]!, 0));
      out[t]!.push(...(absorbed ? multiply([mix(memory)], valueUp)[0]! : mix(values)));
    }
  }
  return multiply(
    out.map((row) => Float64Array.from(row)),
    weight("output"),
  );
}

describe.each([latent, { ...latent, queryRank: 5 }, { ...latent, contentSize: 2, valueSize: 12 }])("%o", (sizes) => {
  // Each form of the graph is held against the other form by hand, so that both are one function.
  test.each([false, true])("the sublayer is the formula, absorbed: %s", async (absorbed) => {
    const config = configWith(sizes);
    const parameters = createParameters();
    const block = latentAttentionBlock(parameters, { ...config, attention: sizes }, 0);
    const x = input("x", [LENGTH, WIDTH]);
    const angles = rotaryTable({ length: LENGTH, dimension: sizes.rotarySize, theta: config.ropeTheta });
    const attending = { ...wholeSequences, remembers: absorbed };
    const y = block(x, { batch: 1, length: LENGTH, angles, attending });
    const rows: Matrix = Array.from({ length: LENGTH }, (_, t) =>
      Float64Array.from({ length: WIDTH }, (_, c) => Math.sin(1 + 3 * t * t + 2.3 * c)),
    );
    // Twenty times the start, so that the attention is far from even.
    const started = parameters.all.map((parameter) => {
      const values = Float64Array.from(initialValues(parameter, 1), (v) => (parameter.role === "norm" ? v : 20 * v));
      return { ...parameter, values };
    });
    const weightOf = (name: string): Matrix => {
      const { tensor, values } = started.find((parameter) => parameter.name === name)!;
      const [count, size] = tensor.shape as [number, number];
      return Array.from({ length: count }, (_, i) => values.slice(i * size, (i + 1) * size));
    };
    const flat = (matrix: Matrix): number[] => matrix.flatMap((row) => [...row]);
    const expected = flat(byHand(rows, weightOf, sizes, config, !absorbed));

    const wasm = await createWasmRuntime({ threads: 2 });
    try {
      for (const [runtime, tolerance] of [
        [createReferenceRuntime(), 1e-12],
        [wasm, 1e-5],
      ] as const) {
        for (const { tensor, values } of started) runtime.write(tensor, values);
        runtime.write(x, flat(rows));
        const program = runtime.compile({ outputs: { y: reshape(y, [LENGTH * WIDTH]) } });
        program.run();
        expect(relativeError(program.readNow("y"), expected)).toBeLessThan(tolerance);
      }
    } finally {
      wasm.close();
    }
  });
});

test("a model with latent attention and a mixture of experts learns, on every connection of the comparison", async () => {
  const runtime = await createWasmRuntime({ threads: 2 });
  try {
    for (const kind of ["residual", "hc", "mhc"] as const) {
      const config = tinyTraining(kind, {
        steps: 60,
        model: {
          kvHeads: tinySize.heads,
          attention: { ...latent, queryRank: 6 },
          feedForward: { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 8, denseLayers: 1, balanceRate: 1e-3 },
        },
      });
      const trainer = createTrainer(runtime, config, tinyBatches(config));
      const first = (await trainer.trainStep()).loss;
      for (let step = 1; step < config.steps; step++) await trainer.trainStep();
      // Chance is ln 19 = 2.94; one token in eight cannot be foretold.
      expect((await trainer.evaluate()).loss, kind).toBeLessThan(first - 1);
    }
  } finally {
    runtime.close();
  }
});

test("latent attention that cannot be is refused with the reason", () => {
  const valid = { ...configWith(latent), attention: latent };
  expect(modelSchema.parse(valid).attention).toEqual(latent);
  expect(() => modelSchema.parse({ ...valid, attention: { ...latent, rotarySize: 3 } })).toThrow(
    /it must be even, for rotary embeddings/,
  );
  expect(() => modelSchema.parse({ ...valid, kvHeads: 1 })).toThrow(/it must equal heads/);
  expect(() => modelSchema.parse({ ...valid, valueResidual: true })).toThrow(/it does not go with latent attention/);
});
