// Question: which model is small enough to be checked entry by entry?

import { expect } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters, type ParameterSet } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { type ConnectionConfig, type ConnectionKind, defaultConnection } from "../../src/connections/table.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { type LanguageModel, languageModel } from "../../src/model/language-model.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { normal, uniform } from "../ops/harness.ts";
import type { TensorValues } from "../../src/runtime/program.ts";

export const BATCH = 2;

/** Two layers with grouped queries; sizes that are no multiples of a kernel's tile. */
export function tinyConfig(
  connection: ConnectionKind | ConnectionConfig,
  changes: Partial<ModelConfig> = {},
): ModelConfig {
  return {
    vocabulary: 17,
    context: 6,
    width: 16,
    layers: 2,
    heads: 2,
    kvHeads: 1,
    hidden: 24,
    ropeTheta: 10000,
    normEpsilon: 1e-6,
    connection: typeof connection === "string" ? defaultConnection(connection) : connection,
    ...changes,
  };
}

export interface TinyModel {
  readonly config: ModelConfig;
  readonly parameters: ParameterSet;
  readonly model: LanguageModel;
  readonly tokens: Tensor;
  readonly targets: Tensor;
  readonly loss: Tensor;
  readonly logits: Tensor;
  /** By parameter name. */
  readonly gradients: Readonly<Record<string, Tensor>>;
}

export function tinyModel(config: ModelConfig): TinyModel {
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const tokens = input("tokens", [BATCH, config.context], "i32");
  const targets = input("targets", [BATCH, config.context], "i32");
  const { hidden_NC } = model.hidden(tokens);
  const loss = model.loss(hidden_NC, targets);
  const found = gradients(
    loss,
    parameters.all.map(({ tensor }) => tensor),
  );
  return {
    config,
    parameters,
    model,
    tokens,
    targets,
    loss,
    logits: model.logits(hidden_NC),
    gradients: Object.fromEntries(parameters.all.map(({ name }, index) => [name, found[index]!])),
  };
}

/** The same text for every model of the same sizes: ids in [0, vocabulary). */
export function tinyText({ context, vocabulary }: ModelConfig, seed = 7): { tokens: number[]; targets: number[] } {
  const random = uniform(seed);
  const draw = (): number[] => Array.from({ length: BATCH * context }, () => Math.floor(random() * vocabulary));
  return { tokens: draw(), targets: draw() };
}

/**
 * Initial values by name, so that models share those of equally named parameters; with `noise`, normal
 * numbers of that deviation are added to all but α, and no gradient is close to zero.
 */
export function tinyValues({ parameters }: TinyModel, noise = 0): ReadonlyMap<string, Float32Array> {
  const random = uniform(2024);
  return new Map(
    parameters.all.map((parameter) => {
      const values = initialValues(parameter, 1);
      return [
        parameter.name,
        parameter.name.endsWith("alpha") ? values : values.map((value) => value + noise * normal(random)),
      ];
    }),
  );
}

/** Write parameters and text, run once, read every output. */
export function runTiny(
  runtime: SynchronousRuntime,
  tiny: TinyModel,
  outputs: Readonly<Record<string, Tensor>>,
  values: ReadonlyMap<string, Float32Array> = tinyValues(tiny),
): Record<string, TensorValues> {
  const program = runtime.compile({ outputs });
  const text = tinyText(tiny.config);
  for (const { name, tensor } of tiny.parameters.all) runtime.write(tensor, values.get(name)!);
  runtime.write(tiny.tokens, text.tokens);
  runtime.write(tiny.targets, text.targets);
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)]));
}

/** A model whose parameters lie away from their start, by normal numbers, so that no coefficient hides a mistake. */
export function modelOn(
  runtime: SynchronousRuntime,
  config: ModelConfig,
  { seed, noise }: { readonly seed: number; readonly noise: number },
): LanguageModel {
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const random = uniform(seed);
  for (const parameter of parameters.all)
    runtime.write(
      parameter.tensor,
      initialValues(parameter, 1).map((value) => value + noise * normal(random)),
    );
  return model;
}

/** The scores after every token of a text, read at once without a cache: [length, V]. */
export function scoresOfWhole(runtime: SynchronousRuntime, model: LanguageModel, text: readonly number[]): number[] {
  const tokens = input("tokens", [1, text.length], "i32");
  const program = runtime.compile({ outputs: { logits: model.logits(model.hidden(tokens).hidden_NC) } });
  runtime.write(tokens, text);
  program.run();
  return [...program.readNow("logits")];
}

/** Expect that other tokens from position 4 on change all scores of the first text from there, and none before. */
export function expectCausal(
  runtime: SynchronousRuntime,
  tiny: TinyModel,
  values: ReadonlyMap<string, Float32Array>,
): void {
  const { context, vocabulary, connection } = tiny.config;
  const program = runtime.compile({ outputs: { logits: tiny.logits } });
  for (const { name, tensor } of tiny.parameters.all) runtime.write(tensor, values.get(name)!);
  const { tokens } = tinyText(tiny.config);
  const run = (text: readonly number[]): number[] => {
    runtime.write(tiny.tokens, text);
    program.run();
    return [...program.readNow("logits")];
  };
  const before = run(tokens);
  const after = run(tokens.map((token, i) => (i % context >= 4 ? (token + 1) % vocabulary : token)));
  for (let position = 0; position < context; position++) {
    const part = [position * vocabulary, (position + 1) * vocabulary] as const;
    const expected = expect(after.slice(...part), `${JSON.stringify(connection)}, position ${position}`);
    if (position < 4) expected.toEqual(before.slice(...part));
    else expected.not.toEqual(before.slice(...part));
  }
}
