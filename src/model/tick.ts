// Question: which rows does the next run of the model have?
//
// First every text with a single row left: it is being written and must not wait. Then the others, the oldest first, as
// many of their rows as there is room for. Rows whose scores are wanted come last, because a program gives the scores of
// its last rows; the rows of one text stay in their order.

import type { Row } from "./decoder.ts";

/** A token to read, and its place in the text; the tokens before that place must have been read. */
export type LaneRow = Omit<Row, "slot">;

/**
 * Rows that a reading asks for, and for how many of the last of them it wants the scores that follow. They are read in
 * order: a row at a place that was read before takes it over, and what came after that place is forgotten.
 */
export interface Wish {
  readonly rows: readonly LaneRow[];
  readonly wanted: number;
}

/** What a run of the model needs to know of a text. */
export interface Wishing {
  readonly wish: Wish;
  /** How many rows of the wish are read. */
  readonly done: number;
}

/** A program: how many rows it reads, and for how many of the last it gives scores. */
export interface Shape {
  /** Padding included. */
  readonly size: number;
  readonly wanted: number;
}

/** Which programs there are to choose from. */
export interface Shapes {
  /** Most rows of a run in which so many texts have a single row left, and so many others have more. */
  room(writing: number, reading: number): number;
  /** The program for so many rows, no more than `room` said, with scores for so many of them. */
  fit(rows: number, scored: number): Shape;
}

/** A row of a text. */
export interface TickRow<T> extends LaneRow {
  readonly text: T;
}

export interface Tick<T> {
  /** In the order in which they are read. */
  readonly rows: readonly TickRow<T>[];
  /** The last of them, whose scores are wanted. */
  readonly scored: readonly TickRow<T>[];
  readonly shape: Shape;
}

/** @param texts the oldest first, at least one, each with a row to read */
export function planTick<T extends Wishing>(texts: readonly T[], shapes: Shapes): Tick<T> {
  const left = ({ wish, done }: T): number => wish.rows.length - done;
  const writing = texts.filter((text) => left(text) === 1);
  const reading = texts.filter((text) => left(text) > 1);
  const room = shapes.room(writing.length, reading.length);
  const silent: TickRow<T>[] = [];
  const scored: TickRow<T>[] = [];
  for (const text of [...writing, ...reading]) {
    const { wish, done } = text;
    const end = Math.min(wish.rows.length, done + room - silent.length - scored.length);
    for (let at = done; at < end; at++)
      (at < wish.rows.length - wish.wanted ? silent : scored).push({ ...wish.rows[at]!, text });
  }
  const rows = [...silent, ...scored];
  return { rows, scored, shape: shapes.fit(rows.length, scored.length) };
}
