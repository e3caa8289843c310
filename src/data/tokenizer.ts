// Question: how does text become token numbers and back?
//
// Byte-level byte-pair encoding.
//
// A text is cut at added tokens (`<|endoftext|>`), normalised if the tokenizer asks for it, then cut into words
// (`pretokenise.ts`). Each word starts as its UTF-8 bytes, and its pairs are merged: the earliest learned merge first,
// and of equal ones the leftmost first. Any text can be encoded, and decoding returns it (in its normal form, if it
// was normalised; a lone surrogate, which UTF-8 cannot write, becomes U+FFFD). The result equals Hugging Face's
// `tokenizers` without its post-processor: nothing is put before or after the text. `before` has what that puts first.

import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { showValue } from "../basics/show.ts";
import { type AddedToken, AddedTokenFinder } from "./added-tokens.ts";
import { trainMerges, type Merge } from "./bpe-train.ts";
import { type NormalForm, normalise } from "./normal-forms.ts";
import type { PostProcessor } from "./post-processor.ts";
import { forEachWord, wordCutter, type WordRule } from "./pretokenise.ts";
import { SmallestFirst } from "./priority-queue.ts";

/** The token that follows every document. */
export const endOfText: string = "<|endoftext|>";

/** Everything that determines what a tokenizer does. */
export interface TokenizerDefinition {
  /** The bytes of each token by its number; undefined where a number is unused. */
  readonly tokens: readonly (Uint8Array | undefined)[];
  /** The merges in order of rank: two tokens and the one they make. */
  readonly merges: readonly (readonly [left: number, right: number, merged: number])[];
  readonly added: readonly AddedToken[];
  /** The normal forms that a text is brought to, one after the other; none by default. */
  readonly normalForms?: readonly NormalForm[];
  readonly words: WordRule;
  /** Whether a word that is a token becomes that token, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** What is put around a text for a model; nothing by default. */
  readonly postProcessor?: PostProcessor;
  /** The added token that begins a text, by its content; by default the one that the post-processor puts first. */
  readonly beginToken?: string;
  /** The added token that ends a text, by its content; `<|endoftext|>` by default. */
  readonly endToken?: string;
}

/** Text as tokens arrive. All returned pieces joined are what `decode` returns for all of the tokens. */
export interface StreamDecoder {
  /** The text that has become certain with this token; it never ends inside a character. */
  push(id: number): string;
  /** The rest: U+FFFD where the last character is incomplete. */
  end(): string;
}

interface Pair {
  readonly rank: number;
  readonly merged: number;
}

/** The largest number of cached words; then the cache starts again. */
const cachedWords = 1 << 17;
/** The longest word that is cached, in UTF-16 units: few longer ones come twice. */
const longestCached = 256;

/**
 * A byte-level byte-pair encoder and decoder. Any text can be encoded, and decoding gives it back.
 * `trainTokenizer` makes one from texts, `readTokenizer` from a `tokenizer.json`.
 *
 * Its constructor throws an Error when a byte has no token, and `decode` a RangeError for a number that is no
 * token.
 */
export class Tokenizer {
  readonly definition: TokenizerDefinition;
  /** Token numbers are below this. */
  readonly vocabularySize: number;
  /** The number of the token that ends a text, usually `<|endoftext|>`, if the tokenizer has it. */
  readonly endOfText: number | undefined;
  /** The number of the token that begins a text, if the tokenizer has one. */
  readonly begin: number | undefined;
  /** The tokens that a model expects before a text; `encode` leaves them out. */
  readonly before: readonly number[];
  /** How many bytes of text each token stands for; 0 for special tokens. */
  readonly byteLengths: Uint32Array;

