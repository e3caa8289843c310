// Maps that learn something of the constraint keep a guarantee: bounds of the composite gains hold for products of any
// matrices of every map, what is learned changes what it should, and slack is penalised and falls away.

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ConnectionConfig, connectionSchema, createConnection } from "../../src/connections/table.ts";
import { MOST_FORGOTTEN } from "../../src/connections/manifolds/learned-marginals.ts";
import { learnedSlack } from "../../src/connections/manifolds/learned-slack.ts";
import { gainBound, type ResidualMap } from "../../src/connections/manifolds/residual-map.ts";
import { residualMapNames, residualMaps } from "../../src/connections/manifolds/table.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { input } from "../../src/graph/state.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { oneByOne } from "../collect.ts";
import { normal as gaussian, uniform } from "../ops/harness.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const n = 4;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** The matrices [n·n] of some tokens. */
function matricesOf(map: ResidualMap, logits: readonly (readonly number[])[]): number[][] {
  const runtime = createReferenceRuntime();
  const given = input("logits", [logits.length, map.size(n)]);
  const program = runtime.compile({ outputs: { h: map.project(given, n) } });
  runtime.write(given, logits.flat());
  program.run();
  const values = [...program.readNow("h")];
  return logits.map((_, token) => values.slice(token * n * n, (token + 1) * n * n));
}

const rowSums = (H: readonly number[]): number[] =>
  upTo(n).map((i) => upTo(n).reduce((total, j) => total + H[i * n + j]!, 0));
const columnSums = (H: readonly number[]): number[] =>
  upTo(n).map((j) => upTo(n).reduce((total, i) => total + H[i * n + j]!, 0));
const product = (A: readonly number[], B: readonly number[]): number[] =>
  upTo(n * n).map((at) =>
    upTo(n).reduce((total, k) => total + A[Math.floor(at / n) * n + k]! * B[k * n + (at % n)]!, 0),
  );
const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

const SUBLAYERS = 12;

describe.each(residualMapNames.filter((name) => residualMaps[name].size(n) > 0))("%s", (name) => {
  const map = residualMaps[name];
  test("the gains of every product of sublayers keep to its bound", () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 5, 20), fc.nat(2 ** 30), (scale, seed) => {
        const random = uniform(seed);
        const logits = upTo(SUBLAYERS).map(() => upTo(map.size(n)).map(() => scale * gaussian(random)));
        let P: number[] = upTo(n * n).map((at) => (at % (n + 1) === 0 ? 1 : 0));
        for (const [index, H] of matricesOf(map, logits).entries()) {
          P = product(H, P);
          const { forward, backward } = gainBound(map.guarantee, n, index + 1);
          expect(largest(rowSums(P))).toBeLessThanOrEqual(forward * (1 + 1e-9));
          expect(largest(columnSums(P))).toBeLessThanOrEqual(backward * (1 + 1e-9));
        }
      }),
      { numRuns: 15 },
    );
  });
});

test("the bounds are those that follow from what is guaranteed", () => {
  const of = (name: keyof typeof residualMaps, L = 60): number[] => {
    const { forward, backward } = gainBound(residualMaps[name].guarantee, n, L);
    return [forward, backward];
  };
  expect(of("permutations")).toEqual([1, 1]);
  expect(of("sinkhorn")).toEqual([1, 4]);
  expect(of("cayley")).toEqual([2, 2]);
  expect(of("unconstrained")).toEqual([Infinity, Infinity]);
  for (const name of ["learned-temperature", "learned-mixture", "learned-marginals"] as const)
    expect(of(name)).toEqual([1, 1]);
  expect(of("learned-slack", 16)).toEqual([expect.closeTo(Math.exp(0.5), 12), expect.closeTo(Math.exp(0.5), 12)]);
});

const normal = (size: number, scale = 2): number[] =>
  fc.sample(fc.array(fc.double({ min: -scale, max: scale, noNaN: true }), { minLength: size, maxLength: size }), {
    numRuns: 1,
    seed: 7,
  })[0]!;

