// Question: what do the instruments show for a model that is not training?
//
// For a checkpoint of a run, they show its forward pass on a text. For a safetensors file in a known convention,
// whose network is unknown, they show its connections alone, each on the same random streams, standard normal.
// Values that depend on the streams' history (their cosine, activations) are then left out.
//
// The static maps of a file are those that the biases alone give, H(b) with α φ x⃗' left out: a few hundred bytes a
// sublayer, which are soon read of a model of any size, also of one on a hub. What the activations add is then unknown.

import { MOST_ITERATIONS, MOST_TOKENS } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";
import { expectFields } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { evaluateCoefficients } from "../connections/conventions/evaluate.ts";
import { type ConventionName, conventionNames } from "../connections/conventions/table.ts";
import { createParameters } from "../graph/parameters.ts";
import { isHubPlace } from "../files/hub-place.ts";
import type { ModelConfig } from "../model/config.ts";
import { languageModel } from "../model/language-model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type LintConnection, misfit } from "./lint-check.ts";
import type { Instruments } from "../stability/instruments.ts";
import { measureMixing, type ObservedMixing } from "../stability/measure.ts";
import type { Checkpoint } from "../runs/checkpoint.ts";
import { findFileConnections } from "./lint-file.ts";
import { createObserver } from "../training/observe.ts";
import { randomProbe } from "../interop/probes.ts";
import { restoreTensors } from "../training/restore.ts";

/**
 * Read the instruments of a checkpoint on a text; values that need a training step (gradients, updates) are absent.
 *
 * @param tokens ids; at least one, at most the model's context
 * @throws RangeError for another number of tokens, Error when a tensor of the model is missing
 */
export async function inspectCheckpoint(
  runtime: Runtime,
  config: ModelConfig,
  checkpoint: Pick<Checkpoint, "model">,
  tokens: ArrayLike<number>,
): Promise<Instruments> {
  if (tokens.length < 1 || tokens.length > config.context)
    throw new RangeError(`inspect: give 1 to ${config.context} tokens (the model's context), got ${tokens.length}.`);
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const observer = createObserver(runtime, model, tokens.length);
  try {
    return await observer.observe(tokens);
  } finally {
    observer.release();
    for (const { tensor } of parameters.all) runtime.forget(tensor);
  }
}

/** Facts that the file may not give. */
export interface InspectFileOptions {
  /** Default: what the file or its names say. */
  readonly convention?: ConventionName;
  /** Sinkhorn-Knopp iterations. Default 20. */
  readonly iterations?: number;
  /** Random tokens. Default 128. */
  readonly tokens?: number;
  /** Show the maps that the biases alone give, and read nothing else. Default: of a model on a hub. */
  readonly static?: boolean;
}

/** The connections of a file, as the instruments see them. */
export interface InspectedFile {
  readonly file: string;
  /** How many random tokens; 0: these are the static maps, of the biases alone. */
  readonly tokens: number;
  /** Values of the sublayers, in order of depth. */
  readonly names: readonly string[];
  readonly conventions: readonly ConventionName[];
  readonly instruments: Instruments;
  /** α of each sublayer (pre, post, res), with which the part that depends on activations enters; null where it has none. */
  readonly scales: readonly (readonly number[] | null)[];
  /** Why the file may be only a part of a checkpoint, as a clause; absent for a whole one. */
  readonly partOf?: string;
}

/**
 * Read the instruments of the connections in a safetensors file, on random streams or of the static maps. Sublayers are taken in the
 * order of the numbers in their names; products do not cross from one family of names (layers, mtp) to another.
 *
 * @param file a safetensors file, a folder with all files of a checkpoint, or a model on a hub, hf:owner/name[@revision],
 *   of which only the tensors of the connections are read
 * @throws Error when there are no connections of HC or mHC, or one does not fit the convention
 */
export function inspectFile(file: string, options: InspectFileOptions = {}): InspectedFile {
  expectFields("inspectFile", options, {
    convention: conventionNames,
    iterations: "number",
    tokens: "number",
    static: "flag",
  });
  const {
    iterations = 20,
    tokens: asked = 128,
    static: isStatic = isHubPlace(file) && options.tokens === undefined,
  } = options;
  // Without activations all tokens are alike.
  const tokens = isStatic ? 1 : asked;
  expectWhole("inspectFile", "iterations", iterations, 1, MOST_ITERATIONS);
  expectWhole("inspectFile", "tokens", tokens, 1, MOST_TOKENS);
  const order = new Intl.Collator("en", { numeric: true });
  const { sublayers: found, partOf } = findFileConnections(file, options.convention, isStatic);
  const sublayers = found.toSorted((a, b) => order.compare(a.name, b.name));
  if (sublayers.length === 0) {
    throw new Error(
      `${file} has no connections of HC or mHC: no tensor is named like layers.0.hc_attn_fn, layers.0.attn_hc.fn or layers.0.attention.connection.phi${
        partOf === undefined ? "" : `; ${partOf}: give the folder with all files`
      }`,
    );
  }
  const runs = new Map<string, number>();
  const observed = sublayers.map((connection, index): ObservedMixing => {
    const seen = observeConnection(connection, tokens, iterations, isStatic);
    const family = `${connection.name.replace(/\d.*$/, "")} ${seen.coefficients.length}`;
    if (!runs.has(family)) runs.set(family, index);
    return { index, run: runs.get(family)!, ...seen };
  });
  return {
    file,
    tokens: isStatic ? 0 : tokens,
    names: sublayers.map(({ name }) => name.replace(/\.connection$/, "")),
    conventions: sublayers.map(({ convention }) => convention),
    instruments: measureMixing(observed, observed.length, tokens),
    scales: sublayers.map(({ weights: { alpha } }) => (alpha ? Array.from(alpha.data) : null)),
    ...given({ partOf }),
  };
}

function observeConnection(
  connection: LintConnection,
  tokens: number,
  iterations: number,
  isStatic: boolean,
): Pick<ObservedMixing, "coefficients" | "logits"> {
  const { name, convention, weights } = connection;
  const problem = misfit(connection);
  if (problem !== undefined)
    throw new Error(
      `${name} does not fit the convention ${convention}: ${problem}. Name another with --convention, or look at it with: birkhoff lint`,
    );
  const n = Math.sqrt(weights.bias!.shape[0]! + 1) - 1;
  if (isStatic) {
    // One channel whose values are zero leaves the biases.
    const zeros = (rows: number, columns: number) => ({
      shape: [rows, columns],
      data: new Float32Array(rows * columns),
    });
    const silent = {
      ...weights,
      ...(weights.phi ? { phi: zeros(n * n + 2 * n, n) } : {}),
      ...(weights.theta ? { theta: zeros(n + 2, 1) } : {}),
    };
    const nothing = { tokens, streams: n, channels: 1, x: new Float64Array(tokens * n) };
    return evaluateCoefficients(convention, silent, nothing, iterations);
  }
  const channels = weights.phi ? weights.phi.shape[1]! / n : (weights.theta?.shape[1] ?? 1);
  const probe = randomProbe({ tokens, streams: n, channels });
  return evaluateCoefficients(convention, weights, probe, iterations);
}
