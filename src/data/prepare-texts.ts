// Question: how do texts become tokens where there are no files?
//
// As prepareData does it on disk (prepare.ts), token for token: split, tokenizer, tokens, all in memory.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { showValue } from "../basics/show.ts";
import { type Document, splitDocuments } from "./split.ts";
import { memoryTokens, type TokenSource } from "./tokens.ts";
import { type Tokenizer, trainTokenizer } from "./tokenizer.ts";

/** How texts become tokens. */
export interface TextsOptions {
  /** Tokens in the vocabulary; a short text gives fewer. */
  readonly vocabularySize: number;
  /** Chooses the validation documents. Default 0. */
  readonly seed?: number;
  /** The approximate share of the bytes for validation; 0.075 by default. */
  readonly validationShare?: number;
  /** Encode the texts with this tokenizer, instead of training one on them. */
  readonly tokenizer?: Tokenizer;
  /** Hears how far it is, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** Tokens in memory, with their tokenizer. */
export interface PreparedTexts {
  readonly tokenizer: Tokenizer;
  readonly train: TokenSource;
  readonly validation: TokenSource;
}

const optionRules: FieldRules<TextsOptions> = {
  vocabularySize: "number",
  seed: "number",
  validationShare: "number",
  tokenizer: "group",
  onProgress: "function",
};

/**
 * From texts to training and validation tokens in memory: the same that `prepareData` makes of the same documents. The
 * tokenizer learns from the training part only.
 *
 * @throws TypeError for texts that are none; RangeError for options that make no sense
 */
export function prepareTexts(documents: readonly Document[], options: TextsOptions): PreparedTexts {
  expectFields("prepareTexts", options, optionRules);
  const { vocabularySize, seed = 0, validationShare = 0.075, onProgress = () => {} } = options;
  expectWhole("prepareTexts", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  expectDocuments(documents);
  const split = splitDocuments(documents, seed, validationShare);
  const learning = 0.7;
  const tokenizer =
    options.tokenizer ??
    trainTokenizer(textsOf(split.train), { vocabularySize, onProgress: (share) => onProgress(learning * share) });
  onProgress(learning);
  const encode = (part: readonly Document[]): TokenSource => {
    const pieces = [...encodeDocuments(tokenizer, part)];
    const ids = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.ids.length, 0));
    let at = 0;
    for (const piece of pieces) {
      ids.set(piece.ids, at);
      at += piece.ids.length;
    }
    return memoryTokens(
      ids,
      tokenizer.vocabularySize,
      pieces.reduce((sum, { bytes }) => sum + bytes, 0),
    );
  };
  const [train, validation] = [encode(split.train), encode(split.validation)];
  onProgress(1);
  return { tokenizer, train, validation };
}

/** A part of a text as tokens, and the bytes that they stand for. */
export interface EncodedText {
  readonly ids: Uint32Array;
  readonly bytes: number;
}

/** The tokens of documents, each followed by the token that ends a text. */
export function* encodeDocuments(
  tokenizer: Tokenizer,
  documents: readonly Document[],
): Generator<EncodedText, void, undefined> {
  // A tokenizer from elsewhere may have no such token; documents then follow each other directly.
  const separator = Uint32Array.from(tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText]);
  for (const { text } of documents) {
    const ids = tokenizer.encode(text);
    yield { ids, bytes: ids.reduce((sum, id) => sum + tokenizer.byteLengths[id]!, 0) };
    yield { ids: separator, bytes: 0 };
  }
}

/** The texts of documents, one after the other. */
export function* textsOf(documents: readonly Document[]): Generator<string, void, undefined> {
  for (const { text } of documents) yield text;
}

function expectDocuments(documents: readonly Document[]): void {
  const wrong = Array.isArray(documents)
    ? documents.findIndex(({ name, text }) => typeof name !== "string" || typeof text !== "string")
    : 0;
  if (wrong < 0 && documents.length > 0) return;
  const what = Array.isArray(documents) ? (wrong < 0 ? "no document" : `document ${wrong}`) : showValue(documents);
  throw new TypeError(
    `prepareTexts: ${what} is given; allowed are documents with a name and a text. Give such as [{ name: "mine", text: "…" }].`,
  );
}
