// The planner's operations against those of real graphs, and against the usual rule of thumb.

import { describe, expect, test } from "vitest";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { ancestors, flopsOf } from "../../src/graph/tensor.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { countFlops } from "../../src/planning/flops.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { plannedModel } from "../../src/planning/presets.ts";

describe.each(["nano", "mini"] as const)("%s", (name) => {
  const model = plannedModel(name);
  if (model.known !== "shapes") throw new Error(`${name} has no shapes`);
  const size = { ...presets[name], vocabulary: model.vocabulary };
  const language = languageModel(
    modelSchema.parse({ ...size, connection: defaultConnection("mhc") }),
    createParameters(),
  );
  const tokens = input("tokens", [1, size.context], "i32");
  const nodes = ancestors([language.loss(language.hidden(tokens).hidden_NC, tokens)]);
  /** Of one token. */
  const real = (...operations: string[]): number =>
    nodes.filter(({ op }) => operations.includes(op.name)).reduce((sum, node) => sum + flopsOf(node), 0) / size.context;
  const { parts } = countFlops(model);

  test("products as in the graph", () => {
    expect(parts.head! + parts.attention! + parts.feedForward! + parts.router!).toBe(real("matmul"));
  });

  test("attention as in the graph", () => {
    expect(parts.attentionScores).toBe(real("attention"));
  });

  test("the connection as in the graph", () => {
    const operations = ["streamProjection", "manifoldCoefficients", "streamRead", "streamWrite"];
    for (const operation of operations) expect(real(operation), operation).toBeGreaterThan(0);
    expect(parts.connection).toBeCloseTo(real(...operations), 6);
  });
});

test("without attention a token costs two operations for each weight it uses", () => {
  const model = plannedModel("paper-27b");
  const { baseline, parts } = countFlops(model);
  const { active, parts: counted } = countParameters(model);
  const weights = active - counted.connection.active - counted.norms!.active;
  expect(baseline.forward - parts.attentionScores!).toBe(2 * weights);
});

test("of a model with published totals the blocks are one part", () => {
  const model = plannedModel("deepseek-v4-flash");
  const { parts, forward, training } = countFlops(model);
  expect(Object.keys(parts)).toEqual(["unspecified", "connection"]);
  expect(parts.unspecified! / (2 * 13e9)).toBeCloseTo(1, 2);
  expect(forward).toBe(parts.unspecified! + parts.connection);
  expect(training).toBe(3 * forward);
});
