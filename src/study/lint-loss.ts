// Question: with which orientation of its residual maps does a model predict better?
//
// Weights alone may not distinguish a map from its transpose, but text does. The loss is measured twice on the same
// batches: for the model as it is, and with the res rows of φ and of the bias transposed in every sublayer.
// Differences between texts then cancel, and the paired differences decide.

import { transposeRes } from "../connections/conventions/convert.ts";
import type { MhcConventionName } from "../connections/conventions/table.ts";
import { createBatches } from "../data/batches.ts";
import { openPrepared } from "../data/prepare.ts";
import { createParameters } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import { sizeOf } from "../graph/tensor.ts";
import type { ModelConfig } from "../model/config.ts";
import { isMixed } from "../model/overrides.ts";
import { languageModel } from "../model/language-model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { LintCheck } from "./lint-check.ts";
import type { TrainingConfig } from "../training/config.ts";
import { readSafetensors } from "../files/safetensors.ts";

const ROWS = 4;
/** The number of batches between two looks at the differences, and the largest number of looks. */
const BLOCK = 32;
const LOOKS = 8;
/** How many standard errors from zero the difference decides at; high enough to look several times. */
const DECIDES = 4;
/** The smallest share of the loss that decides: maps that hardly moved from a symmetric start say nothing. */
const LEAST_SHARE = 1e-5;

/**
 * Try a model's weights on its training text, which shows more than text that is new to it.
 *
 * @param file weights under this library's names
 * @param config of the run with this model and text; the prepared text must still exist
 * @param convention the convention of the weights
 * @returns undefined where the model mixes no streams by Sinkhorn-Knopp
 */
export async function lintLoss(
  runtime: Runtime,
  file: string,
  config: TrainingConfig,
  convention: MhcConventionName,
): Promise<LintCheck | undefined> {
  const { connection } = config.model;
  if (isMixed(connection) || connection.kind !== "mhc" || (connection.residualMap ?? "sinkhorn") !== "sinkhorn")
    return undefined;
  if ((connection.maps ?? "all") !== "all" || connection.active !== undefined) return undefined;
  if (!config.data.prepared) return undefined;
  const model: ModelConfig = { ...config.model, connection: { ...connection, convention } };
  const weights = readSafetensors(file).tensors;
  const asItIs: Lookup = (name) => weights.get(name)?.data;
  const flipped: Lookup = (name) => {
    const tensor = weights.get(name);
    return tensor && /connection\.(phi|bias)$/.test(name) ? transposeRes(tensor).data : tensor?.data;
  };
  const right: number[] = [],
    differences: number[] = [];
  let [mean, z] = [0, 0];
  for await (const [original, transposed] of pairedLosses(runtime, config, model, asItIs, flipped)) {
    right.push(...original);
    differences.push(...transposed.map((loss, index) => loss - original[index]!));
    mean = average(differences);
    const variance = average(differences.map((value) => (value - mean) ** 2));
    z = mean / Math.sqrt(variance / (differences.length - 1));
    if (Math.abs(z) > DECIDES) break;
  }
  const check = {
    name: "orientation by the loss",
    measured: `transposing every residual map changes the loss by ${mean >= 0 ? "+" : ""}${mean.toExponential(2)} nats a token (of ${average(right).toFixed(3)}), ${z.toFixed(1)} standard errors from zero over ${right.length} batches of the text it was trained on`,
    expected: "a higher loss",
    where: [],
  };
  if (!(Math.abs(z) > DECIDES)) return { ...check, verdict: "undecided" };
  if (!(Math.abs(mean) > LEAST_SHARE * average(right)))
    return { ...check, measured: `${check.measured}; too small a share of the loss to decide`, verdict: "undecided" };
  if (z > 0) return { ...check, verdict: "good" };
  return {
    ...check,
    verdict: "error",
    remedy:
      "The model computes better with the transposed maps: transpose the res rows of φ and the res part of the bias in every sublayer.",
  };
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

type Lookup = (name: string) => ArrayLike<number> | undefined;

/** The losses of a block of batches with two sets of weights, block by block. */
async function* pairedLosses(
  runtime: Runtime,
  { data, seed }: TrainingConfig,
  config: ModelConfig,
  ...sets: readonly [Lookup, Lookup]
): AsyncGenerator<readonly [number[], number[]]> {
  const { folder, text } = data.prepared!;
  const prepared = openPrepared(folder, { text });
  try {
    const { context } = config;
    const batches = createBatches({
      train: prepared.train,
      validation: prepared.validation,
      byteLengths: prepared.tokenizer.byteLengths,
      batchSize: ROWS,
      contextLength: context,
      seed,
    });
    const parameters = createParameters();
    const model = languageModel(config, parameters);
    const tokens = input("tokens", [ROWS, context], "i32"),
      targets = input("targets", [ROWS, context], "i32");
    const program = runtime.compile({ outputs: { loss: model.loss(model.hidden(tokens).hidden_NC, targets) } });
    const lossesWith = async (lookup: Lookup, block: number): Promise<number[]> => {
      for (const { name, tensor } of parameters.all) {
        const values = lookup(name);
        if (!values || values.length !== sizeOf(tensor.shape))
          throw new Error(
            `the weights have no "${name}" of shape [${tensor.shape.join(", ")}], which the run's model needs`,
          );
        runtime.write(tensor, Float32Array.from(values));
      }
      const losses: number[] = [];
      for (let index = 0; index < BLOCK; index++) {
        const batch = batches.trainingBatch(block * BLOCK + index);
        runtime.write(tokens, batch.tokens);
        runtime.write(targets, batch.targets);
        program.run();
        const [loss = NaN] = await program.read("loss");
        losses.push(loss);
      }
      return losses;
    };
    try {
      for (let block = 0; block < LOOKS; block++)
        yield [await lossesWith(sets[0], block), await lossesWith(sets[1], block)];
    } finally {
      program.release();
      for (const { tensor } of parameters.all) runtime.forget(tensor);
    }
  } finally {
    prepared.close();
  }
}
