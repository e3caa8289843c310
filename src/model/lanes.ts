// Question: how are many texts read side by side, each at its own pace?
//
// A lane is a place of the decoder's cache; reading.ts says how lanes share each run of the model, and a lane whose reading
// ends takes the next text. Here are the sizes: how many lanes, and which programs. Where a machine computes each row by
// itself, as the CPU does, a text gets the same bits whatever is read beside it.

import { expectFields } from "../basics/fields.ts";
import { powerOfTwo } from "../basics/numbers.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createDecoder } from "./decoder.ts";
import type { LanguageModel } from "./language-model.ts";
import { createReaders, type Errand, type Running } from "./reading.ts";
import type { Shapes } from "./tick.ts";

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

/** No program has fewer rows, or gives fewer scores, so that there are few programs. */
const [LEAST_ROWS, LEAST_SCORES] = [16, 16];
/** Above this, scores are counted in such steps. */
const STEP = 64;

/** Programs of powers of two, with scores in steps. */
const shapesOf = (most: number): Shapes => ({
  room: () => most,
  fit: (rows, scored) => ({
    size: powerOfTwo(Math.max(rows, LEAST_ROWS)),
    wanted: scored > STEP ? STEP * Math.ceil(scored / STEP) : powerOfTwo(Math.max(scored, LEAST_SCORES)),
  }),
});

/** Lanes for the texts of a model; they read with the parameters that the runtime holds at that time. */
export function createLanes(runtime: Runtime, model: LanguageModel, options: LaneOptions = {}): Lanes {
  expectFields("createLanes", options, { lanes: "number", rows: "number", pause: "function" });
  const { vocabulary } = model.config;
  const count = options.lanes ?? Math.max(1, Math.min(32, Math.floor(2 ** 26 / cacheSize(model))));
  const most = options.rows ?? Math.max(LEAST_ROWS, Math.min(512, 2 ** Math.floor(24 - Math.log2(vocabulary))));
  const decoder = createDecoder(runtime, model, count);

  return {
    count,
    async *run<R>(errands: Iterable<Errand<R>>): AsyncIterable<readonly [number, R]> {
      // The parameters may have changed since the run before: nothing that it read is used.
      const readers = createReaders<R>(decoder, model.config, count, shapesOf(most));
      const waiting = errands[Symbol.iterator]();
      /** Weak, so that an errand that has ended takes its scores with it. */
      const numbers = new WeakMap<Running<R>, number>();
      let begun = 0;
      for (;;) {
        while (readers.free > 0) {
          const next = waiting.next();
          if (next.done) break;
          numbers.set(readers.begin(next.value), begun++);
        }
        const ended = readers.advance();
        for (const [running, end] of ended) {
          if ("error" in end) throw end.error;
          yield [numbers.get(running)!, end.result];
        }
        // Their lanes take the next texts before the model runs.
        if (ended.length > 0) continue;
        if (readers.running.length === 0) return;
        await readers.run();
        await options.pause?.();
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
