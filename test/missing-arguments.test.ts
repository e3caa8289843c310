// What does JavaScript without types get for what is missing or of another kind? The operation, what was given and what
// must be given, not a field of undefined.

import { expect, test } from "vitest";
import * as b from "../src/index.ts";
import * as models from "../src/models.ts";
import * as ops from "../src/ops.ts";
import * as runs from "../src/runs.ts";
import * as study from "../src/study.ts";
import * as training from "../src/training.ts";

const functions: Readonly<Record<string, unknown>> = {
  adamwUpdates: b.adamwUpdates,
  broadcast: ops.broadcast,
  broadcastLast: ops.broadcastLast,
  createGenerator: models.createGenerator,
  createTrainer: training.createTrainer,
  followRun: runs.followRun,
  gradients: b.gradients,
  headCrossEntropy: ops.headCrossEntropy,
  hyperCoefficients: ops.hyperCoefficients,
  initialise: b.initialise,
  intervene: study.intervene,
  languageModel: models.languageModel,
  manifoldCoefficients: ops.manifoldCoefficients,
  matmul: ops.matmul,
  measureRobustness: study.measureRobustness,
  negate: ops.negate,
  openRun: runs.openRun,
  parameterCount: b.parameterCount,
  reshape: ops.reshape,
  saveParameters: runs.saveParameters,
  scale: ops.scale,
  sinkhornImplicit: ops.sinkhornImplicit,
  sumLeading: ops.sumLeading,
  trainedParameters: ops.trainedParameters,
};

for (const [name, call] of Object.entries(functions))
  test.each([[[]], [[{}, {}]], [[null, 1]]])(`${name} of %j`, async (args) => {
    const made = async (): Promise<unknown> => (call as (...given: unknown[]) => unknown)(...args);
    await expect(made()).rejects.toThrow(/^\w+: .+ is .+; it must be .+\. Give /);
  });
