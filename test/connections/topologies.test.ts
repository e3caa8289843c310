// Every topology: gradients against finite differences, kernels against the reference, tokens that keep
// to themselves, and what each claims of its start.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attentionResiduals } from "../../src/connections/attention-residuals.ts";
import type { Connection, State } from "../../src/connections/connection.ts";
import { dense } from "../../src/connections/dense.ts";
import { frac } from "../../src/connections/frac.ts";
import { gatedResidual } from "../../src/connections/gated-residual.ts";
import { highway } from "../../src/connections/highway.ts";
import { hc } from "../../src/connections/hc.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { mixed } from "../../src/connections/mixed.ts";
import { residual } from "../../src/connections/residual.ts";
import { add } from "../../src/ops/elementwise.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters, type ParameterSet } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import type { ConnectionConfig } from "../../src/connections/table.ts";
import { modelSchema, parseConnection } from "../../src/model/config.ts";
import { multiply, tanh } from "../../src/ops/elementwise.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { sum } from "../../src/ops/reductions.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { expectCausal, runTiny, tinyConfig, tinyModel, tinyValues } from "../model/tiny.ts";
import { type BuiltCase, checkFiniteDifferences, normal, relativeError, runCase, uniform } from "../ops/harness.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

/** Each with n streams or fractions, or blocks of n sublayers, where it has any. */
const topologies: Readonly<Record<string, (n: number) => Connection>> = {
  highway: () => highway({ bias: -1 }),
  dense: () => dense(),
  frac: (n) => frac({ fractions: n }),
  "frac, static": (n) => frac({ fractions: n, dynamic: false }),
  "attention residuals": (n) => attentionResiduals({ blockSize: n }),
  "gated residual": (n) => gatedResidual({ streams: n, rank: 3 }),
  "hc, static": (n) => hc({ streams: n, dynamic: false }),
  "hc without tanh": (n) => hc({ streams: n, tanh: false }),
  mixed: (n) => mixed([mhc({ streams: n }), gatedResidual({ streams: n, rank: 2 }), attentionResiduals(), residual()]),
};

const DEPTH = 4;

interface Stack {
  readonly x_TC: Tensor;
  readonly y_TC: Tensor;
  readonly parameters: ParameterSet;
}

/** Sublayers tanh(RMSNorm(u) W) joined by a connection. */
function stack(connection: Connection, tokens: number, channels: number): Stack {
  const parameters = createParameters();
  const x_TC = input("x", [tokens, channels]);
  const ones = parameters.create("ones", [channels], { constant: 1 }, "norm");
  let state: State = connection.expand(x_TC);
  for (let index = 0; index < DEPTH; index++) {
    const own = parameters.under(String(index));
    const weight_CC = own.create("weight", [channels, channels], { normal: 0.5 }, "weight");
    const sublayer = connection.sublayer(own.under("connection"), { channels, index });
    state = sublayer.apply(state, (u_TC) => tanh(matmul(rmsNorm(u_TC, ones), weight_CC))).state;
  }
  const ending = connection.ending?.(parameters.under("ending"), { channels }) ?? connection;
  return { x_TC, y_TC: ending.collapse(state), parameters };
}

/** A stack with all its parameters moved away from their start, as a case of the operations' harness. */
function caseOf({ x_TC, y_TC, parameters }: Stack): BuiltCase {
  const random = uniform(3);
  const draw = (tensor: Tensor, values?: Float32Array): Float64Array =>
    Float64Array.from({ length: sizeOf(tensor.shape) }, (_, i) =>
      Math.fround(values ? values[i]! + 0.3 * normal(random) : normal(random)),
    );
  const inputs = new Map([[x_TC, draw(x_TC)]]);
  for (const parameter of parameters.all)
    inputs.set(parameter.tensor, draw(parameter.tensor, initialValues(parameter, 1)));
  const cotangent = input("cotangent", y_TC.shape);
  const differentiable = [...inputs.keys()];
  inputs.set(cotangent, draw(cotangent));
  const loss = sum(multiply(y_TC, cotangent));
  const found = gradients(loss, differentiable);
  const names = ["x", ...parameters.all.map(({ name }) => name)];
  return {
    inputs,
    differentiable,
    loss,
    outputs: { y: y_TC, ...Object.fromEntries(names.map((name, i) => [`gradient of ${name}`, found[i]!])) },
  };
}