  readonly #pieces: readonly (Uint8Array | undefined)[];
  readonly #addedById: ReadonlyMap<number, AddedToken>;
  readonly #addedBefore: AddedTokenFinder;
  readonly #addedAfter: AddedTokenFinder;
  readonly #forEachWord: (text: string, visit: (word: string) => void) => void;
  readonly #byteTokens: Int32Array;
  readonly #pairs: ReadonlyMap<number, Pair>;
  readonly #wholeWords: ReadonlyMap<string, number>;
  readonly #cache = new Map<string, ArrayLike<number>>();
  readonly #encoder = new TextEncoder();

  constructor(definition: TokenizerDefinition) {
    expectFields("Tokenizer", definition, definitionRules, "field of a definition");
    expectGiven("Tokenizer", definition, definitionRules, ["tokens", "merges", "added", "words", "ignoreMerges"]);
    expectFields("Tokenizer: words", definition.words, wordRules, "field of words");
    expectGiven("Tokenizer: words", definition.words, wordRules, ["splits", "prefixSpace", "gpt2"]);
    const { tokens, merges, added, postProcessor, beginToken, endToken = endOfText } = definition;
    this.definition = definition;
    this.vocabularySize = added.reduce((size, { id }) => Math.max(size, id + 1), tokens.length);
    this.#addedById = new Map(added.map((token) => [token.id, token]));
    const idOf = (wanted: string | undefined) => added.find(({ content }) => content === wanted)?.id;
    this.endOfText = idOf(endToken) ?? idOf(endOfText);
    this.before = postProcessor?.before ?? [];
    this.begin = idOf(beginToken) ?? (this.before.length === 1 ? this.before[0] : undefined);
    this.#pieces = Array.from({ length: this.vocabularySize }, (_, id) => {
      const token = this.#addedById.get(id);
      return token ? this.#encoder.encode(token.content) : tokens[id];
    });
    this.byteLengths = Uint32Array.from(this.#pieces, (_, id) => this.bytesOf(id).length);

    this.#addedBefore = new AddedTokenFinder(added.filter(({ normalized }) => !normalized));
    this.#addedAfter = new AddedTokenFinder(
      added.filter(({ normalized }) => normalized),
      (content) => this.#normalise(content),
    );
    this.#forEachWord = wordCutter(definition.words);
    this.#byteTokens = new Int32Array(256).fill(-1);
    tokens.forEach((bytes, id) => {
      if (bytes?.length === 1) this.#byteTokens[bytes[0]!] = id;
    });
    const missing = this.#byteTokens.findIndex((id, byte) => id < 0 && !neverInUtf8(byte));
    if (missing >= 0) {
      throw new Error(`the tokenizer has no token for byte ${missing}; a byte-level vocabulary has all 256`);
    }
    this.#pairs = new Map(
      merges.map(([left, right, merged], rank) => [left * this.vocabularySize + right, { rank, merged }]),
    );
    this.#wholeWords = definition.ignoreMerges ? spellings(tokens) : new Map();
  }

  /** The tokens of a text. */
  encode(text: string): Uint32Array {
    expectText("encode", text);
    let ids = new Uint32Array(Math.max(16, text.length >> 1));
    let length = 0;
    const append = (more: ArrayLike<number>): void => {
      if (length + more.length > ids.length) {
        const larger = new Uint32Array(2 * (length + more.length));
        larger.set(ids.subarray(0, length));
        ids = larger;
      }
      ids.set(more, length);
      length += more.length;
    };
    const appendToken = ({ id }: AddedToken): void => append([id]);
    this.#addedBefore.forEachPart(
      text.toWellFormed(),
      (section) => {
        this.#addedAfter.forEachPart(
          this.#normalise(section),
          (words) => this.#forEachWord(words, (word) => append(this.#encodeWord(word))),
          appendToken,
        );
      },
      appendToken,
    );
    return ids.slice(0, length);
  }

  /** The text in the normal forms that the definition asks for. */
  #normalise(text: string): string {
    return (this.definition.normalForms ?? []).reduce(normalise, text);
  }

  /** The text of some tokens, with U+FFFD where their bytes are not UTF-8. */
  decode(ids: Iterable<number>): string {
    if (typeof ids !== "object" || ids === null || !(Symbol.iterator in ids))
      throw new TypeError(
        `decode: ${showValue(ids)} is given; it must be a list of tokens. Give such as [${showValue(ids)}].`,
      );
    let text = "";
    let pending: Uint8Array[] = [];
    const flush = (): void => {
      text += createTextDecoder().decode(joined(pending));
      pending = [];
    };
    for (const id of ids) {
      const bytes = this.#piece(id);
      const added = this.#addedById.get(id);
      if (added) {
        flush();
        text += added.content;
      } else {
        pending.push(bytes);
      }
    }
    flush();
    return text;
  }

  /** Decodes token by token. */
  createStreamDecoder(): StreamDecoder {
    let decoder = createTextDecoder();
    const end = (): string => {
      const rest = decoder.decode();
      decoder = createTextDecoder();
      return rest;
    };
    return {
      push: (id) => {
        const bytes = this.#piece(id);
        const added = this.#addedById.get(id);
        return added ? end() + added.content : decoder.decode(bytes, { stream: true });
      },
      end,
    };
  }

  /** The bytes of the corpus that a token stands for: none for a special token. */
  bytesOf(id: number): Uint8Array {
    return this.#addedById.get(id)?.special ? new Uint8Array(0) : this.#piece(id);
  }

  #piece(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabularySize) {
      throw new RangeError(`token ${id} does not exist; this tokenizer has tokens 0 to ${this.vocabularySize - 1}`);
    }
    return this.#pieces[id] ?? new Uint8Array(0);
  }

  #encodeWord(word: string): ArrayLike<number> {
    const cached = this.#cache.get(word);
    if (cached !== undefined) return cached;
    const whole = this.#wholeWords.get(word);
    const ids = whole === undefined ? this.#merge(this.#encoder.encode(word)) : [whole];
    if (word.length > longestCached) return ids;
    if (this.#cache.size >= cachedWords) this.#cache.clear();
    this.#cache.set(word, ids);
    return ids;
  }

  /** A queue of possible merges over a linked list of symbols: n log n even for one endless word. */
  #merge(bytes: Uint8Array): ArrayLike<number> {
    const length = bytes.length;
    const symbols = Int32Array.from(bytes, (byte) => this.#byteTokens[byte]!);
    const next = Int32Array.from(symbols, (_, position) => position + 1);
    const previous = Int32Array.from(symbols, (_, position) => position - 1);
    const pairAt = (position: number): Pair | undefined =>
      next[position]! < length
        ? this.#pairs.get(symbols[position]! * this.vocabularySize + symbols[next[position]!]!)
        : undefined;
    // A rank and a position are one number: lower ranks first, then the leftmost.
    const queue = new SmallestFirst();
    const offer = (position: number): void => {
      const pair = position >= 0 ? pairAt(position) : undefined;
      if (pair) queue.push(pair.rank * length + position);
    };

    for (let position = 0; position < length; position++) offer(position);
    while (queue.size > 0) {
      const first = queue.pop();
      const rank = Math.floor(first / length);
      const position = first - rank * length;
      const pair = symbols[position] === absorbed ? undefined : pairAt(position);
      if (pair?.rank !== rank) continue;
      const second = next[position]!;
      symbols[position] = pair.merged;
      symbols[second] = absorbed;
      const after = next[second]!;
      next[position] = after;
      if (after < length) previous[after] = position;
      offer(previous[position]!);
      offer(position);
    }
    return symbols.filter((symbol) => symbol !== absorbed);
  }
}

