// Question: which token ids do some documents become, as they are stored?

import type { Tokenizer } from "../tokenizer.ts";
import type { TextPiece } from "./documents.ts";
import { type TokenWidth, tokenWidths } from "./token-parts.ts";

/** The ids of some pieces, each document followed by the end of text where the tokenizer has it. */
export interface EncodedPieces {
  /** The ids as a file holds them. */
  readonly raw: Uint8Array<ArrayBuffer>;
  readonly tokens: number;
  /** Bytes of text that they stand for. */
  readonly bytes: number;
}

/** @param width of the ids in the file */
export function encodePieces(tokenizer: Tokenizer, pieces: readonly TextPiece[], width: TokenWidth): EncodedPieces {
  const { endOfText, byteLengths } = tokenizer;
  const encoded = pieces.map(({ text }) => tokenizer.encode(text));
  const ends = endOfText === undefined ? 0 : pieces.filter((piece) => piece.ends).length;
  const ids = new tokenWidths[width](encoded.reduce((sum, { length }) => sum + length, ends));
  let tokens = 0;
  let bytes = 0;
  for (const [index, some] of encoded.entries()) {
    ids.set(some, tokens);
    tokens += some.length;
    for (const id of some) bytes += byteLengths[id]!;
    if (pieces[index]!.ends && endOfText !== undefined) ids[tokens++] = endOfText;
  }
  return { raw: new Uint8Array(ids.buffer), tokens, bytes };
}
