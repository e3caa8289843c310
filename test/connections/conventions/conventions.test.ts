// Every convention, as a connection, against its own source's formulas written out here (float64), in the
// kernels against the reference, and in a model that trains.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Connection, State } from "../../../src/connections/connection.ts";
import {
  conventions,
  hcConventionNames,
  hcConventions,
  type MhcConventionName,
  mhcConventionNames,
} from "../../../src/connections/conventions/table.ts";
import { hc } from "../../../src/connections/hc.ts";
import { mhc } from "../../../src/connections/mhc.ts";
import type { MhcOptions } from "../../../src/connections/mhc-options.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { createParameters } from "../../../src/graph/parameters.ts";
import { input } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { scale, square, subtract, tanh } from "../../../src/ops/elementwise.ts";
import { mean } from "../../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../../src/training/initialise.ts";
import { runTiny, tinyConfig, tinyModel, tinyValues } from "../../model/tiny.ts";
import { normal, relativeError, uniform } from "../../ops/harness.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

type Matrix = number[][];
const add = (a: number) => (b: number) => a + b;
const total = (row: readonly number[]): number => row.reduce((a, b) => a + b, 0);
const flip = (m: Matrix): Matrix => m[0]!.map((_, j) => m.map((row) => row[j]!));
const rows = (m: Matrix, divisor: (sum: number) => number): Matrix =>
  m.map((row) => row.map((value) => value / divisor(total(row))));
const columns = (m: Matrix, divisor: (sum: number) => number): Matrix => flip(rows(flip(m), divisor));

/** comb = softmax(L, -1) + eps; comb /= comb.sum(-2) + eps; then 19 times rows, columns. */
function released(logits: Matrix): Matrix {
  const plus = add(1e-6);
  let comb = rows(
    logits.map((row) => row.map((value) => Math.exp(value - Math.max(...row)))),
    (sum) => sum,
  ).map((row) => row.map(plus));
  comb = columns(comb, plus);
  for (let t = 1; t < 20; t++) comb = columns(rows(comb, plus), plus);
  return comb;
}

/** Eq. 9. */
function equation9(logits: Matrix): Matrix {
  let m = logits.map((row) => row.map(Math.exp));
  for (let t = 0; t < 20; t++) m = rows(columns(m, add(0)), add(0));
  return m;
}

/** exp(L - row max), then rows and columns, sums clamped at 1e-6. */
function clamped(logits: Matrix): Matrix {
  const clamp = (sum: number): number => Math.max(sum, 1e-6);
  let m = logits.map((row) => row.map((value) => Math.exp(value - Math.max(...row))));
  for (let t = 0; t < 20; t++) m = columns(rows(m, clamp), clamp);
  return m;
}

/** What each source says: the norm's factor for the mean square of a token, the gates, the matrix that mixes. */
const sources: Record<
  MhcConventionName,
  { factor(square: number): number; readEpsilon: number; mixer(logits: Matrix): Matrix }
> = {
  paper: { factor: (m) => 1 / Math.sqrt(m), readEpsilon: 0, mixer: equation9 },
  "deepseek-v4": {
    factor: (m) => 1 / Math.sqrt(m + 1e-6),
    readEpsilon: 1e-6,
    mixer: (logits) => flip(released(logits)),
  },
  "deepseek-v4.1": { factor: (m) => 1 / Math.sqrt(m), readEpsilon: 1e-6, mixer: (logits) => flip(released(logits)) },
  liger: { factor: (m) => 1 / Math.sqrt(m + 1e-6), readEpsilon: 0, mixer: released },
  megatron: { factor: (m) => 1 / (Math.sqrt(m) + 1e-6), readEpsilon: 0, mixer: clamped },
};

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
const [TOKENS, CHANNELS] = [3, 5];

interface Token {
  readonly pre: number[];
  readonly post: number[];
  readonly res: Matrix;
}

