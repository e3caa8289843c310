// Question: how does a trained model write?
//
// The prompt is read at once, then token after token, each with the keys and values of the earlier tokens from
// a cache (decoder.ts). Any number of texts are written side by side, each with its own random numbers.
//
// When a text outgrows the window of T tokens, the window slides by half: it then holds the last half window, read
// from position 0 on, as if it were a prompt. To avoid a pause, each token from half a window on is read twice in
// the same step: once into the window and once into the window that will follow it, its shadow. When the window
// is full, the shadow replaces it. So no token takes much longer than another.

import { expectFields, type FieldRules, expectHas } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createDecoder, type Decoder, KEPT_PROGRAMS, type Row } from "./decoder.ts";
import type { LanguageModel } from "./language-model.ts";
import { checkRules, drawToken, logProbability, nextTokens, type SamplingRules } from "./sampling.ts";

/** How the next token is drawn, and when a text ends. */
export interface SamplingOptions extends SamplingRules {
  /** How many tokens to write at most. Default 200. */
  readonly maxTokens?: number;
  /** Ends the text when it is drawn. */
  readonly stopToken?: number | undefined;
  /** A uniform random number in [0, 1) for the i-th token written; in a batch, for that token of the given prompt. */
  readonly random: (index: number, prompt: number) => number;
}

/** The same options for many texts. */
export interface BatchSamplingOptions extends SamplingOptions {
  /** Add the number of a prompt while tokens are read, and it gets no more of them. */
  readonly ended?: ReadonlySet<number>;
}

/** What each option of sampling must hold. */
export const samplingFields: FieldRules<SamplingOptions> = {
  temperature: "number",
  topK: "number",
  topP: "number",
  minP: "number",
  repetitionPenalty: "number",
  maxTokens: "number",
  stopToken: "number",
  random: "function",
};
const optionRules: FieldRules<BatchSamplingOptions> = { ...samplingFields, ended: "group" };

/** A token of one of the texts. */
export interface WrittenToken {
  /** Which prompt it continues. */
  readonly prompt: number;
  readonly token: number;
  /** The natural logarithm of its probability by the model, at temperature 1 and with every token allowed. */
  readonly logProbability: number;
}

/** A model that writes text. */
export interface Generator {
  /** Token ids, one by one. An empty prompt is refused; of a prompt longer than the window, only the end is read. */
  generate(prompt: readonly number[], options: SamplingOptions): AsyncIterable<number>;
  /** The same for many prompts in turn: a token for each that has not ended, then the next for each. */
  generateBatch(prompts: readonly (readonly number[])[], options: BatchSamplingOptions): AsyncIterable<WrittenToken>;
  /**
   * Compile what continuing such prompts will need, in the order of writing. A decoder keeps only the latest
   * of these programs; with few texts, no token then waits for a compilation.
   *
   * @param lengths tokens of each prompt
   * @param maxTokens how many tokens to write at most. Default 200
   */
  prepare(lengths: readonly number[], maxTokens?: number): void;
  /** Release programs and caches. What is written later makes new ones. */
  release(): void;
}

/**
 * Let a model write. Every text is written with the parameters that the runtime holds at that time, so the model
 * may be trained between texts. Programs and the cache are made when first needed; the cache grows with the
 * number of texts that are written at the same time.
 *
 * @throws RangeError from `generate` and `generateBatch`, when their tokens are read, for an empty prompt or an
 *   option out of range
 */
