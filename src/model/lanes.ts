// Question: how are many texts read side by side, each at its own pace?
//
// A lane is a place of the decoder's cache. What is done with a text is a generator, a reading: it asks for rows of its
// lane and for the scores after the last of them, and goes on when it has these. All lanes share each run of the model;
// a lane whose reading ends takes the next text. A lane knows the tokens that it holds, and what the next text has in
// common with them is not read again, be it the examples of a prompt or a question that has several answers.
//
// Where a machine computes each row by itself, as the CPU does, a text gets the same bits whatever is read beside it.

import { expectFields } from "../basics/fields.ts";
import { powerOfTwo } from "../basics/numbers.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { commonLength, createDecoder, type Row } from "./decoder.ts";
import type { LanguageModel } from "./language-model.ts";

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
  /** @param held how many of these tokens the lane holds already */
  read(held: number): Reading<R>;
}

/** How many lanes there are, and how much they read at once. */
export interface LaneOptions {
  /** Texts side by side. Default: 32, or fewer where their caches would need more than 256 MiB. */
  readonly lanes?: number | undefined;
  /** Most rows of a run of the model, a power of two. Default: 512, or fewer where their scores would need more than 64 MiB. */
  readonly rows?: number | undefined;
  /**
   * Awaited between runs of the model. On the CPU these need no waiting, so that without it the program hears of
   * nothing else, such as a signal, until all is read. Default: nothing
   */
  readonly pause?: (() => Promise<void>) | undefined;
}

/** Texts side by side; the file's head says how. */
export interface Lanes {
  /** How many texts are read side by side. */
  readonly count: number;
  /** Run errands, and give the result of each with its number, in the order in which they end. One call at a time. */
  run<R>(errands: Iterable<Errand<R>>): AsyncIterable<readonly [errand: number, result: R]>;
  /** Compile the largest programs that a run can need. */
  prepare(): void;
  /** Release the programs and the cache. */
  release(): void;
}

interface Lane {
  readonly slot: number;
  /** The tokens whose keys and values are in the cache, from position 0 on. */
  readonly held: number[];
}

/** An errand on its way. */
interface Running<R> {
  readonly number: number;
  readonly lane: Lane;
  readonly reading: Reading<R>;
  wish: Wish;
  /** Rows of the wish that are read. */
  done: number;
  scores: ArrayLike<number>[];
}

/** No program has fewer rows, or gives fewer scores, so that there are few programs. */
const [LEAST_ROWS, LEAST_SCORES] = [16, 16];
/** Above this, scores are counted in such steps. */
const STEP = 64;

/** Lanes for the texts of a model; they read with the parameters that the runtime holds at that time. */
export function createLanes(runtime: Runtime, model: LanguageModel, options: LaneOptions = {}): Lanes {
  expectFields("createLanes", options, { lanes: "number", rows: "number", pause: "function" });
  const { context, vocabulary } = model.config;
  const count = options.lanes ?? Math.max(1, Math.min(32, Math.floor(2 ** 26 / cacheSize(model))));
  const most = options.rows ?? Math.max(LEAST_ROWS, Math.min(512, 2 ** Math.floor(24 - Math.log2(vocabulary))));
  const decoder = createDecoder(runtime, model, count);
  const idle = Array.from({ length: count }, (_, slot): Lane => ({ slot, held: [] }));

  /** Ask a reading for its next wish. What it returns is its result. */
  function advance<R>(errand: Running<R>): { readonly result: R } | undefined {
    const { done, value } = errand.reading.next(errand.scores);
    if (done) return { result: value };
    const last = Math.max(...value.rows.map(({ position }) => position));
    if (last >= context)
      throw new RangeError(
        `read: a text of ${last + 1} tokens; the window has ${context}; leave out its first tokens.`,
      );
    Object.assign(errand, { wish: value, done: 0, scores: [] });
    return undefined;
  }

  /** Read rows of the errands, as many as a run takes, and hand out their scores. */
  async function readSome<R>(errands: readonly Running<R>[]): Promise<void> {
    const silent: Row[] = [];
    const scored: { readonly errand: Running<R>; readonly row: Row }[] = [];
    for (const errand of errands) {
      const { lane, wish, done } = errand;
      const end = Math.min(wish.rows.length, done + most - silent.length - scored.length);
      for (let i = done; i < end; i++) {
        const { position, token } = wish.rows[i]!;
        const row = { slot: lane.slot, position, token };
        lane.held.length = position;
        lane.held.push(token);
        if (i < wish.rows.length - wish.wanted) silent.push(row);
        else scored.push({ errand, row });
      }
      errand.done = end;
    }
    const rows = [...silent, ...scored.map(({ row }) => row)];
    const wanted =
      scored.length > STEP ? STEP * Math.ceil(scored.length / STEP) : powerOfTwo(Math.max(scored.length, LEAST_SCORES));
    const scores = await decoder.read(rows, wanted, powerOfTwo(Math.max(rows.length, LEAST_ROWS)));
    for (const [index, { errand }] of scored.entries()) {
      const place = wanted - scored.length + index;
      errand.scores.push(scores.subarray(place * vocabulary, (place + 1) * vocabulary));
    }
    // The next run overwrites its scores.
    for (const errand of errands)
      if (errand.done < errand.wish.rows.length) errand.scores = errand.scores.map((row) => Float32Array.from(row));
  }

  return {
    count,
    async *run<R>(errands: Iterable<Errand<R>>): AsyncIterable<readonly [number, R]> {
      const waiting = errands[Symbol.iterator]();
      let running: Running<R>[] = [];
      let begun = 0;
      const begin = (lane: Lane, { tokens, read }: Errand<R>): Running<R> => {
        const reading = read(commonLength(lane.held, tokens));
        return { number: begun++, lane, reading, wish: { rows: [], wanted: 0 }, done: 0, scores: [] };
      };
      try {
        for (;;) {
          // Lanes take turns at being the first.
          running = [...running.slice(1), ...running.slice(0, 1)];
          while (idle.length > 0) {
            const next = waiting.next();
            if (next.done) break;
            running.push(begin(idle.pop()!, next.value));
          }
          // Those that had all rows they wished for go on.
          const ready = running.filter(({ done, wish }) => done === wish.rows.length);
          const ended: [Running<R>, R][] = [];
          for (const errand of ready) {
            const end = advance(errand);
            if (end) ended.push([errand, end.result]);
          }
          for (const [errand] of ended) {
            running.splice(running.indexOf(errand), 1);
            idle.push(errand.lane);
          }
          for (const [{ number }, result] of ended) yield [number, result];
          if (running.length > 0) {
            await readSome(running);
            await options.pause?.();
          } else if (ended.length === 0) return;
        }
      } finally {
        // What an unfinished errand has put into its lane is forgotten.
        for (const { lane } of running) idle.push({ slot: lane.slot, held: [] });
      }
    },
    prepare() {
      for (const wanted of [LEAST_SCORES, most]) decoder.prepare(most, wanted);
    },
    release: () => decoder.release(),
  };
}

/** Floats of the cache of one text. */
function cacheSize({ config }: LanguageModel): number {
  const { layers, context, kvHeads, width, heads, attention } = config;
  const perToken = attention ? attention.rotarySize + 2 * attention.rank : 2 * kvHeads * (width / heads);
  return layers * context * perToken;
}