/** One token's coefficients from its n streams. */
function coefficientsOf(
  name: MhcConventionName,
  streams: Matrix,
  { phi, alpha, bias }: Record<"phi" | "alpha" | "bias", ArrayLike<number>>,
): Token {
  const n = streams.length;
  const x = streams.flat();
  const factor = sources[name].factor(total(x.map((value) => value * value)) / x.length);
  const logits = Array.from(bias, (b, m) => {
    const p = total(x.map((value, k) => value * phi[m * x.length + k]!)) * factor;
    return alpha[Math.min(2, Math.floor(m / n))]! * p + b;
  });
  return {
    pre: logits.slice(0, n).map((value) => sigmoid(value) + sources[name].readEpsilon),
    post: logits.slice(n, 2 * n).map((value) => 2 * sigmoid(value)),
    res: sources[name].mixer(Array.from({ length: n }, (_, i) => logits.slice((i + 2) * n, (i + 3) * n))),
  };
}

const readWith = (weights: readonly number[], streams: Matrix): number[] =>
  streams[0]!.map((_, c) => total(weights.map((weight, j) => weight * streams[j]![c]!)));
const writeWith = ({ post, res }: Token, streams: Matrix, y: readonly number[]): Matrix =>
  post.map((weight, i) => y.map((value, c) => weight * value + readWith(res[i]!, streams)[c]!));

/** Three sublayers whose block is tanh, and the end. */
function built(connection: Connection) {
  const parameters = createParameters();
  const x_TC = input("x", [TOKENS, CHANNELS]);
  let state: State = connection.expand(x_TC);
  const coefficients: Tensor[] = [];
  for (let index = 0; index < 3; index++) {
    const result = connection
      .sublayer(parameters.under(String(index)), { channels: CHANNELS, index })
      .apply(state, tanh);
    state = result.state;
    coefficients.push(result.coefficients!);
  }
  const ending = connection.ending?.(parameters.under("ending"), { channels: CHANNELS }) ?? connection;
  const out = ending.collapse(state);
  return { parameters, x_TC, coefficients, out };
}

/** Values far enough from the start that everything shows, the same for every runtime. */
function valuesOf({ parameters, x_TC }: ReturnType<typeof built>): Map<Tensor, Float32Array> {
  const random = uniform(31);
  const values = new Map([[x_TC, Float32Array.from({ length: TOKENS * CHANNELS }, () => normal(random))]]);
  for (const parameter of parameters.all) {
    const noise = parameter.name.endsWith("alpha") ? 0.5 : 0.4;
    values.set(
      parameter.tensor,
      initialValues(parameter, 1).map((value) => value + noise * normal(random)),
    );
  }
  return values;
}

function run(runtime: SynchronousRuntime, stack: ReturnType<typeof built>): Record<string, TensorValues> {
  const found = gradients(
    mean(square(stack.out)),
    stack.parameters.all.map(({ tensor }) => tensor),
  );
  const outputs: Record<string, Tensor> = { out: stack.out };
  stack.coefficients.forEach((tensor, index) => (outputs[`coefficients ${index}`] = tensor));
  stack.parameters.all.forEach(({ name }, index) => (outputs[`gradient of ${name}`] = found[index]!));
  const program = runtime.compile({ outputs });
  for (const [tensor, values] of valuesOf(stack)) runtime.write(tensor, values);
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)]));
}

const cases: [string, MhcOptions & { convention: MhcConventionName }][] = mhcConventionNames.flatMap((convention) =>
  [1, 2, 3, 4, 8].map((streams): [string, MhcOptions & { convention: MhcConventionName }] => [
    `${convention}, ${streams} streams`,
    { convention, streams },
  ]),
);

