// Question: which tokens does step k learn from, and which does validation measure?
//
// A batch is B windows of T tokens and, as targets, the same windows one token later.
// Shapes: B windows, T tokens of context; arrays are [B * T], row after row.
//
// Training windows start anywhere, chosen by the counter-based generator from the seed, the step and
// the row, or are shuffled so that each is read once before any is read again (window-order.ts). Either way there is
// no state, so a resumed run sees the batches it would have seen. Microbatch m of B rows has
// rows m B to m B + B - 1 of its step, so two microbatches of 8 are one batch of 16.
//
// Validation windows lie one after another from the start of the file, window i over tokens i T to i T + T, so
// every target is predicted once. An incomplete batch at the end is left out. A file with fewer windows than one
// batch fills the batch by starting again.

import { given } from "../basics/given.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { MOST_SEQUENCES } from "../basics/bounds.ts";
import { showMany } from "../basics/show.ts";
import { streams, uniformInteger } from "./random.ts";
import type { TokenSource } from "./tokens.ts";
import { type ShuffledSource, type ShuffleOptions, shuffledWindows } from "./window-order.ts";

/** B windows of T tokens, row after row, and the token that follows each. */
export interface Batch {
  /** [B * T] what the model reads. */
  readonly tokens: Int32Array;
  /** [B * T] what the model should predict: the token after each of `tokens`. */
  readonly targets: Int32Array;
  /**
   * [B * T] what the loss of each target is multiplied by before the mean over all of them, where not all count alike:
   * 0 where it does not count; the mean weight is 1. Absent: 1 for all.
   */
  readonly weights?: Float32Array;
}

/** A batch of validation text, with what is needed to compute bits per byte. */
export interface ValidationBatch extends Batch {
  /**
   * Bytes of text that the targets stand for. Bits per byte of some batches is the sum of their losses in nats
   * over all targets, divided by ln 2 and by the sum of their bytes. The ends of documents are predicted too and
   * stand for 0 bytes.
   */
  readonly bytes: number;
  /** How many of the targets count; absent: all. */
  readonly counted?: number;
}

/** Where tokens come from, and how many a batch holds. */
export interface BatchOptions {
  readonly train: TokenSource;
  readonly validation: TokenSource;
  /** Bytes of each token, `tokenizer.byteLengths`. */
  readonly byteLengths: ArrayLike<number>;
  /** B, rows of one (micro)batch. */
  readonly batchSize: number;
  /** T, tokens of one row. */
  readonly contextLength: number;
  readonly seed: number;
  /** The largest number of validation batches; all by default. */
  readonly validationLimit?: number;
  /** Read every training window once before any again, in shuffled order. Default: windows start anywhere. */
  readonly shuffle?: ShuffleOptions;
  /** Training windows come from this first share of the training tokens alone, in (0, 1]. Default: 1. */
  readonly trainingShare?: number;
}

const optionRules: FieldRules<BatchOptions> = {
  train: "group",
  validation: "group",
  byteLengths: "list",
  batchSize: "number",
  contextLength: "number",
  seed: "number",
  validationLimit: "number",
  shuffle: "group",
  trainingShare: "number",
};

/** Batches by step: the same step gives the same batch, regardless of earlier calls. */
export interface Batches {
  readonly batchSize: number;
  readonly contextLength: number;
  /** How many batches `validationBatches` gives. */
  readonly validationCount: number;
  /** Windows for a step, from 0; microbatch 0 by default. Throws a RangeError when a step has too many rows. */
  trainingBatch(step: number, microbatch?: number): Batch;
  /** Windows side by side over the validation text, the same every time. */
  validationBatches(): Generator<ValidationBatch, void, undefined>;
}

/**
 * Training and validation batches over two token sources.
 *
 * @throws RangeError when a size is not a whole number of at least 1; Error when a text is shorter than a window
 */