export function createGenerator(runtime: Runtime, model: LanguageModel): Generator {
  expectHas("createGenerator", "model", model, ["config", "logits"], "Give what languageModel returned.");
  const { context } = model.config;
  const pools: Pool[] = [];

  /** Slots of one decoder, which other calls may use at the same time. */
  const borrow = (count: number): { decoder: Decoder; slots: number[]; giveBack(): void } => {
    let pool = pools.find(({ free }) => free.length >= count);
    if (!pool) {
      pool = { decoder: createDecoder(runtime, model, count), free: Array.from({ length: count }, (_, i) => i) };
      pools.push(pool);
    }
    const { decoder, free } = pool;
    const slots = free.splice(0, count);
    return { decoder, slots, giveBack: () => void free.push(...slots) };
  };

  async function* write(
    prompts: readonly (readonly number[])[],
    options: BatchSamplingOptions,
  ): AsyncIterable<Omit<WrittenToken, "logProbability"> & { readonly scores: ArrayLike<number> }> {
    const { maxTokens, stopToken, random, ended, ...rules } = expectSampling(prompts, options);
    if (prompts.length === 0 || maxTokens === 0) return;
    const windows = prompts.map(({ length }) => createWindow(context, length, maxTokens));
    const { decoder, slots, giveBack } = borrow(windows.reduce((sum, { texts }) => sum + texts, 0));
    try {
      const free = [...slots];
      let texts = prompts.map((prompt, index): Text => {
        const window = windows[index]!;
        window.settle(free.splice(0, window.texts));
        return { prompt: index, tokens: [...prompt], seen: new Set(prompt), window };
      });
      for (let index = 0; index < maxTokens && texts.length > 0; index++) {
        const scores = await (index === 0 ? readPrompts(decoder, texts) : readLast(decoder, texts, index === 1));
        for (const [place, text] of texts.entries()) {
          if (ended?.has(text.prompt)) continue;
          const nextScores = scores[place]!;
          const token = drawToken(nextTokens(nextScores, rules, text.seen), random(index, text.prompt));
          text.tokens.push(token);
          text.seen.add(token);
          if (token !== stopToken) yield { prompt: text.prompt, token, scores: nextScores };
        }
        texts = texts.filter(({ prompt, tokens }) => tokens.at(-1) !== stopToken && !ended?.has(prompt));
      }
    } finally {
      giveBack();
    }
  }

  return {
    async *generateBatch(prompts, options) {
      for await (const { prompt, token, scores } of write(prompts, options))
        yield { prompt, token, logProbability: logProbability(scores, token) };
    },
    async *generate(prompt, options) {
      for await (const { token } of write([prompt], options)) yield token;
    },
    prepare(lengths, maxTokens = 200) {
      if (lengths.length === 0 || maxTokens === 0) return;
      const windows = lengths.map((length) => createWindow(context, length, maxTokens));
      const { decoder, giveBack } = borrow(windows.reduce((sum, { texts }) => sum + texts, 0));
      const sliding = windows.filter(({ texts }) => texts > 1).length;
      try {
        for (const [rows, wanted] of readings(lengths, sliding, context)) decoder.prepare(rows, wanted);
      } finally {
        giveBack();
      }
    },
    release() {
      for (const { decoder } of pools.splice(0)) decoder.release();
    },
  };
}

/** The options with how many tokens are written at most. Throws what `createGenerator` says. */
function expectSampling(
  prompts: readonly (readonly number[])[],
  options: BatchSamplingOptions,
): BatchSamplingOptions & { readonly maxTokens: number } {
  expectFields("generate", options, optionRules);
  const { maxTokens = 200, stopToken, random, ended, ...rules } = options;
  if (typeof random !== "function")
    throw new TypeError(
      "generate: random is missing; it must be a function that gives a number from 0 to 1, such as samplingRandom(seed).",
    );
  if (prompts.some((prompt) => prompt.length === 0))
    throw new RangeError(
      "generate: the prompt has no tokens; give at least one (the end-of-text token starts a new text).",
    );
  if (!Number.isInteger(maxTokens) || maxTokens < 0)
    throw new RangeError(`generate: maxTokens must be a whole number of at least 0, got ${maxTokens}.`);
  checkRules(rules);
  return { ...rules, maxTokens, stopToken, random, ...given({ ended }) };
}

/**
 * Write without a cache: every token reads the whole window again. The texts are those of a generator over the same model.
 *
 * @param size of the window, T
 * @param scoresOf the scores of the token after those of the window, of which there are at least one and at most T
 */
export async function* generateByScores(
  prompt: readonly number[],
  options: SamplingOptions,
  { size, scoresOf }: { readonly size: number; scoresOf(window: readonly number[]): Promise<ArrayLike<number>> },
): AsyncIterable<number> {
  const { maxTokens, stopToken, random, ...rules } = expectSampling([prompt], options);
  const tokens = [...prompt];
  const seen = new Set(prompt);
  let start = Math.max(0, prompt.length - size);
  for (let index = 0; index < maxTokens; index++) {
    while (tokens.length - start > size) start += shiftOf(size);
    const token = drawToken(nextTokens(await scoresOf(tokens.slice(start)), rules, seen), random(index, 0));
    if (token === stopToken) return;
    tokens.push(token);
    seen.add(token);
    yield token;
  }
}

