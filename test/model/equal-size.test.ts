// Models with different connections come to the same number of parameters.

import { expect, test } from "vitest";
import { defaultConnection } from "../../src/connections/table.ts";
import { parameterCount } from "../../src/graph/parameters.ts";
import { equallySized } from "../../src/model/equal-size.ts";
import { modelParameters } from "../../src/model/language-model.ts";
import { tinyTraining } from "../training/tiny.ts";

test("the largest stays, and the others come within half a column of it", () => {
  const { model } = tinyTraining("residual");
  const models = (["residual", "hc", "mhc"] as const).map((kind) => ({
    ...model,
    connection: defaultConnection(kind),
  }));
  const counts = (some: typeof models): number[] => some.map((one) => parameterCount(modelParameters(one)));
  const before = counts(models);
  const made = equallySized(models);
  const after = counts(made as typeof models);
  const most = Math.max(...before);
  expect(Math.max(...before) / Math.min(...before)).toBeGreaterThan(1.2);
  for (const count of after) expect(Math.abs(count - most)).toBeLessThanOrEqual((3 * model.width * model.layers) / 2);
  expect(made[before.indexOf(most)]).toEqual(models[before.indexOf(most)]);
});