export function createBatches(options: BatchOptions): Batches {
  expectFields("createBatches", options, optionRules);
  const {
    train,
    validation,
    byteLengths,
    batchSize,
    contextLength,
    seed,
    validationLimit = Infinity,
    shuffle,
    trainingShare = 1,
  } = options;
  checkCount("batchSize", batchSize);
  checkCount("contextLength", contextLength);
  if (trainingShare !== 1 && shuffle?.mixture)
    throw new Error(
      `createBatches: trainingShare is ${trainingShare}, and the text is a mixture of sources; give a share of one source. Leave trainingShare out.`,
    );
  const learned = firstShare(train, trainingShare);
  expectWindows({ training: learned, validation }, contextLength);

  const starts = learned.length - contextLength;
  const startOf = shuffle
    ? shuffledWindows(learned, contextLength, seed, shuffle)
    : (step: number, row: number): number => uniformInteger(seed, streams.batches, step * MOST_SEQUENCES + row, starts);
  const windows = Math.floor((validation.length - 1) / contextLength);
  const validationCount = Math.max(1, Math.min(validationLimit, Math.floor(windows / batchSize)));
  const window = new Int32Array(contextLength + 1);

  const gather = (source: TokenSource, startOf: (row: number) => number): Batch => {
    const tokens = new Int32Array(batchSize * contextLength);
    const targets = new Int32Array(batchSize * contextLength);
    for (let row = 0; row < batchSize; row++) {
      source.read(startOf(row), contextLength + 1, window);
      tokens.set(window.subarray(0, contextLength), row * contextLength);
      targets.set(window.subarray(1), row * contextLength);
    }
    return { tokens, targets };
  };

  return {
    batchSize,
    contextLength,
    validationCount,
    trainingBatch(step, microbatch = 0) {
      const firstRow = microbatch * batchSize;
      if (firstRow + batchSize > MOST_SEQUENCES) {
        throw new RangeError(
          `step ${step} has more than ${MOST_SEQUENCES} rows: use a smaller batch (--batch) or fewer batches before an update (--accumulate)`,
        );
      }
      return gather(train, (row) => startOf(step, firstRow + row));
    },
    *validationBatches() {
      for (let index = 0; index < validationCount; index++) {
        const batch = gather(validation, (row) => ((index * batchSize + row) % windows) * contextLength);
        const bytes = batch.targets.reduce((sum, id) => sum + byteLengths[id]!, 0);
        yield { ...batch, bytes };
      }
    },
  };
}

/** What is known of a part of a source without reading it. */
type Part = ShuffledSource & Pick<TokenSource, "bytes">;

/** The first share of a source, rounded to whole tokens. */
function firstShare(source: TokenSource, share: number): Part {
  if (share === 1) return source;
  if (!(share > 0 && share < 1))
    throw new RangeError(
      `createBatches: trainingShare is ${share}; it must be above 0 and at most 1. Give such as 0.1.`,
    );
  const length = Math.round(share * source.length);
  return { length, bytes: share * source.bytes, ...given({ seams: source.seams?.filter((seam) => seam < length) }) };
}

function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`createBatches: ${name} is ${value}; it must be a whole number of at least 1.`);
  }
}

/**
 * Throw unless both parts have a window. The advice holds for both at once, so that following it suffices.
 *
 * @throws Error with the longest context that both parts have tokens for, if there is one
 */
function expectWindows(parts: Readonly<Record<"training" | "validation", Part>>, contextLength: number): void {
  const needed = contextLength + 1;
  const short = Object.entries(parts).filter(([, { length }]) => length < needed);
  if (short.length === 0) return;
  const told = short.map(([part, { length }]) => `the ${part} text has ${showMany(length, "token")}`).join(" and ");
  const longest = Math.min(...Object.values(parts).map(({ length }) => length)) - 1;
  // Without merges every byte is a token, so this is the most that a smaller vocabulary can give.
  const bytes = Math.min(...short.map(([, part]) => part.bytes));
  const remedies = [
    ...(longest >= 1 ? [`use a context of at most ${longest} (--context)`] : []),
    longest >= 1 ? "more text" : "no context is short enough: use more text",
    ...(bytes >= needed ? ["a vocabulary of 257, which makes every byte a token (--vocabulary)"] : []),
  ];
  throw new Error(`${told}, but a window of context ${contextLength} needs ${needed}: ${listed(remedies)}.`);
}

/** "a", "a or b", "a, b or c". */
const listed = (texts: readonly string[]): string =>
  texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} or ${texts.at(-1)}`;
