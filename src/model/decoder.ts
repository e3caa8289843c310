// Question: how does a model read the next token without reading all earlier ones again?
//
// There is one program for R rows. A row is a token of some text: its slot in the cache, its position, its id.
// A prompt that is read at once is rows of one text at successive positions; a step of decoding is one row of each
// of many texts. The program returns the scores after the last L rows; earlier rows only fill the cache.
// Programs are compiled when first needed, for numbers of rows that are powers of two; the rest is padding.
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

export interface Decoder {
  /** How many texts the cache has room for; slots are numbered from 0. */
  readonly slots: number;
  /**
   * Read rows, in order, and return the scores of the token after each of the last `wanted`: [wanted, V].
   *
   * @param size rows of the program that reads them. Default: the next power of two; the rest is padding before them
   * @throws RangeError for a token, position or slot that does not exist
   */
  read(rows: readonly Row[], wanted: number, size?: number): TensorValues | Promise<TensorValues>;
  /** Compile what reading this many rows will need. */
  prepare(rows: number, wanted: number): void;
  /** Release the programs and the cache. */
  release(): void;
}

/** A prompt can need one program for each power of two; more are needed only when texts end one by one. */
export const KEPT_PROGRAMS = 16;

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
  const cache = keyValueCache({ slots, length: context, dimension: rotarySize(model.config), theta: ropeTheta });
  const table = runtime.compile({ outputs: {}, updates: [[cache.angles, cache.table]] });
  table.run();
  table.release();
  /** The most recently used one comes last. */
  const programs = new Map<string, Compiled>();
  const states = new Set([cache.angles]);

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
    const cached = cachedTexts(cache, { positions, slots: slotOf });
    const { hidden_NC } = model.hidden(tokens, undefined, cached);
    // Connections that depend on a sequence keep something too.
    if (cached.updates.length < 2 * model.config.layers)
      throw new Error("decode: an attention layer of this model does not attend to a cache.");
    for (const [state] of cached.updates) states.add(state);
    const logits = model.logits(slice(hidden_NC, 0, rows - wanted, wanted));
    const program = runtime.compile({ outputs: { logits }, updates: cached.updates, steady: true });
    return { count: rows, program, tokens, positions, slots: slotOf };
  };

  return {
    slots,
    read(rows, wanted, size) {
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
      program.run();
      return program.readNow?.("logits") ?? program.read("logits");
    },
    prepare: (rows, wanted) => void compiled(rows, wanted),
    release() {
      for (const { program } of programs.values()) program.release();
      programs.clear();
      for (const state of states) runtime.forget(state);
    },
  };
}

/** How many tokens two texts have in common from their start: what a slot that holds one need not read of the other. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
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
