// Question: how do the tensors of a Hugging Face folder become the parameters of a model?
//
// The folder holds model.safetensors, or several such files and an index (files/shards.ts). Tensors are read one at a
// time, F16 and BF16 are widened to float32, and tensors.ts says where their numbers go. Every parameter must be
// complete, and every tensor must be used.

import { showMany } from "../../basics/show.ts";
import path from "node:path";
import { smallFilesOf } from "../../files/checkpoint-folder.ts";
import { reason } from "../../files/errors.ts";
import { type OpenShards, openShards } from "../../files/shards.ts";
import { createParameters } from "../../graph/parameters.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { languageModel } from "../../model/language-model.ts";
import type { SavedTensor } from "../../training/state.ts";
import { type ReadConfig, readHuggingFaceConfig } from "./config.ts";
import { shortName } from "../../files/safetensors-header.ts";
import type { ModelConfig } from "../../model/config.ts";
import { countTensors, huggingFaceTensors, scatterView } from "./tensors.ts";
import { readText } from "../../files/read.ts";

/** A model read from a folder; `notes` also says which tensors were left out. */
export interface HuggingFaceModel extends ReadConfig {
  /** This library's parameters, in its order. */
  readonly tensors: readonly SavedTensor[];
}

/** Tables that older files store and that every model computes itself. */
export const isMade = (name: string): boolean => name.endsWith(".rotary_emb.inv_freq");

/**
 * Read the model of a folder.
 *
 * @param context tokens of a sequence; default: max_position_embeddings
 * @throws Error that names the file and the field or tensor that is wrong, missing or unused
 */
export function readHuggingFaceModel(folder: string, context?: number): HuggingFaceModel {
  const file = path.join(smallFilesOf(folder), "config.json");
  const config = readHuggingFaceConfig(readJson(file), file, context);
  const store = openShards(folder);
  try {
    expectSizes(folder, config.model, store);
    return { ...config, ...readParameters(folder, config, store) };
  } finally {
    store.close();
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readText(file));
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON (${error.message})` : reason(error);
    throw new Error(`cannot read ${file}: ${why}. A folder to import holds config.json and safetensors`, {
      cause: error,
    });
  }
}

/**
 * Compares what config.json calls for, counted by formula, with what the files hold, before anything is built that grows
 * with a number of the file. A model that is only a little too large is left to `expectTensors`, which names the tensor.
 */
function expectSizes(folder: string, model: ModelConfig, store: OpenShards): void {
  const called = countTensors(model);
  const held = {
    tensors: store.tensors.length,
    numbers: store.tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  };
  const isFar = (key: keyof typeof held, least: number): boolean => !(called[key] <= Math.max(4 * held[key], least));
  if (!isFar("tensors", 4096) && !isFar("numbers", 1 << 22)) return;
  const say = ({ tensors, numbers }: typeof held): string =>
    `${showMany(tensors, "tensor")} with ${showMany(numbers, "number")}`;
  throw new Error(
    `${folder}: its config.json calls for ${say(called)} (num_hidden_layers ${model.layers}, vocab_size ${model.vocabulary}, hidden_size ${model.width}), and its files hold ${say(held)}: they belong to different models`,
  );
}

function readParameters(
  folder: string,
  { model, tied, interleaved, extraLayers, notes }: ReadConfig,
  store: OpenShards,
): Pick<HuggingFaceModel, "tensors" | "tied" | "notes"> {
  const parameters = createParameters();
  languageModel(model, parameters);
  const tensors = parameters.all.map(({ name, tensor: { shape } }) => ({ name, shape }));
  const ownHead = tied && hasOwnHead(store);
  const views = huggingFaceTensors(model, interleaved).map((view) =>
    tied && !ownHead && view.name === head ? { ...view, name: embedding } : view,
  );
  const left = expectTensors(folder, views, { tied, extraLayers, layers: model.layers }, store);
  const values = new Map(tensors.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))]));
  for (const view of views) {
    const { data, dtype } = store.read(view.name);
    if (!(data instanceof Float32Array)) {
      throw new Error(`${folder}: ${view.name} holds whole numbers (${dtype}); allowed: F32, F16, BF16`);
    }
    const at = data.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new Error(`${folder}: number ${at} of ${view.name} is ${data[at]}; a model needs finite ones`);
    scatterView(view, data, values.get(view.source)!);
  }
  return {
    tensors: tensors.map((tensor) => ({ ...tensor, data: values.get(tensor.name)! })),
    tied: tied && !ownHead,
    notes: [
      ...notes,
      ...(ownHead
        ? [`${head} was taken as it is: it differs from the embedding, although tie_word_embeddings is true.`]
        : []),
      ...(left.length === 0 ? [] : [leftOut(left, model.layers)]),
    ],
  };
}

const [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"];

/** Transformers ties an output matrix to the embedding only if the files have none, or the same one. */
function hasOwnHead(store: OpenShards): boolean {
  if (!store.find(head) || !store.find(embedding)) return false;
  const [own, shared] = [store.read(head).data, store.read(embedding).data];
  return own.length !== shared.length || own.some((value, i) => value !== shared[i]);
}

const leftOut = (names: readonly string[], layers: number): string =>
  `${showMany(names.length, "tensor")} ${names.length === 1 ? "was" : "were"} left out, such as ${names[0]}: they belong to what predicts further tokens after layer ${layers - 1}. The model itself computes the same without them.`;

/** Finds everything that can be wrong before memory is allocated for the model; returns the names that are left out. */
function expectTensors(
  folder: string,
  views: readonly { readonly name: string; readonly shape: readonly number[] }[],
  { tied, extraLayers, layers }: { readonly tied: boolean; readonly extraLayers: number; readonly layers: number },
  store: OpenShards,
): string[] {
  const wanted = new Set(views.map(({ name }) => name));
  for (const { name, shape } of views) {
    const stored = store.find(name);
    if (!stored)
      throw new Error(`${folder} has no tensor ${name} [${shape.join(", ")}], which its config.json calls for`);
    if (stored.shape.join() !== shape.join()) {
      throw new Error(
        `${folder}: ${name} has the shape [${stored.shape.join(", ")}], and its config.json calls for [${shape.join(", ")}]`,
      );
    }
  }
  const more = store.tensors.filter(
    ({ name, bytes }) => bytes > 0 && !wanted.has(name) && !isMade(name) && !(tied && name === head),
  );
  const predicting = predictingLayers(store, layers, extraLayers);
  const layerOf = (name: string): number => Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? NaN);
  const unused = more.filter(({ name }) => !predicting.has(layerOf(name)));
  if (unused.length > 0) {
    const others = unused.length > 1 ? ` and ${unused.length - 1} others` : "";
    throw new Error(
      `${folder} has a tensor ${shortName(unused[0]!.name)}${others} that this model has no place for, such as a bias or a layer too many`,
    );
  }
  return more.map(({ name }) => name);
}

/** Layers after the last that join a prediction with the next token's embedding, as none of the model's own does. */
function predictingLayers(store: OpenShards, layers: number, extra: number): ReadonlySet<number> {
  const numbers = store.tensors.flatMap(({ name }) => {
    const number = /^model\.layers\.(\d+)\.(?:eh_proj|enorm|hnorm)\./.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  return new Set(numbers.filter((number) => number >= layers && number < layers + extra));
}