describe.each(Object.entries(topologies))("%s", (_name, create) => {
  test.each([1, 2, 3, 4, 8])("n = %i: gradients are those of finite differences", (n) => {
    checkFiniteDifferences(caseOf(stack(create(n), 2, 24)));
  });

  test.each([
    [1, 1, 5],
    [2, 7, 10],
    [3, 50, 9],
    [4, 1, 12],
    [4, 97, 20],
    [8, 5, 24],
  ])("n = %i, %i tokens, %i channels: the kernels agree with the reference", (n, tokens, channels) => {
    const built = caseOf(stack(create(n), tokens, channels));
    const expected = runCase(createReferenceRuntime(), built);
    const actual = runCase(wasm, built);
    for (const [name, values] of Object.entries(expected))
      expect(relativeError(actual[name]!, values), name).toBeLessThan(name === "y" ? 2e-5 : 1e-4);
  });

  test("what a token becomes depends on no other token", () => {
    const [tokens, channels] = [9, 24];
    const built = caseOf(stack(create(3), tokens, channels));
    const [x] = built.inputs.keys() as Iterable<Tensor> as [Tensor];
    const before = runCase(wasm, built).y!;
    built.inputs.get(x)!.fill(7, 4 * channels, 5 * channels);
    const after = runCase(wasm, built).y!;
    const changed = Array.from({ length: tokens }, (_, t) =>
      Array.from({ length: channels }, (_unused, c) => t * channels + c).some((i) => before[i] !== after[i]),
    );
    expect(changed).toEqual(Array.from({ length: tokens }, (_, t) => t === 4));
  });

  test("tokens of zeros stay finite, forward and backward", () => {
    const built = caseOf(stack(create(2), 3, 8));
    const [x] = built.inputs.keys() as Iterable<Tensor> as [Tensor];
    built.inputs.get(x)!.fill(0);
    for (const [name, values] of Object.entries(runCase(wasm, built)))
      expect([...values].every(Number.isFinite), name).toBe(true);
  });
});

/** Logits of a model at its start, or with changed parameters, with the default epsilon of the norms. */
function logits(
  runtime: SynchronousRuntime,
  connection: ConnectionConfig,
  change: (name: string, values: Float32Array) => Float32Array = (_, values) => values,
  sizes: { layers?: number; valueResidual?: boolean } = {},
): ArrayLike<number> {
  const { normEpsilon: _, ...config } = tinyConfig(connection, { layers: 3, ...sizes });
  const tiny = tinyModel(modelSchema.parse(config));
  const values = new Map([...tinyValues(tiny)].map(([name, array]) => [name, change(name, array)]));
  return runTiny(runtime, tiny, { logits: tiny.logits }, values).logits!;
}

describe("at the start", () => {
  const same: readonly (readonly [name: string, config: object])[] = [
    ["dense", { kind: "dense" }],
    ...[1, 2, 4, 8].flatMap((fractions) =>
      [true, false].map(
        (dynamic) =>
          [
            `frac, ${fractions} fractions, ${dynamic ? "dynamic" : "static"}`,
            { kind: "frac", fractions, dynamic },
          ] as const,
      ),
    ),
    ...[1, 2, 3, 6].map(
      (blockSize) =>
        [`attention residuals, blocks of ${blockSize}`, { kind: "attention-residuals", blockSize }] as const,
    ),
    ["hc, static", { kind: "hc", dynamic: false }],
    ["hc without tanh", { kind: "hc", tanh: false }],
  ];
  test.each(same)("%s equals the residual model of the same seed", (_name, config) => {
    for (const [runtime, tolerance] of [
      [createReferenceRuntime(), 1e-12],
      [wasm, 2e-6],
    ] as const)
      expect(
        relativeError(logits(runtime, parseConnection(config)), logits(runtime, { kind: "residual" })),
      ).toBeLessThan(tolerance);
  });

  test("the gated residual equals it without its random injection, and lies within 2 % with it", () => {
    const reference = createReferenceRuntime();
    const plain = logits(reference, { kind: "residual" });
    for (const streams of [1, 2, 4]) {
      const config = parseConnection({ kind: "gated-residual", streams });
      const still = logits(reference, config, (name, values) => (name.endsWith("inject") ? values.fill(0) : values));
      expect(relativeError(still, plain)).toBeLessThan(1e-12);
      const difference = relativeError(logits(reference, config), plain);
      expect(difference).toBeGreaterThan(1e-6);
      expect(difference).toBeLessThan(0.02);
    }
  });

  test("highway is 0.881 x + 0.119 F(x) in every sublayer", () => {
    const [tokens, channels] = [3, 6];
    const parameters = createParameters();
    const x = input("x", [tokens, channels]);
    const sublayer = highway().sublayer(parameters, { channels, index: 0 });
    const { state } = sublayer.apply(x, (u) => tanh(u));
    const program = wasm.compile({ outputs: { state } });
    for (const parameter of parameters.all) wasm.write(parameter.tensor, initialValues(parameter, 1));
    const values = Array.from({ length: tokens * channels }, (_, i) => Math.sin(i));
    wasm.write(x, values);
    program.run();
    const gate = 1 / (1 + Math.exp(2));
    expect(gate).toBeCloseTo(0.119, 3);
    const expected = values.map((value) => (1 - gate) * value + gate * Math.tanh(value));
    expect(relativeError(program.readNow("state"), expected)).toBeLessThan(1e-6);
  });

  test("a value residual of shares 0 and 1 is none; the shares of the start differ from it", () => {
    const reference = createReferenceRuntime();
    const plain = logits(reference, { kind: "residual" });
    const valueResidual = { valueResidual: true };
    const none = logits(
      reference,
      { kind: "residual" },
      (name, values) => (name.endsWith("valueShares") ? Float32Array.of(0, 1) : values),
      valueResidual,
    );
    expect(relativeError(none, plain)).toBe(0);
    expect(relativeError(logits(reference, { kind: "residual" }, undefined, valueResidual), plain)).toBeGreaterThan(
      1e-4,
    );
  });
});