describe.each(cases)("%s", (_name, options) => {
  const { convention, streams: n = 4 } = options;
  const stack = built(mhc(options));

  test("float64: what its source says, to 1e-12", () => {
    const values = valuesOf(stack);
    const named = (prefix: string) =>
      Object.fromEntries(
        stack.parameters.all
          .filter(({ name }) => name.startsWith(prefix))
          .map(({ name, tensor }) => [name.slice(prefix.length), values.get(tensor)!]),
      ) as Record<"phi" | "alpha" | "bias", Float32Array>;
    const x = values.get(stack.x_TC)!;
    const expected: number[] = [];
    for (let t = 0; t < TOKENS; t++) {
      let streams: Matrix = Array.from({ length: n }, () => Array.from(x.subarray(t * CHANNELS, (t + 1) * CHANNELS)));
      let carried: number[] = Array.from({ length: n }, (_, j) => (j === 0 ? 1 : 0));
      for (let index = 0; index < 3; index++) {
        const token = coefficientsOf(convention, streams, named(`${index}.`));
        const reading = convention === "deepseek-v4.1" ? carried : token.pre;
        streams = writeWith(token, streams, readWith(reading, streams).map(Math.tanh));
        carried = token.pre;
      }
      const flat = streams.flat();
      const head = named("ending.");
      const learned = (): number[] =>
        Array.from(head.bias, (b, j) => {
          const factor = sources[convention].factor(total(flat.map((value) => value * value)) / flat.length);
          const p = total(flat.map((value, k) => value * head.phi[j * flat.length + k]!)) * factor;
          return sigmoid(head.alpha[0]! * p + b) + sources[convention].readEpsilon;
        });
      const weights = {
        mean: () => streams.map(() => 1 / n),
        sum: () => streams.map(() => 1),
        learned,
        carried: () => carried,
      }[conventions[convention].ends[0]]();
      expected.push(...readWith(weights, streams));
    }
    expect(relativeError(run(createReferenceRuntime(), stack).out!, expected)).toBeLessThan(1e-12);
  });

  test("kernels: values to 1e-5, gradients to 1e-4", () => {
    const expected = run(createReferenceRuntime(), stack);
    const actual = run(wasm, stack);
    for (const [name, values] of Object.entries(expected)) {
      expect(relativeError(actual[name]!, values), name).toBeLessThan(name.startsWith("gradient") ? 1e-4 : 1e-5);
    }
  });

  test("gradients are those of finite differences", () => {
    const reference = createReferenceRuntime();
    const found = run(reference, stack);
    const loss = reference.compile({ outputs: { loss: mean(square(stack.out)) } });
    const values = valuesOf(stack);
    for (const { name, tensor } of stack.parameters.all) {
      const gradient = found[`gradient of ${name}`]!;
      const given = Float64Array.from(values.get(tensor)!);
      for (const i of [0, Math.floor(given.length / 2), given.length - 1]) {
        const at = (step: number): number => {
          reference.write(
            tensor,
            given.map((value, k) => (k === i ? value + step : value)),
          );
          loss.run();
          return loss.readNow("loss")[0]!;
        };
        const h = 1e-4;
        const difference = (8 * (at(h / 2) - at(-h / 2)) - (at(h) - at(-h))) / (6 * h);
        reference.write(tensor, given);
        expect(Math.abs(difference - gradient[i]!), `${name} at ${i}`).toBeLessThan(1e-7);
      }
    }
  });
});

describe("the end of the streams", () => {
  test("the paper leaves it open: also learned, which starts at the mean", () => {
    const [learned, mean] = (["learned", "mean"] as const).map((collapse) => {
      const stack = built(mhc({ collapse, streams: 3 }));
      const program = createReferenceRuntime();
      const compiled = program.compile({ outputs: { out: stack.out } });
      const random = uniform(2);
      program.write(
        stack.x_TC,
        Float64Array.from({ length: TOKENS * CHANNELS }, () => normal(random)),
      );
      for (const parameter of stack.parameters.all) program.write(parameter.tensor, initialValues(parameter, 1));
      compiled.run();
      return compiled.readNow("out");
    });
    expect(relativeError(learned!, mean!)).toBeLessThan(1e-3);
    expect(relativeError(learned!, mean!)).toBeGreaterThan(0);
  });
  test("what a convention does not have is refused", () => {
    expect(() => mhc({ convention: "deepseek-v4", collapse: "sum" })).toThrow(/ends with "learned"/);
    expect(() => mhc({ convention: "megatron", collapse: "learned" })).toThrow(/ends with "mean"/);
    expect(() => mhc({ collapse: "carried" })).toThrow(/"mean" or "sum" or "learned"/);
    expect(() => mhc({ convention: "liger", residualMap: "cayley" })).toThrow(/convention "paper"/);
  });
});

