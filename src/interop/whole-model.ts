// Question: are the tensors of a file a whole model, or may others lie elsewhere?
//
// A whole one has all layers from 0, both sublayers of each, a last norm, and an output matrix; where that is the
// embedding again, the embedding. Names are those of the libraries that are known here.

import type { OpenShards } from "../files/shards.ts";
import { shortName } from "../files/safetensors-header.ts";
import { findConnections } from "./connection-names.ts";

const lastNorm = /(?:^|\.)(?:norm|final_?(?:layer)?norm|ln_f)(?:\.weight)?$/i;
const outputMatrix = /(?:^|\.)(?:head|lm_head|output|output_layer)(?:\.weight)?$/i;
const embedding = /(?:^|\.)(?:embed|embedding|embed_tokens|tok_embeddings|word_embeddings|wte)(?:\.weight)?$/i;

/** Whether a tensor is a model's output matrix, by its name. */
export const isOutputMatrix = (name: string): boolean => isOutside(name) && outputMatrix.test(name);
/** Whether a tensor is a model's embedding, by its name. */
export const isEmbedding = (name: string): boolean => isOutside(name) && embedding.test(name);
const isLastNorm = (name: string): boolean => isOutside(name) && lastNorm.test(name);
/** The norms and outputs of layers are not the model's. */
const isOutside = (name: string): boolean => !name.split(".").some((part) => /^\d+$/.test(part));

/** Why these tensors may be only a part of a model; undefined if they are a whole one. */
export function whyPart({ partOf, tensors }: OpenShards): string | undefined {
  if (partOf !== undefined) return partOf;
  const layers = new Map<string, Set<number>>();
  const roles = new Map<number, Set<string>>();
  for (const { name } of findConnections(tensors)) {
    const [, family, number, role] = /^(.*?)(\d+)\.(.*)$/.exec(name) ?? [];
    if (family === undefined || /(?:^|\.)mtp\./.test(family)) continue;
    layers.set(family, (layers.get(family) ?? new Set()).add(Number(number)));
    roles.set(Number(number), (roles.get(Number(number)) ?? new Set()).add(role!));
  }
  for (const [family, numbers] of layers) {
    const missing = Array.from({ length: numbers.size }, (_, i) => i).find((number) => !numbers.has(number));
    if (missing !== undefined) return `it has no ${shortName(family)}${missing}`;
  }
  const most = Math.max(...[...roles.values()].map((each) => each.size));
  const half = [...roles].find(([, each]) => each.size < most || each.size < 2);
  if (half !== undefined) return `layer ${half[0]} has only ${[...half[1]].join(", ")}`;
  const names = tensors.map(({ name }) => name);
  if (!names.some(isLastNorm)) return "it has no last norm";
  return names.some(isOutputMatrix) || names.some(isEmbedding)
    ? undefined
    : "it has neither an output matrix nor an embedding";
}
