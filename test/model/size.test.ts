// Question: does the formula count what the graph of a model holds?

import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/graph/tensor.ts";
import { type ModelConfig, type Preset, presets } from "../../src/model/config.ts";
import { modelParameters } from "../../src/model/language-model.ts";
import { leastParameters } from "../../src/model/size.ts";

const models: readonly (readonly [string, ModelConfig])[] = [
  ...(Object.keys(presets) as Preset[]).map((name) => [name, presets[name]] as const),
  [
    "a rank of the queries",
    { ...presets["moe-nano"], attention: { ...presets["moe-nano"].attention!, queryRank: 24 } },
  ],
  ["no shared experts", { ...presets["moe-nano"], feedForward: { ...presets["moe-nano"].feedForward!, shared: 0 } }],
  [
    "dense layers alone",
    { ...presets["moe-nano"], feedForward: { ...presets["moe-nano"].feedForward!, denseLayers: 4 } },
  ],
].map(([name, size]) => [
  name as string,
  { ...(size as ModelConfig), vocabulary: 300, ropeTheta: 1e4, normEpsilon: 1e-20, connection: { kind: "residual" } },
]);

describe("the least parameters of a model", () => {
  it.each(models)("are all of a residual one: %s", (_, model) => {
    const built = modelParameters(model).all.reduce((total, { tensor }) => total + sizeOf(tensor.shape), 0);
    expect(leastParameters(model)).toBe(built);
  });

  it("are fewer than those of a model with connections of its own", () => {
    const model: ModelConfig = { ...models[0]![1], connection: { kind: "mhc", streams: 4, iterations: 20 } };
    const built = modelParameters(model).all.reduce((total, { tensor }) => total + sizeOf(tensor.shape), 0);
    expect(leastParameters(model)).toBeLessThan(built);
  });
});
