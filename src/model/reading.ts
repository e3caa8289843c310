// Question: how do many texts share one decoder, so that none waits long and none changes another?
//
// What is done with a text is a generator, a reading: it asks for rows of its text and for the scores after the last of
// them, and goes on when it has these. Each text that is read has a place of the decoder's cache (places.ts). All of them
// share each run of the model, a tick (tick.ts). What a place holds already of the next text is not read again.
//
// Evaluation (lanes.ts) and the server (serving/engine.ts) differ in the texts that they bring and in the programs that
// they choose from. Where a machine computes each row by itself, a text gets the same bits whatever is read beside it.

import type { Decoder } from "./decoder.ts";
import { createPlaces } from "./places.ts";
import { type LaneRow, planTick, type Shapes, type Wish } from "./tick.ts";

/** Rows of tokens at successive places. */
export function rowsFrom(position: number, tokens: readonly number[]): LaneRow[] {
  return tokens.map((token, index) => ({ position: position + index, token }));
}

/** The scores [V] after each row for which they were wanted. They are valid until the next wish. */
export type WishedScores = readonly ArrayLike<number>[];

/** What is done with a text, wish by wish. */
export type Reading<R> = Generator<Wish, R, WishedScores>;

/** A text to read. */
export interface Errand<R> {
  /** What it begins with. */
  readonly tokens: readonly number[];
  /** @param held how many of these tokens need not be read, because the cache holds them */
  read(held: number): Reading<R>;
}

/** How an errand ended. */
export type Ended<R> = { readonly result: R } | { readonly error: unknown };

/** An errand on its way. */
export interface Running<R> {
  readonly errand: Errand<R>;
  /** How many of its tokens were in the cache when it began. */
  readonly known: number;
}

export interface Readers<R> {
  /** How many errands can begin. */
  readonly free: number;
  /** Those on their way, in the order in which they began. */
  readonly running: readonly Running<R>[];
  /** Begin an errand; there must be a free place. */
  begin(errand: Errand<R>): Running<R>;
  /** Let every errand go on that has all that it wished for, and end those that wish for nothing more. */
  advance(): (readonly [Running<R>, Ended<R>])[];
  /** Run the model once, for errands that were advanced; there must be one. Returns how many rows it read, and of how many. */
  run(): Promise<{ readonly rows: number; readonly size: number }>;
  /** End an errand before its time. `known`: whether its place still holds what was read. */
  leave(errand: Running<R>, known?: boolean): void;
}

interface Text<R> extends Running<R> {
  readonly slot: number;
  readonly reading: Reading<R>;
  /** The tokens whose keys and values are in its place, from position 0 on. */
  readonly held: number[];
  wish: Wish;
  done: number;
  scores: ArrayLike<number>[];
}

/**
 * @param decoder which nothing else uses
 * @param places how many texts are read at a time
 */
export function createReaders<R>(
  decoder: Decoder,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  places: number,
  shapes: Shapes,
): Readers<R> {
  const free = createPlaces(places);
  const texts = new Set<Text<R>>();

  const leave = (text: Text<R>, known: boolean): void => {
    if (!texts.delete(text)) return;
    free.give({ slot: text.slot, held: known ? text.held : [] });
  };

  /** Ask a reading for its next wish. */
  const next = (text: Text<R>): Ended<R> | undefined => {
    try {
      const { done, value } = text.reading.next(text.scores);
      if (done) return { result: value };
      const last = Math.max(...value.rows.map(({ position }) => position));
      if (last >= context)
        throw new RangeError(
          `read: a text of ${last + 1} tokens; the window has ${context}; leave out its first tokens.`,
        );
      Object.assign(text, { wish: value, done: 0, scores: [] });
      return undefined;
    } catch (error) {
      return { error };
    }
  };

  return {
    get free() {
      return free.free;
    },
    get running() {
      return [...texts];
    },
    begin(errand) {
      const { slot, known } = free.take(errand.tokens)!;
      const text: Text<R> = {
        errand,
        known,
        slot,
        reading: errand.read(known),
        held: errand.tokens.slice(0, known),
        wish: { rows: [], wanted: 0 },
        done: 0,
        scores: [],
      };
      texts.add(text);
      return text;
    },
    advance() {
      const ended: [Text<R>, Ended<R>][] = [];
      for (const text of texts) {
        const end = text.done === text.wish.rows.length ? next(text) : undefined;
        if (end) ended.push([text, end]);
      }
      for (const [text] of ended) leave(text, true);
      return ended;
    },
    async run() {
      const { rows, scored, shape } = planTick([...texts], shapes);
      for (const { text, position, token } of rows) {
        text.held.length = position;
        text.held.push(token);
        text.done++;
      }
      const scores = await decoder.read(
        rows.map(({ text: { slot }, position, token }) => ({ slot, position, token })),
        shape.wanted,
        shape.size,
      );
      const first = shape.wanted - scored.length;
      for (const [index, { text }] of scored.entries()) {
        const place = (first + index) * vocabulary;
        const row = scores.subarray(place, place + vocabulary);
        // The next run overwrites its scores.
        text.scores.push(text.done < text.wish.rows.length ? row.slice() : row);
      }
      return { rows: rows.length, size: shape.size };
    },
    leave(running, known = true) {
      leave(running as Text<R>, known);
    },
  };
}
