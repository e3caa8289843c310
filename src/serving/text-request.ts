// Question: what does a client want of one text, and which token comes next by that?

import { drawToken, nextTokens, type SamplingRules } from "../model/sampling.ts";

/** One text to be read and continued. */
export interface TextRequest {
  /** At least one token. */
  readonly prompt: readonly number[];
  /** How many tokens are written at most. */
  readonly maxTokens: number;
  readonly rules: SamplingRules;
  /** Added to the scores of tokens. */
  readonly bias: ReadonlyMap<number, number>;
  /** Taken from the score of a token that has been written. */
  readonly presencePenalty: number;
  /** Taken from the score of a token for each time that it has been written. */
  readonly frequencyPenalty: number;
  /** A uniform random number in [0, 1) for the i-th token written. */
  readonly random: (index: number) => number;
  /** A token that ends the text; it is not part of it. */
  readonly stopToken: number | undefined;
  /** Whether the prompt's tokens come with the text, and with their log-probabilities where these are wanted. */
  readonly echo: boolean;
  /** How many of the likeliest tokens are wanted in the place of each; absent: no log-probabilities. */
  readonly alternatives: number | undefined;
  /** Ends the text before its time; its reason is what the reader gets. */
  readonly signal: AbortSignal;
}

/**
 * @param scores of the model after the tokens of the text
 * @param tokens the prompt and what has been written
 */
export function chooseToken(request: TextRequest, scores: ArrayLike<number>, tokens: readonly number[]): number {
  const written = tokens.length - request.prompt.length;
  const candidates = nextTokens(adjusted(request, scores, tokens), request.rules, tokens);
  return drawToken(candidates, request.random(written));
}

function adjusted(
  { prompt, bias, presencePenalty, frequencyPenalty }: TextRequest,
  scores: ArrayLike<number>,
  tokens: readonly number[],
): ArrayLike<number> {
  const penalised = presencePenalty !== 0 || frequencyPenalty !== 0;
  if (bias.size === 0 && !penalised) return scores;
  const changed = Float64Array.from(scores);
  for (const [token, value] of bias) changed[token]! += value;
  if (penalised) {
    const counts = new Map<number, number>();
    for (const token of tokens.slice(prompt.length)) counts.set(token, (counts.get(token) ?? 0) + 1);
    for (const [token, count] of counts) changed[token]! -= presencePenalty + frequencyPenalty * count;
  }
  return changed;
}
