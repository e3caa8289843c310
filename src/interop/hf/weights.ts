// Question: how do the tensors of a Hugging Face folder become the parameters of a model?
//
// The folder holds model.safetensors, or several such files and model.safetensors.index.json, which says which file
// has which tensor. Tensors are read one at a time, F16 and BF16 are widened to float32, and tensors.ts says where
// their numbers go. Every parameter must be complete, and every tensor must be used.

import fs from "node:fs";
import path from "node:path";
import { reason } from "../../files/errors.ts";
import { openSafetensors, type OpenSafetensors } from "../../files/safetensors.ts";
import { createParameters } from "../../graph/parameters.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { languageModel } from "../../model/language-model.ts";
import type { CheckpointTensor } from "../../runs/checkpoint.ts";
import { type ReadConfig, readHuggingFaceConfig } from "./config.ts";
import { huggingFaceTensors, scatterView } from "./tensors.ts";

/** A model read from a folder. */
export interface HuggingFaceModel extends ReadConfig {
  /** This library's parameters, in its order. */
  readonly tensors: readonly CheckpointTensor[];
}

/** Tables that older files store and that every model computes itself. */
const made = /\.rotary_emb\.inv_freq$/;

/**
 * Read the model of a folder.
 *
 * @param context tokens of a sequence; default: max_position_embeddings
 * @throws Error that names the file and the field or tensor that is wrong, missing or unused
 */
export function readHuggingFaceModel(folder: string, context?: number): HuggingFaceModel {
  const file = path.join(folder, "config.json");
  const config = readHuggingFaceConfig(readJson(file), file, context);
  const store = openStore(folder);
  try {
    return { ...config, tensors: readParameters(folder, config, store) };
  } finally {
    store.close();
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON (${error.message})` : reason(error);
    throw new Error(`cannot read ${file}: ${why}. A folder to import holds config.json and safetensors`, {
      cause: error,
    });
  }
}

function readParameters(folder: string, { model, tied, interleaved }: ReadConfig, store: Store): CheckpointTensor[] {
  const parameters = createParameters();
  languageModel(model, parameters);
  const tensors = parameters.all.map(({ name, tensor: { shape } }) => ({ name, shape }));
  const views = huggingFaceTensors(model, interleaved).map((view) =>
    tied && view.name === "lm_head.weight" ? { ...view, name: "model.embed_tokens.weight" } : view,
  );
  expectTensors(folder, views, tied, store);
  const values = new Map(tensors.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))]));
  for (const view of views) {
    const { data, dtype } = store.of(view.name)!.read(view.name);
    if (!(data instanceof Float32Array)) {
      throw new Error(`${folder}: ${view.name} holds whole numbers (${dtype}); allowed: F32, F16, BF16`);
    }
    const at = data.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new Error(`${folder}: number ${at} of ${view.name} is ${data[at]}; a model needs finite ones`);
    scatterView(view, data, values.get(view.source)!);
  }
  return tensors.map((tensor) => ({ ...tensor, data: values.get(tensor.name)! }));
}

/** Finds everything that can be wrong before memory is allocated for the model. */
function expectTensors(
  folder: string,
  views: readonly { readonly name: string; readonly shape: readonly number[] }[],
  tied: boolean,
  store: Store,
): void {
  const wanted = new Set(views.map(({ name }) => name));
  for (const { name, shape } of views) {
    const stored = store.of(name)?.tensors.find((tensor) => tensor.name === name);
    if (!stored)
      throw new Error(`${folder} has no tensor ${name} [${shape.join(", ")}], which its config.json calls for`);
    if (stored.shape.join() !== shape.join()) {
      throw new Error(
        `${folder}: ${name} has the shape [${stored.shape.join(", ")}], and its config.json calls for [${shape.join(", ")}]`,
      );
    }
  }
  const unused = store.names.filter(
    (name) => !wanted.has(name) && !made.test(name) && !(tied && name === "lm_head.weight"),
  );
  if (unused.length === 0) return;
  const more = unused.length > 1 ? ` and ${unused.length - 1} others` : "";
  throw new Error(
    `${folder} has a tensor ${unused[0]}${more} that this model has no place for, such as a bias or a layer too many`,
  );
}

/** The tensors of a folder, in whichever file they are. */
interface Store {
  readonly names: readonly string[];
  of(name: string): OpenSafetensors | undefined;
  close(): void;
}

const single = "model.safetensors";
const index = "model.safetensors.index.json";

function openStore(folder: string): Store {
  const opened: OpenSafetensors[] = [];
  const close = (): void => opened.forEach((file) => file.close());
  try {
    const byName = new Map<string, OpenSafetensors>();
    const places = placesOf(folder);
    for (const name of places.files) {
      const file = openSafetensors(path.join(folder, name));
      opened.push(file);
      for (const tensor of file.tensors) {
        if (byName.has(tensor.name)) throw new Error(`${folder}: ${tensor.name} is in ${name} and in another file`);
        byName.set(tensor.name, file);
      }
    }
    for (const [tensor, name] of places.stated) {
      if (!byName.has(tensor))
        throw new Error(`${path.join(folder, name)} has no tensor ${tensor}, though ${index} says so`);
    }
    return { names: [...byName.keys()], of: (name) => byName.get(name), close };
  } catch (error) {
    close();
    throw error;
  }
}

function placesOf(folder: string): { files: readonly string[]; stated: readonly (readonly [string, string])[] } {
  if (fs.existsSync(path.join(folder, single))) return { files: [single], stated: [] };
  const file = path.join(folder, index);
  if (!fs.existsSync(file)) {
    const others = fs.readdirSync(folder).filter((name) => /\.(bin|pt|pth|gguf|onnx|safetensors)$/.test(name));
    const contents = others.length > 0 ? `; it holds ${others.join(", ")}` : "";
    throw new Error(`${folder} has neither ${single} nor ${index}${contents}. Only safetensors can be imported`);
  }
  const map: unknown = (readJson(file) as { weight_map?: unknown } | null)?.weight_map;
  const stated = typeof map === "object" && map !== null ? Object.entries(map) : [];
  if (stated.length === 0) throw new Error(`${file} has no weight_map, which says what tensor is in which file`);
  for (const [tensor, name] of stated) {
    if (typeof name !== "string" || name !== path.basename(name)) {
      throw new Error(`${file} puts ${tensor} in ${JSON.stringify(name)}, which is not a file name in that folder`);
    }
  }
  return { files: [...new Set(stated.map(([, name]) => name as string))], stated };
}
