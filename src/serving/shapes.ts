// Question: which programs give a token the same bits, however many rows they have and whatever the other rows hold?
//
// A program has a shape: it reads up to `size` rows and returns the scores after the last `wanted` of them. Where every
// kernel computes a row by itself, and each of its sums in one order, as the CPU does, all shapes give the same bits. A
// machine may also choose its kernels by the number of rows, as a GPU's library does for every shape. So the shapes are
// tried when a server starts: each reads a text in pieces, before and after the rows of a second text, and those that
// give every score the same bits are of one class. One class is used. It may have a single shape, which is then filled up
// with padding: one program computes every token. The trial also tells how long each shape takes, and so how much of a
// prompt can be read beside texts that are being written.

import { streams, uniformInteger } from "../data/random.ts";
import type { Decoder, Row } from "../model/decoder.ts";
import type { Shape, Shapes } from "../model/tick.ts";

/** A shape, and how long a run of it took at best, in milliseconds. */
export interface TimedShape extends Shape {
  readonly ms: number;
}

export interface EqualShapes {
  /** The smallest first; the last has scores for all its rows. */
  readonly shapes: readonly TimedShape[];
  /** Whether the last gave the same bits beside other rows; if not, nothing can be promised on this machine. */
  readonly invariant: boolean;
}

/** The powers of two up to `largest` and the halves between them, with scores for up to `most` rows, and with scores for all. */
export function shapesUpTo(largest: number, most: number): Shape[] {
  const powers = Array.from({ length: Math.log2(largest) + 1 }, (_, index) => 2 ** index);
  const sizes = powers.flatMap((size) => [...(size > 2 ? [0.75 * size] : []), size]);
  return sizes.flatMap((size) => [...(size > most ? [{ size, wanted: most }] : []), { size, wanted: size }]);
}

/**
 * How a server chooses from shapes. While texts are being written, prompts are read with as many rows as fit into a run
 * that takes at most `stretch` times as long as one in which all the texts, those of the prompts too, have a row, and
 * with one row at least. So a token takes no longer by prompts than `stretch` times what it will take once they are read.
 *
 * @param shapes the smallest first; the last has room for a row of each text
 */
export function servingShapes(shapes: readonly TimedShape[], stretch: number): Shapes {
  const fit = (rows: number, scored: number): TimedShape =>
    shapes.find(({ size, wanted }) => size >= rows && wanted >= scored)!;
  const largest = shapes.at(-1)!;
  return {
    room(writing, reading) {
      if (writing === 0) return largest.size;
      const most = stretch * fit(writing + reading, writing + reading).ms;
      const short = shapes.findLast(({ size, ms }) => size > writing && ms <= most);
      return (short ?? shapes.find(({ size }) => size > writing) ?? largest).size;
    },
    fit,
  };
}

/**
 * Try shapes on a decoder of at least two slots, and by that compile them: the class with the most shapes of those with
 * room for `least` rows, of several the one with the smallest programs.
 *
 * @param shapes the smallest first; one with scores for all rows comes after others of its size
 */
export async function findEqualShapes(
  decoder: Decoder,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  shapes: readonly Shape[],
  least: number,
): Promise<EqualShapes> {
  const length = Math.min(context, shapes.at(-1)!.size);
  const token = (text: number, position: number): number => uniformInteger(text, streams.probing, position, vocabulary);
  const row = (slot: number, position: number): Row => ({ slot, position, token: token(slot, position) });

  /** The scores after every token of text 0, read in pieces; those of text 1 come before or after them. */
  const read = async ({ size, wanted }: Shape, first: boolean): Promise<{ scores: Buffer; ms: number }> => {
    const piece = Math.max(1, wanted >> 1);
    const parts: Buffer[] = [];
    let ms = Infinity;
    for (let start = 0, before = first; start < length; start += piece, before = !before) {
      const count = Math.min(piece, length - start);
      const others = Array.from({ length: wanted - count }, (_, index) => row(1, (start + index) % context));
      const own = Array.from({ length: count }, (_, index) => row(0, start + index));
      const began = performance.now();
      const scores = await decoder.read(before ? [...others, ...own] : [...own, ...others], wanted, size);
      ms = Math.min(ms, performance.now() - began);
      const from = before ? others.length : 0;
      const scored = Float32Array.from(scores.subarray(from * vocabulary, (from + count) * vocabulary));
      parts.push(Buffer.from(scored.buffer));
    }
    return { scores: Buffer.concat(parts), ms };
  };

  const classes: { readonly scores: Buffer; readonly shapes: TimedShape[] }[] = [];
  for (const shape of shapes) {
    const { scores, ms } = await read(shape, true);
    const same = classes.find((each) => each.scores.equals(scores));
    if (same) same.shapes.push({ ...shape, ms });
    else classes.push({ scores, shapes: [{ ...shape, ms }] });
  }
  // A shape with scores for all rows must come last: texts whose every score is wanted are read by it.
  const usable = classes.filter((each) => {
    const { size, wanted } = each.shapes.at(-1)!;
    return size >= least && wanted === size;
  });
  const [best] = usable.toSorted((a, b) => b.shapes.length - a.shapes.length || a.shapes[0]!.size - b.shapes[0]!.size);
  const invariant = best!.scores.equals((await read(best!.shapes.at(-1)!, false)).scores);
  return { shapes: best!.shapes, invariant };
}

/** Runs of each shape, of which the fastest counts. */
const RUNS = 8;

/** The same shapes, on the same decoder, with the time that a run takes now. */
export async function timedAgain(
  decoder: Decoder,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  shapes: readonly TimedShape[],
): Promise<TimedShape[]> {
  const timed: TimedShape[] = [];
  for (const shape of shapes) {
    const rows = Array.from({ length: shape.size }, (_, index): Row => {
      const position = index % context;
      return { slot: 0, position, token: uniformInteger(0, streams.probing, position, vocabulary) };
    });
    let ms = Infinity;
    for (let run = 0; run < RUNS; run++) {
      const began = performance.now();
      await decoder.read(rows, shape.wanted, shape.size);
      ms = Math.min(ms, performance.now() - began);
    }
    timed.push({ ...shape, ms });
  }
  return timed;
}
