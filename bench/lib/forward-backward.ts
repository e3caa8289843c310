// Question: how is a program made of exactly the forward and backward pass of a whole model?
//
// A language model's loss and the gradient of every parameter are its outputs: no clipping, no AdamW.
// An output is not copied. Its buffer only lives to the end, as gradients do in training, where the norm of all
// gradients is needed before the first is used. So each side of a comparison does all the work of its gradients and no
// more.

import { createParameters } from "../../src/graph/parameters.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import type { ConnectionConfig } from "../../src/connections/table.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import type { WasmProgram, WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import type { Tensor } from "../../src/graph/tensor.ts";

/** The sizes of a model, without its connection. */
export type Size = Pick<ModelConfig, "width" | "layers" | "heads" | "context"> & { readonly batch: number };

const VOCABULARY = 512;

/** The models of each width: only as many layers as are needed to outweigh embedding and head. */
export const sizes: Readonly<Record<number, Size>> = {
  256: { width: 256, layers: 4, heads: 8, context: 256, batch: 8 },
  512: { width: 512, layers: 3, heads: 8, context: 256, batch: 8 },
  1280: { width: 1280, layers: 2, heads: 20, context: 256, batch: 4 },
};

/** Plain residuals, or a connection with the options of `modelSchema`; `others` are further fields of the model. */
export function modelConfig(
  { width, layers, heads, context }: Size,
  connection: object,
  others: object = {},
): ModelConfig {
  const hidden = (11 * width) / 4; // The same ratio as in the presets: 704 at 256.
  return modelSchema.parse({
    vocabulary: VOCABULARY,
    context,
    width,
    layers,
    heads,
    kvHeads: heads,
    hidden,
    connection: connection as ConnectionConfig,
    ...others,
  });
}

/**
 * Compiles the program, fills parameters and tokens, runs it once and checks every gradient.
 *
 * @throws Error when the loss or a gradient is not finite, or a gradient is all zeros
 */
export function forwardBackward(
  runtime: WasmRuntime,
  size: Size,
  connection: object,
  others: object = {},
): WasmProgram<Readonly<Record<string, Tensor>>> {
  const { batch, context } = size;
  const parameters = createParameters();
  const model = languageModel(modelConfig(size, connection, others), parameters);
  const tokens = input("tokens", [batch, context], "i32");
  const targets = input("targets", [batch, context], "i32");
  const loss = model.loss(model.hidden(tokens).hidden_NC, targets);
  const parameterGradients = gradients(
    loss,
    parameters.all.map(({ tensor }) => tensor),
  );
  const outputs = Object.fromEntries(parameters.all.map(({ name }, index) => [name, parameterGradients[index]!]));
  const program = runtime.compile<Readonly<Record<string, Tensor>>>({ outputs: { loss, ...outputs } });

  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const ids = pseudorandomTokens(batch * context + 1);
  runtime.write(tokens, ids.subarray(0, -1));
  runtime.write(targets, ids.subarray(1));
  program.run();
  for (const name of ["loss", ...Object.keys(outputs)]) {
    const values = program.readNow(name);
    if (!values.every(Number.isFinite) || !values.some((value) => value !== 0)) {
      throw new Error(`The ${name === "loss" ? name : `gradient of ${name}`} is not finite or all zeros.`);
    }
  }
  return program;
}

function pseudorandomTokens(count: number): Int32Array {
  let state = 1;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((VOCABULARY * state) / 2 ** 32);
  });
}
