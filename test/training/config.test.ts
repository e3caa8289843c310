// A configuration of an older version means what it meant; only its names are today's.

import { expect, test } from "vitest";
import { currentPath, parseTrainingConfig, withCurrentNames } from "../../src/training/config.ts";
import { tinyTraining } from "./tiny.ts";

const config = tinyTraining("residual", { optimizer: { clip: 0.5 } });
const { optimizer, ...rest } = config;

test("the optimizer's older spelling is read", () => {
  expect(parseTrainingConfig({ ...rest, optimiser: optimizer })).toEqual(config);
});
test("under both names it is refused", () => {
  expect(() => parseTrainingConfig({ ...config, optimiser: optimizer })).toThrow(/optimiser/);
});
test("a wrong field is named by today's name", () => {
  expect(() => parseTrainingConfig({ ...rest, optimiser: { ...optimizer, beta1: 2 } })).toThrow(
    /^ {2}optimizer\.beta1: 2 is given/m,
  );
});
test("only whole names are older ones, and what is no configuration stays as it is", () => {
  expect(["optimiser.clip", "optimizer.clip", "optimisers", "model.optimiser"].map(currentPath)).toEqual([
    "optimizer.clip",
    "optimizer.clip",
    "optimisers",
    "model.optimiser",
  ]);
  for (const value of [3, null, "optimiser", ["optimiser"]]) expect(withCurrentNames(value)).toBe(value);
});