test("a sublayer of attention residuals reads what the formula says", () => {
  const [T, C] = [2, 3];
  const parameters = createParameters();
  const x = input("x", [T, C]);
  const connection = attentionResiduals();
  const first = connection.sublayer(parameters.under("0"), { channels: C, index: 0 });
  const second = connection.sublayer(parameters.under("1"), { channels: C, index: 1 });
  let read: Tensor | undefined;
  const after = first.apply(connection.expand(x), (h) => add(h, h)).state;
  second.apply(after, (h) => (read = h));
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs: { read: read! } });
  const [query, values] = [
    [0.5, -1, 2],
    [1, 2, -1, 0.5, 0, 3],
  ];
  runtime.write(parameters.all[0]!.tensor, query);
  runtime.write(x, values);
  program.run();
  const expected = [0, 1].flatMap((t) => {
    const s0 = values.slice(t * C, t * C + C);
    const sources = [s0, s0.map((value) => 2 * value)];
    const weights = sources.map((s) => {
      const rms = Math.sqrt(s.reduce((total, value) => total + value * value, 0) / C);
      return Math.exp(s.reduce((total, value, c) => total + (query[c]! * value) / rms, 0));
    });
    const total = weights.reduce((a, b) => a + b);
    return s0.map((_, c) => sources.reduce((result, s, i) => result + (weights[i]! / total) * s[c]!, 0));
  });
  expect(relativeError(program.readNow("read"), expected)).toBeLessThan(1e-12);
});

test("what a model says of a token depends on no later one, with every connection", () => {
  const kinds = ["highway", "dense", "frac", "attention-residuals", "gated-residual"] as const;
  for (const kind of kinds) {
    const tiny = tinyModel(tinyConfig(kind, { valueResidual: true }));
    expectCausal(wasm, tiny, tinyValues(tiny, 0.1));
  }
});

test("options that cannot be are told of", () => {
  const parameters = createParameters();
  expect(() => frac({ fractions: 3 }).sublayer(parameters, { channels: 8, index: 0 })).toThrow(
    "frac: 8 channels cannot be split into 3 equal fractions; the number of fractions must divide them.",
  );
  expect(() => frac({ fractions: 0 })).toThrow("the number of fractions must be a whole number from 1 to 32, got 0");
  expect(() => attentionResiduals({ blockSize: 0 })).toThrow(
    "blockSize must be a whole number of sublayers, 1 or more",
  );
  expect(() => gatedResidual({ rank: 0.5 })).toThrow("the rank must be a whole number, 1 or more, got 0.5");
  expect(() => gatedResidual({ streams: 33 })).toThrow("from 1 to 32, got 33");
  expect(() => mixed([])).toThrow("give one for every sublayer");
  expect(() => mixed([residual()]).sublayer(parameters, { channels: 8, index: 1 })).toThrow(
    "there is no connection for sublayer 1; 1 were given",
  );
});
