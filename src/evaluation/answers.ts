// Question: what does a model answer?
//
// Choices are scored by log p(choice | prompt), and answers are written with the most likely token each time, as the
// harness does with its own models: white space that ends a prompt belongs to the continuation; the tokens of a
// continuation are those of both texts without those of the prompt alone; what does not fit into the window is left out
// from the start of the prompt. All prompts of all tasks go through the lanes of one model (model/lanes.ts).

import type { Tokenizer } from "../data/tokenizer.ts";
import type { Lanes } from "../model/lanes.ts";
import { type Errand, type Reading, rowsFrom } from "../model/reading.ts";
import { expectScores, logProbabilities } from "../model/sampling.ts";
import { readRequest, type ScoreRequest } from "../model/score.ts";
import type { TaskPlan } from "./prompts.ts";
import { lengthOf, stripEnd } from "./python.ts";

/** What a model says to a prompt: log p of each choice and whether it would have written it, or the text it wrote. */
export type Answer =
  | { readonly choices: readonly (readonly [logProbability: number, greedy: boolean])[] }
  | { readonly text: string };

/** An answer and its question. */
export interface Answered {
  readonly task: string;
  /** The example's number in its file. */
  readonly index: number;
  /** The prompt's `request`. */
  readonly request: string;
  readonly answer: Answer;
  /** Whether the prompt's beginning was left out, because the window is too small. */
  readonly cut: boolean;
  /** Tokens of the prompt, and of the choices or of the answer, as far as they were used. */
  readonly tokens: number;
}

/** A model that answers. */
export interface Answerer {
  readonly lanes: Lanes;
  readonly tokenizer: Pick<
    Tokenizer,
    "encode" | "decode" | "begin" | "endOfText" | "createStreamDecoder" | "vocabularySize"
  >;
  /** Tokens of the model's window. */
  readonly context: number;
}

/**
 * Ask prompts, many side by side.
 *
 * @param isKnown prompts whose answer is known are left out
 * @returns the answers, in the order in which they are ready
 * @throws RangeError when the model's scores are not finite
 */
export async function* answerPrompts(
  model: Answerer,
  plans: readonly TaskPlan[],
  isKnown: (request: string) => boolean = () => false,
): AsyncIterable<Answered> {
  for await (const [, answered] of model.lanes.run(errandsOf(model, plans, isKnown))) yield answered;
}

function* errandsOf(
  model: Answerer,
  plans: readonly TaskPlan[],
  isKnown: (request: string) => boolean,
): Iterable<Errand<Answered>> {
  for (const plan of plans) {
    for (const { index, text, request, example } of plan.prompts) {
      const { task } = plan;
      if (isKnown(request)) continue;
      const made =
        "choices" in example
          ? choosing(
              model,
              text,
              example.choices.map((choice) => task.delimiter + choice),
            )
          : writing(model, text, task as WritingRule);
      yield {
        tokens: made.tokens,
        *read(held) {
          return { task: task.name, index, request, ...(yield* made.read(held)) };
        },
      };
    }
  }
}

type Outcome = Pick<Answered, "answer" | "cut" | "tokens">;

// --- choices ------------------------------------------------------------------------------------

/** Token ids of a prompt and of what follows it. */
export function encodePair(
  tokenizer: Answerer["tokenizer"],
  prompt: string,
  continuation: string,
): { readonly context: readonly number[]; readonly continuation: readonly number[] } {
  if (prompt === "") {
    const first = tokenizer.begin ?? tokenizer.endOfText;
    if (first === undefined)
      throw new Error("eval: a prompt is empty, and the tokenizer has no token that begins or ends a text; use shots.");
    return { context: [first], continuation: [...tokenizer.encode(continuation)] };
  }
  const before = stripEnd(prompt);
  const context = [...tokenizer.encode(before)];
  const both = [...tokenizer.encode(prompt + continuation)];
  return { context, continuation: both.slice(context.length) };
}

