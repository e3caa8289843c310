// Question: what would a run's file hold if it were exported to Hugging Face's form?
//
// Every tensor there is a view of one of ours (tensors.ts). They are gathered as they are asked for, one at a time.

import { isMixed } from "../../model/overrides.ts";
import type { ModelConfig } from "../../model/config.ts";
import type { OpenShards } from "../../files/shards.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { gatherView, huggingFaceTensors } from "./tensors.ts";

/**
 * A run's file under Hugging Face's names; undefined where its model has none.
 *
 * @param interleaved as in `huggingFaceTensors`
 */
export function viewAsHuggingFace(file: OpenShards, model: ModelConfig, interleaved: boolean): OpenShards | undefined {
  if (isMixed(model.connection)) return undefined;
  const views = new Map(huggingFaceTensors(model, interleaved).map((view) => [view.name, view]));
  if ([...views.values()].some(({ source }) => file.find(source) === undefined)) return undefined;
  const tensors = [...views.values()].map(({ name, shape }) => ({
    name,
    shape,
    dtype: "F32",
    bytes: 4 * sizeOf(shape),
  }));
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  let last: { readonly name: string; readonly data: Float32Array } | undefined;
  const gathered = (name: string): Float32Array => {
    const view = views.get(name)!;
    if (last?.name !== name)
      last = { name, data: gatherView(view, Float32Array.from(file.read(view.source).data, Number)) };
    return last.data;
  };
  const bytesOf = (name: string): Uint8Array => {
    const { buffer, byteOffset, byteLength } = gathered(name);
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  return {
    metadata: {},
    tensors,
    shards: [{ name: file.shards[0]!.name, metadata: {}, tensors }],
    find: (name) => byName.get(name),
    read: (name) => ({ dtype: "F32", shape: byName.get(name)!.shape, data: gathered(name) }),
    readSome: (name, from, count) => gathered(name).subarray(from, from + count),
    *bytes(name) {
      const bytes = bytesOf(name);
      for (let at = 0; at < bytes.length; at += PART) yield bytes.subarray(at, at + PART);
    },
    readBytes: (name, from, into) => into.set(bytesOf(name).subarray(from, from + into.length)),
    prefetch: (names) => file.prefetch([...new Set(names.map((name) => views.get(name)!.source))]),
    close: () => file.close(),
  };
}

/** Files are compared part by part, and theirs come in parts of this size. */
const PART = 1 << 24;
