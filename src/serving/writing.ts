// Question: how is one text read and written, and what does its reader hear of it?
//
// The prompt is read, then token after token is chosen and read. The prompt's tokens are told first, where they are asked
// for: at once, or with what the model thought of each, for which all of the prompt is read.

import { type Errand, type Reading, rowsFrom } from "../model/reading.ts";
import type { Channel } from "./channel.ts";
import { type Likely, likelyOf } from "./likely.ts";
import type { Meter } from "./meter.ts";
import { chooseToken, type TextRequest } from "./text-request.ts";

/** A token of the prompt, in its order, or one that was written. */
export interface TokenEvent {
  readonly token: number;
  readonly ofPrompt: boolean;
  /** Absent where not asked for, and for the first token of a text, before which there is nothing. */
  readonly likely?: Likely;
}

/** Rows whose scores are all wanted: so many are kept until the last of them is there. */
const PIECE = 32;

/** @param since when the text arrived, in milliseconds */
export function writing(
  request: TextRequest,
  since: number,
  channel: Channel<TokenEvent>,
  { counts, firstToken, nextToken }: Meter,
): Errand<"stop" | "length"> {
  const { prompt, maxTokens, echo, alternatives, stopToken } = request;
  const judged = echo && alternatives !== undefined;
  const send = (token: number, ofPrompt: boolean, scores?: ArrayLike<number>): void =>
    channel.send({
      token,
      ofPrompt,
      ...(scores && alternatives !== undefined ? { likely: likelyOf(scores, token, alternatives) } : {}),
    });

  /** The scores after the prompt. */
  function* readPrompt(held: number): Reading<ArrayLike<number>> {
    if (echo) for (const token of prompt) send(token, true);
    const from = Math.min(held, prompt.length - 1);
    counts.sharedTokens += from;
    const [scores] = yield { rows: rowsFrom(from, prompt.slice(from)), wanted: 1 };
    return scores!;
  }

  /** The same, and what was thought of each token. */
  function* judgePrompt(): Reading<ArrayLike<number>> {
    send(prompt[0]!, true);
    for (let start = 0; ; start += PIECE) {
      const piece = prompt.slice(start, start + PIECE);
      const scores = yield { rows: rowsFrom(start, piece), wanted: piece.length };
      for (const [index, token] of prompt.slice(start + 1, start + 1 + PIECE).entries())
        send(token, true, scores[index]);
      if (start + PIECE >= prompt.length) return scores.at(-1)!;
    }
  }

  return {
    // All of a judged prompt is read.
    tokens: judged ? [] : prompt,
    *read(held) {
      let scores = yield* judged ? judgePrompt() : readPrompt(held);
      const tokens = [...prompt];
      let last = since;
      for (let written = 0; written < maxTokens; written++) {
        if (written > 0) scores = (yield { rows: rowsFrom(tokens.length - 1, [tokens.at(-1)!]), wanted: 1 })[0]!;
        const token = chooseToken(request, scores, tokens);
        const now = performance.now();
        (written === 0 ? firstToken : nextToken).add((now - last) / 1000);
        last = now;
        counts.writtenTokens++;
        if (token === stopToken) return "stop";
        tokens.push(token);
        send(token, false, scores);
      }
      return "length";
    },
  };
}
