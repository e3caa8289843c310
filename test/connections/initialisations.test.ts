// The starts of mHC: the default is what it always was, each exists for any number of streams, and the
// exact ones are exact.

import { describe, expect, test } from "vitest";
import { mhcBias } from "../../src/connections/initialisation.ts";
import { initialisationNames, initialisations, readersOf } from "../../src/connections/initialisations.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { residualMaps } from "../../src/connections/manifolds/table.ts";
import { createParameters, type Parameter } from "../../src/graph/parameters.ts";
import { createConnection, defaultConnection } from "../../src/connections/table.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { runTiny, tinyConfig, tinyModel } from "../model/tiny.ts";
import { relativeError } from "../ops/harness.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function parametersOf(options: Parameters<typeof mhc>[0], index = 0): Record<string, Parameter> {
  const parameters = createParameters();
  mhc(options).sublayer(parameters, { channels: 6, index });
  return Object.fromEntries(parameters.all.map((parameter) => [parameter.name, parameter]));
}

test("the default starts as before there was a choice, bit for bit", () => {
  for (const n of [1, 2, 3, 4, 8, 32]) {
    for (const index of [0, 1, 5]) {
      const { phi, alpha, bias } = parametersOf({ streams: n }, index);
      expect(bias!.initial).toEqual({ values: mhcBias(n, index) });
      expect(phi!.initial).toEqual({ normal: 0.02 });
      expect(alpha!.initial).toEqual({ constant: 0.01 });
      expect(parametersOf({ streams: n, initialisation: "default" }, index).bias!.initial).toEqual(bias!.initial);
    }
  }
  const cayley = residualMaps.cayley.bias(4);
  expect(parametersOf({ residualMap: "cayley" }, 3).bias!.initial).toEqual({ values: mhcBias(4, 3, cayley) });
});

describe.each(initialisationNames)("%s", (name) => {
  test("has finite logits for 1 to 32 streams", () => {
    for (let n = 1; n <= 32; n++) {
      for (const index of [0, 1, n + 2]) {
        const { read, write, res } = initialisations[name];
        const [pre, post, mixing] = [read(n, index), write(n, index), res(n)];
        expect([pre.length, post.length, mixing.length]).toEqual([n, n, n * n]);
        expect([...pre, ...post, ...mixing].every(Number.isFinite)).toBe(true);
      }
    }
  });
  test("a map with logits of its own keeps them", () => {
    const { bias } = parametersOf({ residualMap: "circulant", initialisation: name }, 1);
    const { read, write } = initialisations[name];
    expect(bias!.initial).toEqual({ values: [...read(4, 1), ...write(4, 1), ...residualMaps.circulant.bias(4)] });
  });
});

test("pre-norm reads shares that sum to one and writes weights of mean one, exactly where it counts", () => {
  const { read, write } = initialisations["pre-norm"];
  for (let n = 2; n <= 32; n++) {
    for (let index = 0; index < 5; index++) {
      const readers = readersOf(n);
      const pre = read(n, index).map(sigmoid);
      // As the model has them: the logits are rounded to float32.
      const post = write(n, index).map((logit) => 2 * sigmoid(Math.fround(logit)));
      expect(total(pre)).toBeCloseTo(1, 12);
      expect(new Set(read(n, index).slice(readers)).size).toBe(n > readers ? 1 : 0);
      expect(post.slice(0, readers)).toEqual(Array(readers).fill(1));
      expect(total(post) / n).toBeCloseTo(1, 15);
      expect(new Set(pre).size).toBeGreaterThan(1);
    }
  }
});

test("glorot's variance counts rows and columns", () => {
  expect(initialisations.megatron.phi(24, 96)).toEqual({ normal: Math.sqrt(2 / 120) });
});

test("a configuration names a start, and its absence is the default", () => {
  const initialOf = (initialisation?: "skyrl"): unknown => {
    const parameters = createParameters();
    const config = { ...defaultConnection("mhc"), ...(initialisation && { initialisation }) };
    createConnection(config).sublayer(parameters, { channels: 4, index: 0 });
    return parameters.all.map(({ initial }) => initial);
  };
  expect(initialOf("skyrl")).not.toEqual(initialOf());
  expect(initialOf()).toEqual(Object.values(parametersOf({})).map(({ initial }) => initial));
});

test.each(["pre-norm", "hyper-connections", "skyrl", "gpt2-equivalent"] as const)(
  "a language model that starts as %s is the residual model of the same seed",
  async (initialisation) => {
    const wasm = await createWasmRuntime({ threads: 1 });
    try {
      const logits = (connection: Parameters<typeof tinyConfig>[0]): ArrayLike<number> => {
        const tiny = tinyModel(tinyConfig(connection, { layers: 4 }));
        return runTiny(wasm, tiny, { logits: tiny.logits }).logits!;
      };
      const plain = logits("residual");
      for (const streams of [1, 2, 3, 4, 8]) {
        const config = { kind: "mhc", streams, iterations: 20, initialisation, collapse: "mean" } as const;
        expect(relativeError(logits(config), plain), `${streams} streams`).toBeLessThan(1e-5);
      }
    } finally {
      wasm.close();
    }
  },
);

test("random φ is drawn like any other parameter", () => {
  const parameters = createParameters();
  const connection = {
    kind: "mhc",
    streams: 4,
    iterations: 20,
    initialisation: "megatron",
    collapse: "mean",
  } as const;
  languageModel(tinyConfig(connection), parameters);
  const phi = parameters.all.find(({ name }) => name.endsWith("phi"))!;
  const values = initialValues(phi, 1);
  const deviation = Math.hypot(...values) / Math.sqrt(values.length);
  expect(deviation).toBeCloseTo(Math.sqrt(2 / (24 + 64)), 2);
});