describe("HC", () => {
  const stackOf = (convention: (typeof hcConventionNames)[number]) => {
    const { dynamic, tanh } = hcConventions[convention];
    return built(hc({ dynamic, tanh, streams: 3 }));
  };
  test.each(hcConventionNames)("%s: kernels equal the reference, forward and gradients", (convention) => {
    const stack = stackOf(convention);
    const expected = run(createReferenceRuntime(), stack);
    const actual = run(wasm, stack);
    for (const [name, values] of Object.entries(expected)) {
      expect(relativeError(actual[name]!, values), name).toBeLessThan(name.startsWith("gradient") ? 1e-4 : 1e-5);
    }
  });
  test("static: the same coefficients for every token, and no other parameter than the bias", () => {
    const stack = stackOf("hc-static");
    expect(stack.parameters.all.map(({ name }) => name)).toEqual(["0.bias", "1.bias", "2.bias"]);
    const h = run(createReferenceRuntime(), stack)["coefficients 1"]!;
    expect(h.slice(15, 30)).toEqual(h.slice(0, 15));
  });
  test("dynamic: they depend on the token, and tanh matters", () => {
    const [bent, straight] = (["hc-dynamic", "hc-dynamic-no-tanh"] as const).map(
      (convention) => run(createReferenceRuntime(), stackOf(convention))["coefficients 1"]!,
    );
    expect(relativeError(bent!, straight!)).toBeGreaterThan(1e-3);
    expect(relativeError(bent!.slice(15, 30), bent!.slice(0, 15))).toBeGreaterThan(1e-3);
  });
});

test.each(mhcConventionNames)("a model trains: %s", (convention) => {
  const tiny = tinyModel(tinyConfig({ kind: "mhc", streams: 4, iterations: 20, convention }));
  const step = wasm.compile({
    outputs: { loss: tiny.loss },
    updates: tiny.parameters.all.map(
      ({ name, tensor }) => [tensor, subtract(tensor, scale(tiny.gradients[name]!, 0.3))] as const,
    ),
  });
  runTiny(wasm, tiny, { loss: tiny.loss });
  const losses = Array.from({ length: 20 }, () => {
    step.run();
    return step.readNow("loss")[0]!;
  });
  expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.05);
});

test.each(mhcConventionNames)("streams kept as bfloat16 change little: %s", (convention) => {
  const [exact, narrow] = (["float32", "bfloat16"] as const).map((streamPrecision) => {
    const connection = { kind: "mhc", streams: 4, iterations: 20, convention } as const;
    const tiny = tinyModel(tinyConfig({ ...connection, streamPrecision }));
    return runTiny(wasm, tiny, { logits: tiny.logits }, tinyValues(tiny, 0.1)).logits!;
  });
  expect(relativeError(narrow!, exact!)).toBeGreaterThan(0);
  expect(relativeError(narrow!, exact!)).toBeLessThan(0.02);
});

test("no convention named is the paper's, to the last bit", () => {
  const [unnamed, paper] = [{}, { convention: "paper" as const }].map((extra) => {
    const tiny = tinyModel(tinyConfig({ kind: "mhc", streams: 4, iterations: 20, collapse: "mean", ...extra }));
    return runTiny(wasm, tiny, { loss: tiny.loss, ...tiny.gradients }, tinyValues(tiny, 0.3));
  });
  expect(paper).toEqual(unnamed);
});
