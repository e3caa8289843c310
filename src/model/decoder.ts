// Question: how does a model read the next token without reading all earlier ones again?
//
// There is one program for R rows. A row is a token of some text: its slot in the cache, its position, its id.
// A prompt that is read at once is rows of one text at successive positions; a step of decoding is one row of each
// of many texts. The program returns the scores after the last L rows; earlier rows only fill the cache.
//
// The cache is a pool of blocks of B positions, and a table says which blocks hold the text of a slot. A slot has blocks
// of its own to begin with; blocks.ts lets texts with a common beginning share them.
//
// Programs are compiled when first needed, usually for numbers of rows that are powers of two; the rest is padding.
// The most recently used programs are kept.

import { powerOfTwo } from "../basics/numbers.ts";
import { input } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import { slice } from "../ops/slice.ts";
import type { TensorValues } from "../runtime/program.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import { cachedTexts, keyValueCache } from "./attending.ts";
import { rotarySize } from "./latent-attention.ts";
import type { LanguageModel } from "./language-model.ts";

/** One token to read. */
export interface Row {
  readonly slot: number;
  /** Its place in the text, 0 for the first; the text's earlier tokens must have been read. */
  readonly position: number;
  readonly token: number;
}

/** At once where a processor computes them. */
export type Scores = TensorValues | Promise<TensorValues>;

export interface Decoder {
  /** How many texts the cache has room for; slots are numbered from 0. */
  readonly slots: number;
  /** How many blocks the pool has: so many for each slot. */
  readonly blocks: number;
  /** Which blocks hold the text of a slot, in order. Slot s begins with blocks s · N to (s + 1) · N − 1. */
  place(slot: number, blocks: readonly number[]): void;
  /**
   * Read rows, in order, and return the scores of the token after each of the last `wanted`: [wanted, V].
   *
   * @param size rows of the program that reads them. Default: the next power of two; the rest is padding before them
   * @throws RangeError for a token, position or slot that does not exist
   */
  read(rows: readonly Row[], wanted: number, size?: number): Scores;
  /**
   * The same where the caller has something else to do meanwhile: the scores are there when what this returns is
   * called. Nothing else may be asked of the decoder before.
   */
  begin(rows: readonly Row[], wanted: number, size?: number): () => Scores;
  /** Compile what reading this many rows will need. */
  prepare(rows: number, wanted: number): void;
  /** Release the programs and the cache. */
  release(): void;
}

/** Positions of a block. */
export const BLOCK = 16;

/**
 * A prompt can need one program for each power of two, more are needed only when texts end one by one; a server has one for
 * each of its shapes (serving/shapes.ts), 20 at most.
 */
export const KEPT_PROGRAMS = 24;

interface Compiled {
  /** The number of rows, padding included. */
  readonly count: number;
  readonly program: Program<{ readonly logits: Tensor }>;
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly slots: Tensor;
}

/** Make the cache of a model for some texts; a slot takes layers · context · 2 · kvHeads · headSize floats, with latent attention layers · context · (R + 2L). */
export function createDecoder(runtime: Runtime, model: LanguageModel, slots: number): Decoder {
  const { context, vocabulary, ropeTheta } = model.config;
  const each = Math.ceil(context / BLOCK);
  const blocks = slots * each;
  const cache = keyValueCache({
    blocks,
    blockSize: BLOCK,
    length: context,
    dimension: rotarySize(model.config),
    theta: ropeTheta,
  });
  const table = runtime.compile({ outputs: {}, updates: [[cache.angles, cache.table]] });
  table.run();
  table.release();
  /** The most recently used one comes last. */
  const programs = new Map<string, Compiled>();
  const states = new Set([cache.angles]);
  const tableTensor = input("decode.blocks", [slots, each], "i32");
  const blocksOf = Int32Array.from({ length: blocks }, (_, block) => block);

  const compiled = (rows: number, wanted: number, count = powerOfTwo(rows)): Compiled => {
    const key = `${count} ${wanted}`;
    const program = programs.get(key) ?? compile(count, wanted);
    programs.delete(key);
    programs.set(key, program);
    return program;
  };
  const compile = (rows: number, wanted: number): Compiled => {
    const [oldest] = programs;
    if (oldest && programs.size >= KEPT_PROGRAMS) {
      programs.delete(oldest[0]);
      oldest[1].program.release();
    }
    const tokens = input("decode.tokens", [rows, 1], "i32");
    const positions = input("decode.positions", [rows], "i32");
    const slotOf = input("decode.slots", [rows], "i32");
    const cached = cachedTexts(cache, { positions, slots: slotOf, blocks: tableTensor });
    const { hidden_NC } = model.hidden(tokens, undefined, cached);
    // Connections that depend on a sequence keep something too.
    if (cached.updates.length < 2 * model.config.layers)
      throw new Error("decode: an attention layer of this model does not attend to a cache.");
    for (const [state] of cached.updates) states.add(state);
    const logits = model.logits(slice(hidden_NC, 0, rows - wanted, wanted));
    const program = runtime.compile({ outputs: { logits }, updates: cached.updates, steady: true });
    return { count: rows, program, tokens, positions, slots: slotOf };
  };

  /** The program that reads rows, with its inputs written. */
  const ready = (rows: readonly Row[], wanted: number, size: number | undefined): Compiled["program"] => {
    for (const row of rows) expectRow(row, { slots, context, vocabulary });
    const { count, program, ...inputs } = compiled(rows.length, wanted, size);
    const padding = count - rows.length;
    const column = (fill: number, of: (row: Row) => number): Int32Array => {
      const values = new Int32Array(count).fill(fill, 0, padding);
      rows.forEach((row, index) => (values[padding + index] = of(row)));
      return values;
    };
    runtime.write(
      inputs.tokens,
      column(0, ({ token }) => token),
    );
    runtime.write(
      inputs.positions,
      column(0, ({ position }) => position),
    );
    runtime.write(
      inputs.slots,
      column(-1, ({ slot }) => slot),
    );
    runtime.write(tableTensor, blocksOf);
    return program;
  };
  const scoresOf = (program: Compiled["program"]): Scores => program.readNow?.("logits") ?? program.read("logits");

  return {
    slots,
    blocks,
    place(slot, own) {
      blocksOf.set(own, slot * each);
    },
    read(rows, wanted, size) {
      const program = ready(rows, wanted, size);
      program.run();
      return scoresOf(program);
    },
    begin(rows, wanted, size) {
      const program = ready(rows, wanted, size);
      const end = program.begin?.();
      if (end)
        return () => {
          end();
          return scoresOf(program);
        };
      program.run();
      const scores = scoresOf(program);
      // What goes wrong meanwhile is told to whoever asks for them.
      if (scores instanceof Promise) scores.catch(() => undefined);
      return () => scores;
    },
    prepare: (rows, wanted) => void compiled(rows, wanted),
    release() {
      for (const { program } of programs.values()) program.release();
      programs.clear();
      for (const state of states) runtime.forget(state);
    },
  };
}

function expectRow(
  { slot, position, token }: Row,
  limits: { slots: number; context: number; vocabulary: number },
): void {
  const checks = [
    ["slot", slot, limits.slots],
    ["position", position, limits.context],
    ["token", token, limits.vocabulary],
  ] as const;
  for (const [name, value, limit] of checks)
    if (!Number.isInteger(value) || value < 0 || value >= limit)
      throw new RangeError(`decode: the ${name} must be a whole number from 0 to ${limit - 1}, got ${value}.`);
}
