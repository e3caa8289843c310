// Question: which rows does the next tick have?
//
// First every text that only has to read its last token: it is being written and must not wait. Then the texts whose
// prompts are being read, the oldest first, as many of their tokens as fit. Rows whose scores are wanted come last, because
// a program gives the scores of its last rows; the rows of one text stay in their order.

import type { Shape } from "./shapes.ts";

/** What a tick needs to know of a text. */
export interface TextState {
  /** Tokens of the text so far. */
  readonly tokens: readonly number[];
  /** How many of them the cache has. */
  readonly read: number;
  /** Whether the scores after every token are wanted, not only after the last. */
  readonly scoreAll: boolean;
}

/** A token of a text to read: the token's place in it. */
export interface TickRow<T> {
  readonly text: T;
  readonly position: number;
}

export interface Tick<T> {
  /** In the order in which they are read. */
  readonly rows: readonly TickRow<T>[];
  /** The last of them, whose scores are wanted. */
  readonly scored: readonly TickRow<T>[];
  readonly shape: Shape;
}

/**
 * @param texts the oldest first, at least one, each with a token to read
 * @param shapes the smallest first; the last has room for a row of each text
 * @param chunk rows of a tick while texts are being written, unless these alone are more
 */
export function planTick<T extends TextState>(texts: readonly T[], shapes: readonly Shape[], chunk: number): Tick<T> {
  const pending = ({ tokens, read }: T): number => tokens.length - read;
  const writing = texts.filter((text) => pending(text) === 1);
  const reading = texts.filter((text) => pending(text) > 1);
  const largest = shapes.at(-1)!.size;
  const least = Math.min(largest, Math.max(chunk, writing.length + 1));
  const room = writing.length === 0 ? largest : shapes.find(({ size }) => size >= least)!.size;

  const rows: TickRow<T>[] = writing.map((text) => ({ text, position: text.read }));
  for (const text of reading) {
    const count = Math.min(pending(text), room - rows.length);
    for (let index = 0; index < count; index++) rows.push({ text, position: text.read + index });
  }
  const isScored = ({ text, position }: TickRow<T>): boolean => text.scoreAll || position === text.tokens.length - 1;
  const scored = rows.filter(isScored);
  return {
    rows: [...rows.filter((row) => !isScored(row)), ...scored],
    scored,
    shape: shapes.find(({ size, wanted }) => size >= rows.length && wanted >= scored.length)!,
  };
}