function choosing(model: Answerer, prompt: string, choices: readonly string[]): Errand<Outcome> {
  const most = model.context + 1;
  let cut = false;
  const pairs = choices.map((choice) => {
    const { context, continuation } = encodePair(model.tokenizer, prompt, choice);
    if (continuation.length === 0)
      throw new Error(`eval: the choice ${JSON.stringify(choice)} has no token of its own after its prompt.`);
    if (context.length + continuation.length <= most) return { context, continuation };
    cut = true;
    const all = [...context, ...continuation].slice(-most);
    // An answer that fills the window still needs a token to follow.
    const own = Math.min(continuation.length, most - 1);
    return { context: all.slice(0, most - own), continuation: all.slice(most - own) };
  });
  const first = pairs[0]!.context;
  // Choices that leave no other tokens of the prompt share its reading.
  const shared = pairs.every(({ context }) => context.length === first.length);
  const requests: readonly ScoreRequest[] = shared
    ? [{ context: first, continuations: pairs.map(({ continuation }) => continuation) }]
    : pairs.map(({ context, continuation }) => ({ context, continuations: [continuation] }));
  return {
    // The readings of several contexts lie in each other's place.
    tokens: shared ? first : [],
    *read(held) {
      const scores = [];
      for (const request of requests) scores.push(...(yield* readRequest(request, held)));
      return {
        answer: { choices: scores.map(({ logProbability, greedy }) => [logProbability, greedy] as const) },
        cut,
        tokens: requests.flatMap(({ context, continuations }) => [context, ...continuations].flat()).length,
      };
    },
  };
}

// --- written answers ----------------------------------------------------------------------------

interface WritingRule {
  readonly until: readonly string[];
  readonly maxTokens: number;
}

function writing(model: Answerer, prompt: string, { until, maxTokens }: WritingRule): Errand<Outcome> {
  const { tokenizer, context } = model;
  // As in the harness; where a window is too small for its rule, prompt and answer get half each.
  const most = maxTokens < context ? maxTokens : context >> 1;
  const encoded = [...tokenizer.encode(prompt)];
  const tokens = encoded.slice(-(context - most));
  return {
    tokens,
    *read(held) {
      const written: number[] = [];
      const decoder = tokenizer.createStreamDecoder();
      let text = "";
      let ended = false;
      let scores = yield* readFrom(tokens, Math.min(held, tokens.length - 1));
      while (!ended && written.length < most) {
        expectScores(scores);
        const token = logProbabilities(scores).best;
        if (token === tokenizer.endOfText) break;
        written.push(token);
        text += decoder.push(token);
        ended = until.some((stop) => text.includes(stop));
        if (!ended && written.length < most)
          scores = (yield { rows: rowsFrom(tokens.length + written.length - 1, [token]), wanted: 1 })[0]!;
      }
      if (!ended) text += decoder.end();
      for (const stop of until) [text = ""] = text.split(stop);
      return { answer: { text }, cut: tokens.length < encoded.length, tokens: tokens.length + written.length };
    },
  };
}

function* readFrom(tokens: readonly number[], from: number): Reading<ArrayLike<number>> {
  const [scores] = yield { rows: rowsFrom(from, tokens.slice(from)), wanted: 1 };
  return scores!;
}

// --- what counts of an answer -------------------------------------------------------------------

/** The index of the largest value, the first of several. */
export function firstLargest(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > values[best]! ? index : best), 0);
}

/** Of choices: whether the most likely one is right, also by the character. */
export function judgeChoices(
  scores: readonly number[],
  choices: readonly string[],
  gold: number,
): { readonly acc: number; readonly acc_norm: number } {
  const perCharacter = scores.map((score, index) => score / lengthOf(choices[index]!));
  return { acc: firstLargest(scores) === gold ? 1 : 0, acc_norm: firstLargest(perCharacter) === gold ? 1 : 0 };
}
