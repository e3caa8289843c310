// What does not fit is refused before the text is read, unless a smaller vocabulary would fit; and what is trained in the end
// is looked at again where it is not what was asked for.

import { expect, test } from "vitest";
import { trainingRoom } from "../../src/cli/room.ts";
import { planMemoryNeed } from "../../src/planning/here/training-memory.ts";
import { largestSample } from "../../src/runs/write-sample.ts";
import { plannedMachine } from "../../src/runtime/machines.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { tinyTraining } from "../training/tiny.ts";

const machine = plannedMachine({ threads: 1 });
const withModel = (config: TrainingConfig, change: Partial<TrainingConfig["model"]>): TrainingConfig => ({
  ...config,
  model: { ...config.model, ...change },
});
const small = withModel(tinyTraining("residual"), { vocabulary: 300 });
const memory = planMemoryNeed({ configs: [small], sample: largestSample }, machine).machineBytes;
const room = (): ReturnType<typeof trainingRoom> =>
  trainingRoom({ machine, device: machine.device }, { memory }, { alone: "each one alone" });

test("a vocabulary that a text may make smaller is refused only once the text is there", () => {
  const large = withModel(small, { vocabulary: 100_000 });
  expect(() => room().before([large], true, true)).toThrow(RangeError);
  const unknown = room();
  unknown.before([large], true, false);
  unknown.after([small], true);
  expect(() => unknown.after([large], true)).toThrow(RangeError);
});

test("what fits with no vocabulary is refused at once", () => {
  expect(() => room().before([withModel(small, { hidden: 20_000 })], true, false)).toThrow(RangeError);
});

test("a model that was brought to the size of another is looked at again, though its vocabulary is the same", () => {
  const equal = room();
  equal.before([small], true, false);
  equal.after([small], true);
  expect(() => equal.after([withModel(small, { hidden: 20_000 })], true)).toThrow(RangeError);
});
