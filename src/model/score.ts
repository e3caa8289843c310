// Question: how likely is a text to a model?
//
//   log p(continuation | context) = Σ_i log p(token i | context, tokens before i),   log p = s − log Σ_v exp(s_v)
//
// The scores s are those with which the model writes, from the cache (lanes.ts), so that a text that was written and one
// that is scored have the same probabilities. The continuations of a context share its reading: the scores after its
// last token are those of every first token, and each continuation is read in the place of the one before it. Sums over
// the vocabulary are taken in float64, in the order of the tokens.

import type { Lanes } from "./lanes.ts";
import { type Errand, type Reading, rowsFrom } from "./reading.ts";
import { expectScores, logProbabilities } from "./sampling.ts";

/** A context, and what may follow it. */
export interface ScoreRequest {
  /** Token ids, at least one. */
  readonly context: readonly number[];
  /** Token ids, at least one in each. */
  readonly continuations: readonly (readonly number[])[];
}

/** What a model thinks of a continuation. */
export interface ContinuationScore {
  /** The natural logarithm of each token's probability, after all before it. */
  readonly tokens: readonly number[];
  /** Their sum, in order. */
  readonly logProbability: number;
  /** Whether no token was more likely than the continuation's, at each of its places. */
  readonly greedy: boolean;
}

interface TokenScore {
  readonly logProbability: number;
  readonly greedy: boolean;
}

/**
 * Score continuations of contexts, many side by side. The scores of a request do not depend on what is scored with it,
 * where the machine computes rows by themselves, as the CPU does.
 *
 * @returns the scores of each request's continuations with the number of the request, in the order in which they end
 * @throws RangeError when a context or continuation is empty, when both are longer than the window and one token, or
 *   when the model's scores are not finite
 */
export async function* scoreContinuations(
  lanes: Lanes,
  requests: Iterable<ScoreRequest>,
): AsyncIterable<{ readonly request: number; readonly scores: readonly ContinuationScore[] }> {
  for await (const [request, scores] of lanes.run(errandsOf(requests))) yield { request, scores };
}

function* errandsOf(requests: Iterable<ScoreRequest>): Iterable<Errand<readonly ContinuationScore[]>> {
  for (const request of requests) {
    const { context, continuations } = request;
    if (context.length === 0)
      throw new RangeError("score: the context has no tokens; give at least one, such as the end-of-text token.");
    if (continuations.some(({ length }) => length === 0))
      throw new RangeError("score: a continuation has no tokens; give at least one.");
    yield { tokens: context, read: (held) => readRequest(request, held) };
  }
}

/** The reading of one request, for lanes that do other work as well. */
export function* readRequest(
  { context, continuations }: ScoreRequest,
  held: number,
): Reading<readonly ContinuationScore[]> {
  // The last token of the context is always read: its scores are wanted.
  const from = Math.min(held, context.length - 1);
  const branches = continuations.map((continuation) => rowsFrom(context.length, continuation.slice(0, -1)));
  const rows = [...rowsFrom(from, context.slice(from)), ...branches.flat()];
  const [afterContext, ...after] = yield { rows, wanted: 1 + branches.flat().length };
  const first = tokenScores(afterContext!);
  let place = 0;
  const scores = continuations.map(([token, ...others]) => [
    first(token!),
    ...others.map((other) => tokenScores(after[place++]!)(other)),
  ]);
  return scores.map(continuationScore);
}

/** What the scores after a token say of the next. */
function tokenScores(scores: ArrayLike<number>): (token: number) => TokenScore {
  expectScores(scores);
  const { of, best } = logProbabilities(scores);
  return (token) => ({ logProbability: of(token), greedy: scores[token] === scores[best] });
}

function continuationScore(scores: readonly TokenScore[]): ContinuationScore {
  const tokens = scores.map(({ logProbability }) => logProbability);
  return {
    tokens,
    logProbability: tokens.reduce((sum, value) => sum + value, 0),
    greedy: scores.every(({ greedy }) => greedy),
  };
}
