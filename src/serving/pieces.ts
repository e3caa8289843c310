// Question: how do the tokens of a text become the pieces that a client gets?
//
// A piece is a token with the text that it made certain: bytes of a character may come in several tokens, and a possible
// beginning of a stop string is held back. The last piece says why the text ended.

import type { Tokenizer } from "../data/tokenizer.ts";
import { createHolder } from "../model/write-texts.ts";
import type { WrittenText } from "./engine.ts";
import type { TokenEvent } from "./writing.ts";

export interface Piece {
  readonly text: string;
  /** Absent in the last piece. */
  readonly token?: PlacedToken;
  readonly end?: WrittenText["end"];
}

export interface PlacedToken {
  readonly event: TokenEvent;
  /** Characters of the text before the token's own; before a character that it shares with others. 0 where not asked for. */
  readonly offset: number;
}

/**
 * @param hidden how many of the prompt's first tokens have no text of their own
 * @param stop strings that end the text before them; those in the prompt do not
 * @param offsets whether it is asked where each token's text begins
 */
export async function* piecesOf(
  text: WrittenText,
  tokenizer: Tokenizer,
  { hidden, stop, offsets }: { readonly hidden: number; readonly stop: readonly string[]; readonly offsets: boolean },
): AsyncGenerator<Piece> {
  const decoder = tokenizer.createStreamDecoder();
  const holder = createHolder(stop);
  let index = 0;
  let length = 0;
  for await (const event of text.events) {
    const shown = index++ < hidden && event.ofPrompt ? "" : decoder.push(event.token);
    // Before its own text there may be some of tokens before it, which it has made certain.
    const own = offsets ? tokenizer.decode([event.token]) : "";
    const token = { event, offset: offsets ? length + (shown.endsWith(own) ? shown.length - own.length : 0) : 0 };
    length += shown.length;
    if (event.ofPrompt) {
      yield { text: shown, token };
      continue;
    }
    const { certain, stopped } = holder.push(shown);
    yield { text: certain, token };
    if (!stopped) continue;
    text.stop();
    yield { text: "", end: "stop" };
    return;
  }
  const { certain, stopped } = holder.push(decoder.end());
  yield { text: stopped ? certain : certain + holder.rest(), end: stopped ? "stop" : text.end };
}