const definitionRules: FieldRules<TokenizerDefinition> = {
  tokens: "list",
  merges: "list",
  added: "list",
  normalForms: "list",
  words: "group",
  ignoreMerges: "flag",
  postProcessor: "group",
  beginToken: "text",
  endToken: "text",
};
const wordRules: FieldRules<WordRule> = { splits: "list", prefixSpace: "flag", gpt2: "flag" };

function expectText(operation: string, text: unknown): void {
  if (typeof text !== "string")
    throw new TypeError(`${operation}: ${showValue(text)} is given; it must be a text. Give a string.`);
}

/** UTF-8 has no such byte in any text, so a vocabulary need not have it either. */
const neverInUtf8 = (byte: number): boolean => byte === 0xc0 || byte === 0xc1 || byte >= 0xf5;

const absorbed = -1;

/** `ignoreBOM` keeps a U+FEFF at the start, which is text here. */
const createTextDecoder = (): TextDecoder => new TextDecoder("utf-8", { ignoreBOM: true });

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Every token that consists of whole characters, by its text. */
function spellings(tokens: readonly (Uint8Array | undefined)[]): Map<string, number> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  const known = new Map<string, number>();
  tokens.forEach((bytes, id) => {
    try {
      if (bytes) known.set(decoder.decode(bytes), id);
    } catch {
      // It is part of a character, so no word is equal to it.
    }
  });
  return known;
}