/** How far a window slides when a text outgrows it. */
const shiftOf = (size: number): number => Math.ceil(size / 2);

/**
 * The numbers of rows that are read at once, and for how many of them scores are wanted, in the order of writing:
 * first the prompts and their shadows, then all texts, with a shadow for those that slide, then fewer texts after
 * some have ended. The list ends where a decoder would keep no more programs; those for fewer texts replace the first ones later.
 */
function readings(lengths: readonly number[], sliding: number, context: number): [rows: number, wanted: number][] {
  const prompts = lengths.flatMap((length) => {
    const rows = Math.min(length, context);
    return sliding > 0 ? [rows, Math.max(1, rows - Math.ceil(context / 2))] : [rows];
  });
  const distinct = new Map(prompts.map((rows) => [Math.ceil(Math.log2(rows)), rows]));
  const counts = [...distinct.values()].map((rows): [number, number] => [rows, 1]);
  const last = Math.max(1, lengths.length - KEPT_PROGRAMS);
  for (let texts = lengths.length; texts >= last; texts--)
    counts.push([texts, texts], [texts + Math.min(texts, sliding), texts]);
  return counts;
}

/** A decoder and its unused slots. */
interface Pool {
  readonly decoder: Decoder;
  readonly free: number[];
}

interface Text {
  readonly prompt: number;
  readonly tokens: number[];
  readonly seen: Set<number>;
  readonly window: Window;
}

type Scores = readonly ArrayLike<number>[];

/** One text after another: most prompts are long enough to keep all threads busy. */
function readPrompts(decoder: Decoder, texts: readonly Text[]): Promise<Scores> {
  return Promise.all(texts.map(async ({ tokens, window }) => decoder.read(window.prompt(tokens), 1)));
}

/** The last token of every text, in one step. */
async function readLast(decoder: Decoder, texts: readonly Text[], first: boolean): Promise<Scores> {
  if (first) {
    for (const { tokens, window } of texts) {
      const rows = window.promptOfShadow(tokens);
      if (rows.length > 0) await decoder.read(rows, 1);
    }
  }
  const rows = texts.map(({ tokens, window }) => window.next(tokens.length - 1, tokens.at(-1)!));
  const shadows = rows.flatMap(({ shadow }) => shadow ?? []);
  const scores = await decoder.read([...shadows, ...rows.map(({ main }) => main)], texts.length);
  const size = scores.length / texts.length;
  return texts.map((_, place) => scores.subarray(place * size, (place + 1) * size));
}

/** Where the tokens of one text are read: into the window, and from the middle of it on also into the shadow. */
interface Window {
  /** How many slots of the cache the text needs: two where it may outgrow the window. */
  readonly texts: number;
  settle(slots: readonly number[]): void;
  /** Rows of a prompt, or of the last T tokens of a longer one. */
  prompt(tokens: readonly number[]): Row[];
  /** The part of the prompt that the shadow must read before the next token. */
  promptOfShadow(tokens: readonly number[]): Row[];
  /** Rows of the token at an index of the text; called for each token after the prompt. */
  next(index: number, token: number): { readonly main: Row; readonly shadow: Row | undefined };
}

function createWindow(size: number, promptLength: number, maxTokens: number): Window {
  const shift = shiftOf(size);
  /** Index in the text of the window's first token. */
  let start = Math.max(0, promptLength - size);
  // The last token written is never read.
  const outgrown = promptLength + maxTokens - 2 - start >= size;
  let main = 0;
  let shadow: number | undefined;
  const rowsFrom = (slot: number, first: number, tokens: readonly number[]): Row[] =>
    tokens.slice(first, promptLength).map((token, position) => ({ slot, position, token }));
  return {
    texts: outgrown ? 2 : 1,
    settle: ([first, second]) => ([main, shadow] = [first!, second]),
    prompt: (tokens) => rowsFrom(main, start, tokens),
    promptOfShadow: (tokens) => (shadow === undefined ? [] : rowsFrom(shadow, start + shift, tokens)),
    next(index, token) {
      if (index - start === size) {
        [main, shadow] = [shadow!, main];
        start += shift;
      }
      const position = index - start;
      const second =
        shadow !== undefined && position >= shift ? { slot: shadow, position: position - shift, token } : undefined;
      return { main: { slot: main, position, token }, shadow: second };
    },
  };
}
