// The counts against every digit of the paper's Table 5, and against the parameters of models that exist.

import { describe, expect, test } from "vitest";
import { createParameters, parameterCount } from "../../src/graph/parameters.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { modelSchema, type Preset, presets } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { connectionParameters, countParameters, modelParts } from "../../src/planning/parameters.ts";
import { plannedModel, plannedModels, trainedTokens } from "../../src/planning/presets.ts";

/** As the table prints them. */
const table5 = [
  { name: "paper-3b", vocabulary: "331M", active: "612M", total: "2.97B", tokens: "39.3B" },
  { name: "paper-9b", vocabulary: "496M", active: "1.66B", total: "9.18B", tokens: "105B" },
  { name: "paper-27b", vocabulary: "662M", active: "4.14B", total: "27.0B", tokens: "262B" },
  { name: "paper-3b-1t", vocabulary: "331M", active: "612M", total: "2.97B", tokens: "1.05T" },
] as const;

/** Three digits, as in the table. */
function threeDigits(value: number): string {
  const [size, unit] = (
    [
      [1e12, "T"],
      [1e9, "B"],
      [1e6, "M"],
    ] as const
  ).find(([size]) => value >= size)!;
  return `${(value / size).toPrecision(3)}${unit}`;
}

describe.each(table5)("$name", ({ name, vocabulary, active, total, tokens }) => {
  const model = plannedModel(name);
  const count = countParameters(model);

  test("has the vocabulary, active and total parameters and the tokens of Table 5", () => {
    expect(threeDigits(count.parts.embedding!.total)).toBe(vocabulary);
    expect(threeDigits(count.active)).toBe(active);
    expect(threeDigits(count.total)).toBe(total);
    expect(threeDigits(trainedTokens(model)!)).toBe(tokens);
  });

  test("is the sum of its parts", () => {
    const parts = modelParts.map((part) => count.parts[part]!);
    expect(parts.reduce((sum, part) => sum + part.total, 0)).toBe(count.total);
    expect(count.connectionShare).toBe(count.parts.connection.total / count.total);
    for (const part of parts) expect(part.active).toBeLessThanOrEqual(part.total);
  });
});

test("a sublayer's connection has (n² + 2n)(nC + 1) + 3 parameters", () => {
  expect([1280, 1920, 2560].map((width) => connectionParameters(4, width))).toEqual([122_907, 184_347, 245_787]);
  const millions = (name: string): string =>
    (countParameters(plannedModel(name)).parts.connection.total / 1e6).toPrecision(4);
  expect(millions("paper-27b")).toBe("14.75");
  expect(Number(millions("deepseek-v4-flash"))).toBeCloseTo(33.8, 1);
  expect(Number(millions("deepseek-v4-pro"))).toBeCloseTo(84.0, 1);
});

test("of a model with published totals only the connection is counted", () => {
  const count = countParameters(plannedModel("deepseek-v4-pro"));
  expect(Object.keys(count.parts)).toEqual(["connection"]);
  expect([count.total, count.active]).toEqual([1.6e12, 49e9]);
});

test.each(Object.keys(presets) as Preset[])("%s: as many parameters as the model itself", (name) => {
  const model = plannedModel(name);
  if (model.known !== "shapes") throw new Error(`${name} has no shapes`);
  const count = countParameters(model);
  const real = (kind: "mhc" | "residual"): number => {
    const parameters = createParameters();
    languageModel(
      modelSchema.parse({ ...presets[name], vocabulary: model.vocabulary, connection: defaultConnection(kind) }),
      parameters,
    );
    return parameterCount(parameters);
  };
  expect(count.total).toBe(real("mhc"));
  expect(count.total - count.parts.connection.total).toBe(real("residual"));
});

describe("the sizes for one GPU, beside published ones", () => {
  const countOf = (name: Preset, vocabulary: number): number => {
    const model = modelSchema.parse({ ...presets[name], vocabulary, connection: defaultConnection("residual") });
    const parameters = createParameters();
    languageModel(model, parameters);
    return parameterCount(parameters);
  };

  // Weights and biases of every part of GPT-2 as OpenAI published it; F = 4 C.
  test.each([
    ["gpt2-small", 124_439_808],
    ["gpt2-medium", 354_823_168],
  ] as const)("%s has GPT-2's matrices, but for what its feed-forward is rounded by", (name, published) => {
    const { width, layers, context, hidden } = presets[name];
    const vocabulary = 50257;
    const positions = context * width;
    // Of queries, keys and values; the output; up; down; and both norms' shifts.
    const biases = layers * (3 * width + width + 4 * width + width + 2 * width) + width;
    const head = vocabulary * width;
    const rounding = layers * (3 * width * hidden - 8 * width * width);
    expect(countOf(name, vocabulary)).toBe(published - positions - biases + head + rounding);
    expect(rounding / published).toBeLessThan(0.005);
  });

  test("gpt2-small needs no rounding", () => {
    expect(3 * presets["gpt2-small"].hidden).toBe(8 * presets["gpt2-small"].width);
  });

  test("dense-1b is TinyLlama 1.1B to the last parameter", () => {
    expect(countOf("dense-1b", 32000)).toBe(1_100_048_384);
  });

  test("a token uses as many feed-forward columns of moe-small as of gpt2-small", () => {
    const { hidden, experts, active, shared } = presets["moe-small"].feedForward!;
    expect((active + shared) * hidden).toBe(presets["gpt2-small"].hidden);
    expect((experts + shared) * hidden).toBe(8 * presets["gpt2-small"].hidden);
    expect(presets["moe-small"].hidden).toBe(presets["gpt2-small"].hidden);
  });
});

test("a name that is none is refused with the names there are", () => {
  expect(() => plannedModel("paper-28b")).toThrow(/"paper-28b".*paper-27b.*deepseek-v4-flash.*nano/);
  expect(new Set(plannedModels.map(({ name }) => name)).size).toBe(plannedModels.length);
});
