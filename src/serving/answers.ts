// Question: what does a client get for its texts?
//
// The objects of OpenAI's API, whole or piece by piece. A log-probability is the model's own, at temperature 1 and before
// any bias. A token that is no whole text is shown by its bytes, such as "bytes:\xe2\x80".

import { randomUUID } from "node:crypto";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Piece, PlacedToken } from "./pieces.ts";
import type { Job } from "./requests.ts";
import type { Served } from "./served.ts";

/** What JSON can hold, as OpenAI's API has it for a token that cannot come. */
const LEAST = -9999;

/** How many tokens a request has read and written. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

export const usageOf = (prompt: number, written: number): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: written,
  total_tokens: prompt + written,
});

/** How the answers of one kind of request look. */
export interface AnswerForm {
  readonly prefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** Log-probabilities of some tokens. */
  logprobs(tokens: readonly PlacedToken[], tokenizer: Tokenizer): unknown;
  /** A choice of a whole answer. */
  choice(text: string): object;
  /** A choice of a piece; `first`: of the first piece of a choice. */
  delta(text: string, first: boolean): object;
}

const clipped = (logProbability: number): number => Math.max(LEAST, logProbability);

/** A token's text, or its bytes where these are no text. */
export function tokenText(tokenizer: Tokenizer, token: number): string {
  // A model may have more tokens than its tokenizer, so that their number is a round one.
  if (token >= tokenizer.vocabularySize) return `token:${token}`;
  const text = tokenizer.decode([token]);
  if (!text.includes("\uFFFD")) return text;
  const bytes = [...tokenizer.bytesOf(token)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
  return `bytes:${bytes.join("")}`;
}

export const completionForm: AnswerForm = {
  prefix: "cmpl",
  object: "text_completion",
  chunkObject: "text_completion",
  logprobs(tokens, tokenizer) {
    const events = tokens.map(({ event }) => event);
    return {
      tokens: events.map(({ token }) => tokenText(tokenizer, token)),
      token_logprobs: events.map(({ likely }) => (likely ? clipped(likely.logProbability) : null)),
      top_logprobs: events.map(({ likely, token }) => {
        if (!likely) return null;
        // The token itself is always among them. Of two that look alike, the likelier one counts.
        const best = new Map([[tokenText(tokenizer, token), clipped(likely.logProbability)]]);
        for (const [id, logProbability] of likely.best) {
          const name = tokenText(tokenizer, id);
          best.set(name, Math.max(best.get(name) ?? -Infinity, clipped(logProbability)));
        }
        return Object.fromEntries(best);
      }),
      text_offset: tokens.map(({ offset }) => offset),
    };
  },
  choice: (text) => ({ text }),
  delta: (text) => ({ text }),
};

export const chatForm: AnswerForm = {
  prefix: "chatcmpl",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  logprobs(tokens, tokenizer) {
    const entry = (token: number, logProbability: number): object => ({
      token: tokenText(tokenizer, token),
      logprob: clipped(logProbability),
      bytes: [...tokenizer.bytesOf(token)],
    });
    return {
      content: tokens.flatMap(({ event: { token, likely } }) =>
        likely
          ? [
              {
                ...entry(token, likely.logProbability),
                top_logprobs: likely.best.map(([id, logProbability]) => entry(id, logProbability)),
              },
            ]
          : [],
      ),
      refusal: null,
    };
  },
  choice: (content) => ({ message: { role: "assistant", content, refusal: null } }),
  delta: (content, first) => ({ delta: first ? { role: "assistant", content } : { content } }),
};

export const formOf = (kind: Job["kind"]): AnswerForm => (kind === "chat" ? chatForm : completionForm);

/** What all answers to a request have in common. */
export function answerHead(form: AnswerForm, { name }: Served, chunk: boolean): object {
  return {
    id: `${form.prefix}-${randomUUID()}`,
    object: chunk ? form.chunkObject : form.object,
    created: Math.floor(Date.now() / 1000),
    model: name,
    system_fingerprint: null,
  };
}

/** The choices of an answer, gathered from their pieces. */
export async function wholeChoice(
  pieces: AsyncIterable<Piece>,
  index: number,
  form: AnswerForm,
  tokenizer: Tokenizer,
  withLogprobs: boolean,
): Promise<{ readonly choice: object; readonly written: number }> {
  let text = "";
  let end: Piece["end"];
  const tokens: PlacedToken[] = [];
  for await (const piece of pieces) {
    text += piece.text;
    end = piece.end;
    if (piece.token) tokens.push(piece.token);
  }
  const choice = {
    index,
    ...form.choice(text),
    logprobs: withLogprobs ? form.logprobs(tokens, tokenizer) : null,
    finish_reason: end,
  };
  return { choice, written: tokens.filter(({ event }) => !event.ofPrompt).length };
}
