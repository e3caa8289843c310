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

test("a step has a bounded number of sequences, and each excess is told of once", () => {
  const problemsOf = (changes: object): string[] => {
    try {
      parseTrainingConfig({ ...config, ...changes });
    } catch (error) {
      return (error as Error).message.split("\n").slice(1);
    }
    return [];
  };
  expect(problemsOf({ batch: 2 ** 10, accumulate: 2 ** 10 })).toEqual([]);
  expect(problemsOf({ batch: 2 ** 10, accumulate: 1025 })).toEqual([
    "  accumulate: 1025 batches of 1024 are 1049600 sequences a step; it must be at most 1048576: take fewer batches (--accumulate) or smaller ones (--batch)",
  ]);
  expect(problemsOf({ batch: 1e8 })).toEqual(["  batch: 100000000 is given; it must be at most 1048576"]);
  expect(problemsOf({ accumulate: 1e9 })).toEqual(["  accumulate: 1000000000 is given; it must be at most 1048576"]);
});

test("a field at the wrong place is told its path, and a rate below zero is told of once", () => {
  const message = (value: unknown): string => {
    try {
      parseTrainingConfig(value);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  expect(message({ ...config, lr: 1 })).toMatch(/Did you mean "optimizer\.learningRate"\?$/);
  expect(message({ ...config, learningRate: 1 })).toMatch(/Did you mean "optimizer\.learningRate"\?$/);
  expect(message({ ...config, layers: 3 })).toMatch(/Did you mean "model\.layers"\?$/);
  expect(message({ ...config, optimizer: { ...optimizer, learningRate: -1 } }).split("\n")).toEqual([
    "the configuration is not valid:",
    "  optimizer.learningRate: -1 is given; it must be at least 1.4e-45",
  ]);
});
