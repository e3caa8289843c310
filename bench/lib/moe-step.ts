// Question: which model and which steps do the benchmarks of the mixture of experts train?
//
// The model is small and has 16 experts, of which a token uses 4, and a shared one. Its dense counterpart does the same
// multiply-adds for a token: its feed-forward is as wide as the experts that a token uses. A step is forward, backward,
// clipping and AdamW. Every step has a new batch, so that the experts are as unevenly busy as in real training.
// `peers/mixture.py` draws the same batches.

import { writeFileSync } from "node:fs";
import { given } from "../../src/basics/given.ts";
import type { ParameterSet } from "../../src/graph/parameters.ts";
import type { MixtureConfig } from "../../src/model/mixture.ts";
import { stepConfig } from "../../src/planning/step-time.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { optimizerSchedule } from "../../src/training/optimizers/table.ts";
import { initialise, initialValues } from "../../src/training/initialise.ts";
import { makeStep, type MicroOutputs } from "../../src/training/step.ts";

const SIZE = { layers: 4, width: 256, heads: 8, kvHeads: 8, context: 256, vocabulary: 1024 };
const BATCH = 8;
/** Tokens of a step. */
export const STEP_TOKENS: number = BATCH * SIZE.context;

export const mixture: MixtureConfig = {
  kind: "moe",
  experts: 16,
  active: 4,
  shared: 1,
  hidden: 144,
  denseLayers: 0,
  balanceRate: 1e-3,
};

export interface Stepper {
  readonly parameters: ParameterSet;
  /** One training step on the next batch; returns its loss. */
  step(): number;
}

export type MoeConnection = "residual" | "mhc";

/** @param feedForward if absent, the model is dense */
export function createStepper(
  runtime: WasmRuntime,
  feedForward?: MixtureConfig,
  kind: MoeConnection = "residual",
): Stepper {
  const hidden = (mixture.active + mixture.shared) * mixture.hidden;
  const size = { ...SIZE, hidden, ...given({ feedForward }) };
  const config = stepConfig(size, { kind }, BATCH);
  const { parameters, graph } = makeStep(config);
  const program = runtime.compile<MicroOutputs>(graph.programs.micro);
  initialise(runtime, parameters, 1);
  let state = 1;
  // A few tokens are frequent and many are rare, as in a language.
  const token = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(SIZE.vocabulary * (state / 2 ** 32) ** 3);
  };
  let step = 0;
  return {
    parameters,
    step() {
      step++;
      runtime.write(graph.schedule, optimizerSchedule(config.optimizer.learningRate, step, config.optimizer));
      const ids = Int32Array.from({ length: BATCH * SIZE.context + 1 }, token);
      runtime.write(graph.tokens, ids.subarray(0, -1));
      runtime.write(graph.targets, ids.subarray(1));
      program.run();
      return program.readNow("loss")[0]!;
    },
  };
}

/** The model's sizes and first values for a program in another language: a line of JSON, then float32 numbers. */
export function writeModel(file: string, parameters: ParameterSet, connection: MoeConnection): void {
  const tensors = parameters.all.map(({ name, role, tensor }) => ({
    name,
    decayed: role === "weight",
    shape: tensor.shape,
  }));
  const { experts, active, balanceRate } = mixture;
  const head = JSON.stringify({ ...SIZE, connection, batch: BATCH, experts, active, balanceRate, tensors });
  const values = parameters.all.map((parameter) => {
    const numbers = Float32Array.from(initialValues(parameter, 1));
    return new Uint8Array(numbers.buffer);
  });
  writeFileSync(file, Buffer.concat([Buffer.from(`${head}\n`), ...values]));
}