describe("what is learned", () => {
  test("marginals are met exactly, and lie between 1 − δ and 1", () => {
    const map = residualMaps["learned-marginals"];
    const softmax = (values: readonly number[]): number[] => {
      const total = values.reduce((sum, value) => sum + Math.exp(value), 0);
      return values.map((value) => Math.exp(value) / total);
    };
    fc.assert(
      fc.property(fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 25, maxLength: 25 }), (logits) => {
        const [H] = matricesOf(map, [logits]);
        const mass = MOST_FORGOTTEN / (1 + Math.exp(-logits[24]!));
        const expected = (from: number): unknown[] =>
          softmax(logits.slice(from, from + n)).map((share) => expect.closeTo(1 - mass * share, 10));
        expect(rowSums(H!)).toEqual(expected(16));
        expect(columnSums(H!)).toEqual(expected(20));
        expect(Math.min(...rowSums(H!), ...columnSums(H!))).toBeGreaterThanOrEqual(1 - MOST_FORGOTTEN);
      }),
      { numRuns: 60 },
    );
  });

  test("a low temperature chooses a permutation, a high one nearly forgets the logits", () => {
    const map = residualMaps["learned-temperature"];
    const logits = [3, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0, 0, 0, 0, 0, 3];
    const [cold, usual, hot] = matricesOf(map, [
      [...logits, 9],
      [...logits, 0],
      [...logits, -9],
    ]);
    const exchange = [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    const distance = (H: readonly number[]): number => largest(H.map((value, at) => value - exchange[at]!));
    expect(distance(cold!)).toBeLessThan(1e-9);
    expect(distance(usual!)).toBeGreaterThan(0.05);
    expect(largest(hot!.map((value) => value - 1 / n))).toBeLessThan(0.12);
  });

  test("a mixture can become the identity, an exchange of streams, or mHC's own matrix", () => {
    const map = residualMaps["learned-mixture"];
    const logits = normal(16);
    const only = (index: number): number[] => [...logits, ...upTo(25).map((at) => (at === index ? 60 : 0))];
    const [own, same, swapped] = matricesOf(map, [only(0), only(1), only(2)]);
    const [exact] = matricesOf(residualMaps["birkhoff-newton"], [logits]);
    expect(own).toEqual(exact!.map((value) => expect.closeTo(value, 12)));
    expect(same!.map(Math.round)).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    // Lexicographic: after 0123 comes 0132.
    expect(swapped!.map(Math.round)).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0]);
  });

  test("slack is bounded by ε and by its share: with none left the matrix is doubly stochastic", () => {
    const map = learnedSlack(0.25);
    const [some, none, all] = [0.5, 0, 1].map((share) => matricesOf(map, [[...normal(24, 4), share]])[0]!);
    expect(largest(rowSums(none!).map((sum) => sum - 1))).toBeLessThan(1e-12);
    expect(largest(columnSums(none!).map((sum) => sum - 1))).toBeLessThan(1e-12);
    const off = (H: readonly number[]): number => largest([...rowSums(H), ...columnSums(H)].map(Math.log));
    expect(off(some!)).toBeGreaterThan(0.01);
    expect(off(all!)).toBeGreaterThan(off(some!));
    expect(off(all!)).toBeLessThanOrEqual(0.25);
  });
});

const slack = (options: object): ConnectionConfig =>
  connectionSchema.parse({ kind: "mhc", residualMap: "learned-slack", slack: 0.5, ...options });
const train = async (connection: ConnectionConfig, steps: number) => {
  const config = tinyTraining("mhc", { model: { connection }, steps: 6, optimizer: { learningRate: 5e-2 } });
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  const results = await oneByOne(upTo(steps), () => trainer.trainStep());
  const { model } = await trainer.save();
  const biases = model.filter(({ name }) => name.endsWith("connection.bias"));
  const departure = biases.map(({ data }) =>
    data.slice(-2 * n).reduce((sum, value) => sum + Math.tanh(value) ** 2 / (2 * n), 0),
  );
  const shares = model.filter(({ name }) => name.endsWith("connection.share")).map(({ data }) => data[0]!);
  return { losses: results.map(({ loss }) => loss), departure: Math.max(...departure), shares };
};

test("slack falls to zero in as many steps as it is told, and a penalty keeps it small", async () => {
  const free = await train(slack({}), 6);
  expect(free.departure).toBeGreaterThan(1e-3);
  expect(free.shares).toEqual([]);
  const penalised = await train(slack({ slackPenalty: 10 }), 6);
  expect(penalised.departure).toBeLessThan(free.departure / 2);
  // The penalty is minimised with the loss, and is no part of what is reported: the first step is the same.
  expect(penalised.losses[0]).toBe(free.losses[0]);
  const falling = await train(slack({ slackSteps: 4 }), 2);
  expect(falling.shares).toEqual(upTo(4).map(() => 0.5));
  expect((await train(slack({ slackSteps: 4 }), 5)).shares).toEqual([0, 0, 0, 0]);
}, 60_000);

test("what belongs to another map is refused", () => {
  expect(() => mhc({ slack: 0.1 })).toThrow(/slack is for residual map "learned-slack", got "sinkhorn"/);
  expect(() => mhc({ residualMap: "learned-slack", slack: 2 })).toThrow(/slack is 2; it must be above 0 and at most 1/);
  expect(() => mhc({ residualMap: "learned-slack", slackSteps: 0 })).toThrow(/slackSteps is 0/);
  expect(() => mhc({ residualMap: "learned-slack", slackPenalty: -1 })).toThrow(/slackPenalty is -1/);
  expect(() => createConnection({ kind: "mhc", streams: 6, iterations: 20, residualMap: "learned-mixture" })).toThrow(
    /learned-mixture.*up to 5 streams/,
  );
});
