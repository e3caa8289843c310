// mHC that learns some of its maps: the others are a residual connection's, and one that learns none is a residual model.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mapSizes } from "../../src/connections/composed-coefficients.ts";
import { learnedMapNames, learnedMaps } from "../../src/connections/learned-maps.ts";
import { residualMaps } from "../../src/connections/manifolds/table.ts";
import { mhc } from "../../src/connections/mhc.ts";
import type { MhcOptions } from "../../src/connections/mhc-options.ts";
import { connectionSchema, type ConnectionConfig } from "../../src/connections/table.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { runTiny, tinyConfig, tinyModel, type TinyModel, tinyValues } from "../model/tiny.ts";
import { relativeError } from "../ops/harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const reference = createReferenceRuntime();
const n = 4;
const M = n * n + 2 * n;
const connectionOf = (options: object): ConnectionConfig => connectionSchema.parse({ kind: "mhc", ...options });
const modelOf = (options: object): TinyModel => tinyModel(tinyConfig(connectionOf(options)));
const shapes = ({ parameters }: TinyModel): string[] =>
  parameters.all
    .filter(({ name }) => name.startsWith("layers.0.attention.connection"))
    .map(({ part, tensor }) => `${part} ${tensor.shape.join()}`);

test.each([{}, { streams: 3 }, { streamPrecision: "bfloat16", streams: 1 }])(
  "a model that learns no map has no parameters for it, and %j computes the residual model and its gradients",
  (options) => {
    const none = modelOf({ ...options, maps: "none" });
    expect(shapes(none)).toEqual([]);
    const plain = tinyModel(tinyConfig("residual"));
    const outputs = (tiny: TinyModel) => ({ logits: tiny.logits, ...tiny.gradients });
    const expected = runTiny(reference, plain, outputs(plain));
    const actual = runTiny(reference, none, outputs(none));
    const bound = "streamPrecision" in options ? 0.02 : 1e-6;
    for (const [name, values] of Object.entries(expected))
      expect(relativeError(actual[name]!, values), name).toBeLessThan(bound);
  },
);

describe.each(learnedMapNames.filter((name) => name !== "all" && name !== "none"))("maps: %s", (maps) => {
  const which = learnedMaps(maps);
  test("what is not learned is a residual connection's, and what is learned varies by token", () => {
    const tiny = modelOf({ maps });
    const rows = (which.pre ? n : 0) + (which.post ? n : 0) + (which.res ? n * n : 0);
    expect(mapSizes({ streams: n, map: residualMaps.sinkhorn, maps: which }).rows).toBe(rows);
    const alpha = Object.values(which).filter(Boolean).length;
    expect(shapes(tiny)).toEqual([`phi ${rows},64`, `alpha ${alpha}`, `bias ${rows}`]);
    const { sublayers } = tiny.model.hidden(tiny.tokens);
    const { coefficients } = runTiny(reference, tiny, { coefficients: sublayers[2]!.coefficients! }, values(tiny));
    const tokens = Array.from({ length: coefficients!.length / M }, (_, t) => coefficients!.slice(t * M, (t + 1) * M));
    const residual = [...Array(n).fill(1 / n), ...Array(n).fill(1), ...Array(n * n).keys()].map((value, at) =>
      at < 2 * n ? (value as number) : Number(at % n === Math.floor((at - 2 * n) / n)),
    );
    const parts = { pre: [0, n], post: [n, 2 * n], res: [2 * n, M] } as const;
    for (const [map, [from, to]] of Object.entries(parts)) {
      const [first, second] = tokens.map((row) => Array.from(row.slice(from, to)));
      if (which[map as keyof typeof which]) expect(first).not.toEqual(second);
      else expect(first).toEqual(residual.slice(from, to));
    }
  });

  test.each([{}, { dynamic: "none" }, { streams: 2, collapse: "sum", dynamic: "sequence" }])(
    "kernels and reference agree, forward and backward, with %j",
    (options) => {
      const tiny = modelOf({ maps, ...options });
      const outputs = { loss: tiny.loss, ...tiny.gradients };
      const expected = runTiny(reference, tiny, outputs, values(tiny));
      const actual = runTiny(wasm, tiny, outputs, values(tiny));
      for (const [name, numbers] of Object.entries(expected))
        expect(relativeError(actual[name]!, numbers), name).toBeLessThan(2e-4);
    },
  );

  test("the gradient of every parameter of a connection is that of finite differences", () => {
    const tiny = modelOf({ maps });
    const own = values(tiny);
    const found = runTiny(reference, tiny, { loss: tiny.loss, ...tiny.gradients }, own);
    const lossWith = (name: string, at: number, by: number): number => {
      const changed = new Map<string, Float32Array>(own);
      changed.set(
        name,
        Float32Array.from(own.get(name)!, (value, index) => (index === at ? value + by : value)),
      );
      return runTiny(reference, tiny, { loss: tiny.loss }, changed).loss![0]!;
    };
    for (const part of ["phi", "alpha", "bias"]) {
      const name = `layers.1.attention.connection.${part}`;
      const at = part === "alpha" ? 0 : 1;
      // The values are float32; the steps are powers of two, and what is between them is what the values really are.
      const step = 2 ** -8;
      const slope = (lossWith(name, at, step) - lossWith(name, at, -step)) / (2 * step);
      expect(Math.abs(slope - found[name]![at]!), name).toBeLessThan(1e-5 + 1e-3 * Math.abs(slope));
    }
  });
});

/** Values away from the start, with α large enough that every token counts. */
function values(tiny: TinyModel): ReadonlyMap<string, Float32Array> {
  return new Map(
    [...tinyValues(tiny, 0.1)].map(([name, own]) => [name, name.endsWith("alpha") ? own.map(() => 0.75) : own]),
  );
}

test("options of what is not learned, and conventions that cannot do without, are refused", () => {
  const refused: readonly [MhcOptions, RegExp][] = [
    [{ maps: "pre", residualMap: "cayley" }, /maps is "pre", and residualMap would change nothing/],
    [{ maps: "none", dynamic: "none" }, /maps is "none", and dynamic would change nothing/],
    [{ maps: "none", initialisation: "zero" }, /initialisation would change nothing/],
    [{ maps: "res", residualMap: "identity" }, /residual map "identity" has nothing to learn/],
    [{ maps: "pre-post", convention: "deepseek-v4" }, /are for convention "paper"/],
    [{ maps: "none", convention: "deepseek-v4.1" }, /carries no coefficients/],
    [{ maps: "some" as "none" }, /maps.*pre-post/],
  ];
  for (const [options, message] of refused) expect(() => mhc(options)).toThrow(message);
});
