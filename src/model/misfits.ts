// Question: which sizes of a model do not fit together?
//
// A schema of single fields cannot see these: heads that do not divide the width, more experts for a token than
// exist, and the like. Every message gives the number and the allowed values.

import { divisors } from "../basics/numbers.ts";
import { MOST_WIDTH } from "../basics/bounds.ts";
import { type HeadMixingConfig, headMixingMisfit } from "./head-mixing.ts";
import { type KeyValuesConfig, keyValuesMisfit } from "./key-values.ts";
import type { LatentAttentionConfig } from "./latent-attention.ts";
import type { MixtureConfig } from "./mixture.ts";

/** The sizes of a model that must fit together. */
interface Sizes {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly layers: number;
  readonly attention?: LatentAttentionConfig | undefined;
  readonly valueResidual?: boolean | undefined;
  readonly headMixing?: HeadMixingConfig | undefined;
  readonly keyValues?: KeyValuesConfig | undefined;
  readonly feedForward?: MixtureConfig | undefined;
}

/** Sizes that are valid alone but not together: the field to change, and its allowed values. */
export function misfits(model: Sizes): [field: keyof Sizes, message: string][] {
  const { width, heads, kvHeads, layers, attention, feedForward } = model;
  // The schema has already reported each that is out of range by itself.
  if (![width, heads, kvHeads].every((size) => size >= 1 && size <= MOST_WIDTH) || !(layers >= 1)) return [];
  const problems: [keyof Sizes, string][] = [];
  const list = (values: readonly number[]): string => values.join(", ") || "nothing with this width";
  if (!attention && (width % heads !== 0 || (width / heads) % 2 !== 0)) {
    const fitting = divisors(width).filter((count) => (width / count) % 2 === 0);
    problems.push([
      "heads",
      `${heads} heads do not divide the width ${width} into heads of an even number of columns, for rotary embeddings; heads can be ${list(fitting)}`,
    ]);
  }
  if (attention && kvHeads !== heads)
    problems.push([
      "kvHeads",
      `${kvHeads} is given; with latent attention, whose keys and values come from the latent, it must equal heads, ${heads}`,
    ]);
  else if (heads % kvHeads !== 0)
    problems.push([
      "kvHeads",
      `${kvHeads} key-value heads cannot be shared by ${heads} heads; kvHeads can be ${list(divisors(heads))}`,
    ]);
  for (const field of ["valueResidual", "headMixing", "keyValues"] as const)
    if (attention && model[field]) problems.push([field, "it does not go with latent attention"]);
  if (model.valueResidual && model.keyValues)
    problems.push(["keyValues", "valueResidual carries the values already; leave out one of the two"]);
  if (problems.length === 0) {
    const mixing = model.headMixing && headMixingMisfit(model.headMixing, model);
    if (mixing !== undefined) problems.push(["headMixing", mixing]);
    const carried = model.keyValues && keyValuesMisfit(model.keyValues);
    if (carried !== undefined) problems.push(["keyValues", carried]);
  }
  if (feedForward && feedForward.denseLayers > layers)
    problems.push([
      "feedForward",
      `denseLayers is ${feedForward.denseLayers}, and the model has ${layers} layers; it must be at most ${layers}`,
    ]);
  return problems;
}