/** How large a vocabulary to learn. */
export interface TokenizerTraining {
  /** The number of tokens: 256 bytes, the merges and, unless `separator` is false, `<|endoftext|>`. */
  readonly vocabularySize: number;
  /** Whether the vocabulary ends with `<|endoftext|>`; true by default. */
  readonly separator?: boolean;
  /** Called from time to time with the share of the work done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/**
 * A tokenizer for texts like the given ones: token b is byte b for b < 256, then the merges, most valuable
 * first, then `<|endoftext|>`. A text too short for so many merges (a pair must occur twice) gives a
 * smaller vocabulary.
 *
 * @throws RangeError when the vocabulary is smaller than the bytes it must hold, or above 2^20
 */
export function trainTokenizer(texts: Iterable<string>, options: TokenizerTraining): Tokenizer {
  expectFields("trainTokenizer", options, { vocabularySize: "number", separator: "flag", onProgress: "function" });
  const { vocabularySize, separator = true, onProgress } = options;
  const smallest = separator ? 257 : 256;
  const largest = 2 ** 20;
  if (!Number.isInteger(vocabularySize) || vocabularySize < smallest || vocabularySize > largest) {
    throw new RangeError(
      `a vocabulary of ${vocabularySize} tokens is not possible: give a whole number from ${smallest} ` +
        `(the 256 bytes${separator ? ` and ${endOfText}` : ""}) to ${largest}`,
    );
  }
  const wanted = vocabularySize - smallest;
  const counts = new Map<string, number>();
  if (typeof texts === "string" || typeof texts !== "object" || texts === null || !(Symbol.iterator in texts))
    throw new TypeError(
      `trainTokenizer: ${showValue(texts)} is given; it must be a list of texts. Give such as ["a text"].`,
    );
  for (const text of texts) {
    expectText("trainTokenizer", text);
    const wellFormed = text.toWellFormed();
    for (const section of separator ? wellFormed.split(endOfText) : [wellFormed]) {
      forEachWord(section, (word) => counts.set(word, (counts.get(word) ?? 0) + 1));
    }
  }
  const merges = trainMerges(counts, wanted, (made) => {
    if (made % 64 === 0) onProgress?.(made / wanted);
  });
  return fromMerges(merges, separator);
}

function fromMerges(merges: readonly Merge[], separator: boolean): Tokenizer {
  const tokens: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (const [left, right] of merges) tokens.push(joined([tokens[left]!, tokens[right]!]));
  return new Tokenizer({
    tokens,
    merges: merges.map(([left, right], index) => [left, right, 256 + index]),
    added: separator ? [{ id: tokens.length, content: endOfText, special: true }] : [],
    words: { splits: [], prefixSpace: false, gpt2: true },
    ignoreMerges: false,
  });
}
