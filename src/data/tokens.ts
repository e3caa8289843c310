// Question: how are the tokens of a text read, piece by piece?
//
// A source is a list of token ids that is read in windows. This file has the source that lies in memory; token-file.ts
// has the one that lies in a file, and stored/token-parts.ts the one that lies in parts of many.

/** Tokens in memory or in a file, read piece by piece. */
export interface TokenSource {
  /** The number of tokens. */
  readonly length: number;
  /** Every token is below this. */
  readonly vocabularySize: number;
  /** Bytes of text that the tokens stand for; a document's end counts 0. */
  readonly bytes: number;
  /** Where pieces of text begin that are not the continuation of what comes before, in rising order; absent: nowhere. */
  readonly seams?: readonly number[];
  /** Copies tokens `offset` to `offset + count` to `into`, from index `at` (0 by default). */
  read(offset: number, count: number, into: Int32Array, at?: number): void;
}

/** SHA-256 of the inputs that determine stored tokens. */
export interface TokenOrigin {
  readonly tokenizer: string;
  readonly text: string;
}

/** Tokens on a disk, as a source; `close` it when done. */
export interface StoredTokens extends TokenSource {
  /** What they were made from. */
  readonly origin: TokenOrigin;
  /** SHA-256 that tells them from any others. */
  readonly checksum: string;
  readonly close: () => void;
}

/** Tokens in memory, as a source. */
export function memoryTokens(ids: ArrayLike<number>, vocabularySize: number, bytes: number): TokenSource {
  return {
    length: ids.length,
    vocabularySize,
    bytes,
    read(offset, count, into, at = 0) {
      checkWindow(offset, count, ids.length);
      for (let i = 0; i < count; i++) into[at + i] = ids[offset + i]!;
    },
  };
}

/** Throw unless a window lies within a source. */
export function checkWindow(offset: number, count: number, length: number): void {
  if (!Number.isInteger(offset) || !Number.isInteger(count) || offset < 0 || count < 0 || offset + count > length) {
    throw new RangeError(`tokens ${offset} to ${offset + count} lie outside the text; it has tokens 0 to ${length}`);
  }
}
