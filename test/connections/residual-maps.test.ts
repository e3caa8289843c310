// The connection with any of the choices for H_res: composed and fused agree, degenerate tokens stay
// finite, configurations of older runs still read, and a model trains with each.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { composedCoefficients } from "../../src/connections/composed-coefficients.ts";
import { RES_DIAGONAL } from "../../src/connections/initialisation.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { type ResidualMapName, residualMapNames, residualMaps } from "../../src/connections/manifolds/table.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { modelSchema } from "../../src/model/config.ts";
import { modelConnection } from "../../src/model/overrides.ts";
import { ancestors, type Tensor } from "../../src/graph/tensor.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import type { OperationCase } from "../ops/case.ts";
import { buildCase, relativeError, runCase } from "../ops/harness.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";
import { collect, oneByOne } from "../collect.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

describe("the connection", () => {
  const [T, C, n] = [5, 6, 4];
  const P = 2 * n + n * n;
  const bias = [
    ...Array<number>(2 * n).fill(0),
    ...Array.from({ length: n * n }, (_, i) => (i % 5 === 0 ? RES_DIAGONAL : 0)),
  ];
  const shapes: OperationCase["inputs"] = {
    x: { shape: [T, n, C] },
    phi: { shape: [P, n * C] },
    alpha: { shape: [3] },
    bias: { shape: [P], values: (random, index) => bias[index]! + random() },
  };
  const run = (build: (inputs: Record<string, Tensor>) => Tensor): Record<string, ArrayLike<number>> =>
    runCase(createReferenceRuntime(), buildCase({ name: "", inputs: shapes, build }));

  test("composed from operations, Sinkhorn's coefficients and gradients are those of the fused operation", () => {
    const fused = run(({ x, phi, alpha, bias: b }) => manifoldCoefficients(x!, phi!, alpha!, b!));
    const composed = run(
      ({ x, phi, alpha, bias: b }) =>
        composedCoefficients(x!, { phi: phi!, alpha: alpha!, bias: b! }, residualMaps.sinkhorn).coefficients,
    );
    expect(Object.keys(composed)).toEqual([
      "output 0",
      "gradient of x",
      "gradient of phi",
      "gradient of alpha",
      "gradient of bias",
    ]);
    for (const [output, values] of Object.entries(fused))
      expect(relativeError(composed[output]!, values), output).toBeLessThan(1e-11);
  });

  test.each(residualMapNames.filter((name) => residualMaps[name].size(1) === 0))(
    "one stream with %s, which has nothing to choose, keeps the whole of it",
    (residualMap) => {
      const parameters = createParameters();
      const x = input("x", [3, 1, 8]);
      const { coefficients } = mhc({ streams: 1, residualMap })
        .sublayer(parameters, { channels: 8, index: 0 })
        .apply(x, (x_TC) => x_TC);
      const program = wasm.compile({ outputs: { h: coefficients! } });
      wasm.write(
        x,
        Array.from({ length: 24 }, (_, i) => i - 9),
      );
      program.run();
      expect([...program.readNow("h")].filter((_, at) => at % 3 === 2)).toEqual([1, 1, 1]);
      expect(parameters.all.map(({ tensor }) => tensor.shape)).toEqual([[2, 8], [3], [2]]);
    },
  );

  test.each(residualMapNames)("tokens of zeros stay finite with %s, forward and backward", (residualMap) => {
    const parameters = createParameters();
    const x = input("x", [3, 4, 8]);
    const { state, coefficients } = mhc({ residualMap })
      .sublayer(parameters, { channels: 8, index: 0 })
      .apply(x, (x_TC) => x_TC);
    const tensors = [x, ...parameters.all.map(({ tensor }) => tensor)];
    const found = gradients(sum(multiply(state, state)), tensors);
    const outputs = Object.fromEntries(
      [coefficients!, state, ...found].map((tensor, index) => [String(index), tensor]),
    );
    const program = wasm.compile({ outputs });
    for (const parameter of parameters.all) wasm.write(parameter.tensor, initialValues(parameter, 1));
    wasm.write(
      x,
      Array.from({ length: 96 }, (_, i) => (i < 64 ? 0 : i - 70)),
    );
    program.run();
    for (const name of Object.keys(outputs)) expect([...program.readNow(name)].every(Number.isFinite)).toBe(true);
  });

  test("leading axes stay", () => {
    const { coefficients: h } = composedCoefficients(
      input("x", [2, 5, 3, 4]),
      { phi: input("phi", [9, 12]), alpha: input("alpha", [3]), bias: input("bias", [9]) },
      residualMaps.circulant,
    );
    expect(h.shape).toEqual([2, 5, 15]);
  });

  test("Sinkhorn, the default, keeps its kernel", () => {
    const operations = (residualMap?: ResidualMapName): string => {
      const connection = mhc(residualMap ? { residualMap } : {});
      const { coefficients } = connection
        .sublayer(createParameters(), { channels: 8, index: 0 })
        .apply(input("x", [3, 4, 8]), (x_TC) => x_TC);
      return coefficients!.node.op.name;
    };
    expect(operations()).toBe("manifoldCoefficients");
    expect(operations("sinkhorn")).toBe("manifoldCoefficients");
    expect(operations("circulant")).toBe("concat");
  });

  test("Sinkhorn with the implicit gradient does as many iterations as it is told", () => {
    const { coefficients } = mhc({ residualMap: "sinkhorn-implicit", iterations: 7 })
      .sublayer(createParameters(), { channels: 8, index: 0 })
      .apply(input("x", [3, 4, 8]), (x_TC) => x_TC);
    const [node] = ancestors([coefficients!]).filter(({ op }) => op.name === "sinkhornImplicit");
    expect(node!.attributes).toEqual({ iterations: 7 });
  });
});

describe("configuration", () => {
  const size = { vocabulary: 9, context: 4, width: 8, layers: 1, heads: 1, kvHeads: 1, hidden: 8 };

  test("one without the field reads back as it was written, so that older runs resume", () => {
    const connection = { kind: "mhc", streams: 4, iterations: 20, collapse: "mean" };
    expect(JSON.stringify(modelSchema.parse({ ...size, connection }).connection)).toBe(JSON.stringify(connection));
    expect(defaultConnection("mhc")).not.toHaveProperty("residualMap");
  });
  test("the names of the table are allowed, others are not", () => {
    const parse = (residualMap: unknown) =>
      modelSchema.safeParse({ ...size, connection: { kind: "mhc", residualMap } });
    for (const name of residualMapNames) expect(parse(name).success).toBe(true);
    expect(parse("newton").success).toBe(false);
    expect(modelConnection(parse("identity").data!).form).toBe("4 streams");
  });
});

test.each(residualMapNames)("a model with %s trains", async (residualMap) => {
  const connection = { ...defaultConnection("mhc"), residualMap } as ReturnType<typeof defaultConnection>;
  const config = tinyTraining("mhc", { model: { connection }, steps: 3 });
  const trainer = createTrainer(wasm, config, tinyBatches(config));
  const results = await oneByOne([1, 2, 3], () => trainer.trainStep());
  for (const { loss } of results) expect(Number.isFinite(loss)).toBe(true);
  expect(Number.isFinite((await trainer.evaluate()).loss)).toBe(true);
  expect((await trainer.save()).model.filter(({ name }) => name.includes("constant"))).toEqual([]);
  expect(await collect(trainer.generate([1, 2], { maxTokens: 3, random: () => 0.5 }))).toHaveLength(3);
});
