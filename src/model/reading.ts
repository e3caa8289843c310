// Question: how do many texts share one decoder, so that none waits long and none changes another?
//
// What is done with a text is a generator, a reading: it asks for rows of its text and for the scores after the last of
// them, and goes on when it has these. Each text that is read has a place of the decoder's cache, and shares what it has in
// common with others (blocks.ts): this is read once. All texts share each run of the model, a tick (tick.ts).
//
// Evaluation (lanes.ts) and the server (serving/engine.ts) differ in the texts that they bring and in the programs that
// they choose from. Where a machine computes each row by itself, a text gets the same bits whatever is read beside it.

import { createBlocks, type Place } from "./blocks.ts";
import { BLOCK, type Decoder } from "./decoder.ts";
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
  /** What it begins with. Others may share the cache of these tokens, so that no other rows may be read in their place. */
  readonly tokens: readonly number[];
  /** @param held how many of these tokens need not be read, because the cache holds them */
  read(held: number): Reading<R>;
}

/** How an errand ended. */
export type Ended<R> = { readonly result: R } | { readonly error: unknown };

/** An errand on its way. */
export interface Running<R> {
  readonly errand: Errand<R>;
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
  /**
   * Run the model once, for errands that were advanced; there must be one. Returns how many rows it read, and of how many.
   *
   * @param meanwhile done while the machine computes, as far as it can do so by itself
   */
  run(meanwhile?: () => Promise<void>): Promise<{ readonly rows: number; readonly size: number }>;
  /** End an errand before its time. `known`: whether its place still holds what was read. */
  leave(errand: Running<R>, known?: boolean): void;
}

interface Text<R> extends Running<R> {
  readonly place: Place;
  /** The blocks that the decoder knows of. */
  blocks: readonly number[];
  /** Absent while others read what it has in common with them. */
  reading?: Reading<R>;
  /** The tokens whose keys and values are in its place, from position 0 on. */
  held: number[];
  wish: Wish;
  done: number;
  scores: ArrayLike<number>[];
}

const NOTHING: Wish = { rows: [], wanted: 0 };

/**
 * @param decoder which nothing else uses
 * @param count how many texts are read at a time
 */
export function createReaders<R>(
  decoder: Decoder,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  count: number,
  shapes: Shapes,
): Readers<R> {
  const blocks = createBlocks(count, decoder.blocks, BLOCK);
  const texts = new Set<Text<R>>();

  const leave = (text: Text<R>, known: boolean): void => {
    if (texts.delete(text)) text.place.leave(known ? text.held : []);
  };

  /** Throw if rows do not fit into the window, or change what others may look at. */
  const expectRows = ({ errand, place }: Text<R>, { rows }: Wish): void => {
    for (const { position, token } of rows) {
      if (position >= context)
        throw new RangeError(
          `read: a text of ${position + 1} tokens; the window has ${context}; leave out its first tokens.`,
        );
      if (position < place.shared && token !== errand.tokens[position])
        throw new RangeError(
          `read: token ${token} is read at position ${position}, where the errand's tokens have ${errand.tokens[position]}; give it no tokens if it reads others.`,
        );
    }
  };

  /** Ask a reading for its next wish. */
  const next = (text: Text<R>): Ended<R> | undefined => {
    try {
      if (!text.reading) {
        const { known } = text.place;
        text.held = text.errand.tokens.slice(0, known);
        text.reading = text.errand.read(known);
      }
      const { done, value } = text.reading.next(text.scores);
      if (done) return { result: value };
      expectRows(text, value);
      Object.assign(text, { wish: value, done: 0, scores: [] });
      return undefined;
    } catch (error) {
      return { error };
    }
  };

  return {
    get free() {
      return blocks.free;
    },
    get running() {
      return [...texts];
    },
    begin(errand) {
      const place = blocks.take(errand.tokens);
      const text: Text<R> = { errand, place, blocks: [], held: [], wish: NOTHING, done: 0, scores: [] };
      texts.add(text);
      return text;
    },
    advance() {
      const ended: [Text<R>, Ended<R>][] = [];
      for (const text of texts) {
        const goesOn = text.reading ? text.done === text.wish.rows.length : text.place.isReady();
        const end = goesOn ? next(text) : undefined;
        if (end) ended.push([text, end]);
      }
      for (const [text] of ended) leave(text, true);
      return ended;
    },
    async run(meanwhile) {
      const { rows, scored, shape } = planTick(
        [...texts].filter(({ reading }) => reading),
        shapes,
      );
      for (const { text, position, token } of rows) {
        text.held.length = position;
        text.held.push(token);
        text.done++;
        const own = text.place.reach(position);
        if (own !== text.blocks) decoder.place(text.place.slot, own);
        text.blocks = own;
      }
      const end = decoder.begin(
        rows.map(({ text, position, token }) => ({ slot: text.place.slot, position, token })),
        shape.wanted,
        shape.size,
      );
      await meanwhile?.();
      const scores = await end();
      for (const text of new Set(rows.map((row) => row.text))) text.place.note(text.held.length);
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
