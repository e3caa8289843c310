// Question: how likely is a token by the model, and which would be likelier?
//
//   log p(t) = s_t - m - log Σ_i exp(s_i - m),  m = max s      at temperature 1, before any rule or bias

import { logProbabilities } from "../model/sampling.ts";

export interface Likely {
  /** Natural logarithm of the token's probability. */
  readonly logProbability: number;
  /** The likeliest tokens and their log-probabilities, the likeliest first; of equal ones, the smaller number first. */
  readonly best: readonly (readonly [token: number, logProbability: number])[];
}

/**
 * @param scores of every token of the vocabulary
 * @param count how many of the likeliest are wanted
 */
export function likelyOf(scores: ArrayLike<number>, token: number, count: number): Likely {
  const { of: logOf } = logProbabilities(scores);
  return { logProbability: logOf(token), best: largest(scores, count).map((id) => [id, logOf(id)]) };
}

/** The numbers of the `count` largest scores. */
function largest(scores: ArrayLike<number>, count: number): number[] {
  const kept: number[] = [];
  for (let id = 0; id < scores.length; id++) {
    if (kept.length === count && !(scores[id]! > scores[kept.at(-1)!]!)) continue;
    let at = kept.length;
    while (at > 0 && scores[id]! > scores[kept[at - 1]!]!) at--;
    kept.splice(at, 0, id);
    if (kept.length > count) kept.pop();
  }
  return kept;
}
