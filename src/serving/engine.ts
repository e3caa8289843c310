// Question: how do many texts share one decoder, so that none waits long and none changes another?
//
// A tick (tick.ts) is one run of one program: it reads the last token of every text that is being written, and pieces of
// prompts beside them. After a tick every text whose last token was read gets its next one.
//
// A text's tokens are the same bits whatever else is read in its ticks: the shapes of the programs are chosen for
// that (shapes.ts), and its random numbers are a function of its own seed and the number of the token.
//
// Texts wait in a queue with a bound. A text whose signal is aborted leaves before the next tick.

import { powerOfTwo } from "../basics/numbers.ts";
import { createDecoder } from "../model/decoder.ts";
import type { LanguageModel } from "../model/language-model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Channel, createChannel } from "./channel.ts";
import { type Likely, likelyOf } from "./likely.ts";
import { createMeter, type Meter } from "./meter.ts";
import { createPlaces } from "./places.ts";
import { findEqualShapes, type Shape, shapesUpTo } from "./shapes.ts";
import { chooseToken, type TextRequest } from "./text-request.ts";
import { planTick, type TextState, type TickRow } from "./tick.ts";

/** A token of the prompt, in its order, or one that was written. */
export interface TokenEvent {
  readonly token: number;
  readonly ofPrompt: boolean;
  /** Absent where not asked for, and for the first token of a text, before which there is nothing. */
  readonly likely?: Likely;
}

/** A text that is read and written. */
export interface WrittenText {
  /** Throws what ended the text before its time. */
  readonly events: AsyncIterable<TokenEvent>;
  /** Why it ended by itself; to be asked after the events. */
  readonly end: "stop" | "length";
  /** End it here, because of what has been written. */
  stop(): void;
}

export interface EngineOptions {
  /** How many texts are written at a time. */
  readonly slots: number;
  /** How many more may wait. */
  readonly queue: number;
  /** Rows of a tick while texts are being written; more make prompts faster and the tokens of others later. */
  readonly chunk: number;
}

/** The queue has no room for so many texts. */
export class BusyError extends Error {}
/** The engine takes no more texts. */
export class DrainingError extends Error {}

export interface Engine {
  readonly options: EngineOptions;
  readonly meter: Meter;
  /** Whether a text's bits do not depend on the others, as far as a trial of every shape can tell. */
  readonly invariant: boolean;
  /** Rows of the programs in use. */
  readonly sizes: readonly number[];
  /** How many texts there are now. */
  readonly load: { readonly active: number; readonly waiting: number; readonly draining: boolean };
  /**
   * Take texts, all or none.
   *
   * @throws BusyError when the queue has no room for them, DrainingError after `drain`
   */
  submit(requests: readonly TextRequest[]): WrittenText[];
  /** Take no more texts, and wait for those that there are. */
  drain(): Promise<void>;
  /** End all texts with an error, and release the decoder. */
  close(reason: Error): Promise<void>;
}

interface Text extends TextState {
  readonly request: TextRequest;
  readonly channel: Channel<TokenEvent>;
  readonly tokens: number[];
  read: number;
  slot: number;
  end: WrittenText["end"];
  /** In milliseconds. */
  readonly since: number;
  last: number;
}

/** Rows of a tick at most, unless there are more texts; and rows that the largest program has at least. */
const [MOST_ROWS, LEAST_ROWS] = [64, 16];

/** The shapes that an engine compiles and tries. */
export function shapesFor(slots: number): Shape[] {
  return shapesUpTo(Math.max(MOST_ROWS, 2 * powerOfTwo(slots)), powerOfTwo(slots));
}

/** Compile the programs of an engine and try them; then it takes texts. */
export async function createEngine(runtime: Runtime, model: LanguageModel, options: EngineOptions): Promise<Engine> {
  const { slots, queue, chunk } = options;
  const { vocabulary } = model.config;
  // The trial of the shapes takes two.
  const decoder = createDecoder(runtime, model, Math.max(2, slots));
  const { shapes, invariant } = await findEqualShapes(
    decoder,
    model.config,
    shapesFor(slots),
    Math.max(powerOfTwo(slots), LEAST_ROWS),
  );
  const meter = createMeter();
  const { counts } = meter;
  const places = createPlaces(slots);
  let waiting: Text[] = [];
  let active: Text[] = [];
  let loop: Promise<void> | undefined;
  let draining = false;

  const leave = (text: Text, error?: unknown): void => {
    active = active.filter((other) => other !== text);
    waiting = waiting.filter((other) => other !== text);
    if (text.slot >= 0) places.give({ slot: text.slot, held: text.tokens.slice(0, text.read) });
    text.slot = -1;
    if (error === undefined) {
      counts.finished++;
      meter.whole.add((performance.now() - text.since) / 1000);
    } else if (text.request.signal.aborted) counts.cancelled++;
    else counts.failed++;
    text.channel.end(error);
  };
  const leaveAborted = (): void => {
    for (const text of [...active, ...waiting])
      if (text.request.signal.aborted) leave(text, text.request.signal.reason);
  };
  const admit = (): void => {
    while (waiting.length > 0 && places.free > 0) {
      const text = waiting.shift()!;
      const { slot, known } = places.take(text.tokens)!;
      // The scores after the last token are always wanted, and those after all where they are told.
      Object.assign(text, { slot, read: text.scoreAll ? 0 : Math.min(known, text.tokens.length - 1) });
      active.push(text);
      counts.sharedTokens += text.read;
      counts.promptTokens += text.request.prompt.length;
      // The others come with their scores, if these are wanted.
      const { echo, prompt } = text.request;
      const shown = !echo ? [] : text.scoreAll ? prompt.slice(0, 1) : prompt;
      for (const token of shown) text.channel.send({ token, ofPrompt: true });
    }
  };

  /** What follows the token at a position, once its scores are known. */
  const proceed = ({ text, position }: TickRow<Text>, scores: ArrayLike<number>): void => {
    const { request, tokens, channel } = text;
    const likely = (token: number): { likely?: Likely } =>
      request.alternatives === undefined ? {} : { likely: likelyOf(scores, token, request.alternatives) };
    const next = tokens[position + 1];
    if (next !== undefined) return channel.send({ token: next, ofPrompt: true, ...likely(next) });
    const written = tokens.length - request.prompt.length;
    if (written === request.maxTokens) return leave(text);
    const token = chooseToken(request, scores, tokens);
    const now = performance.now();
    (written === 0 ? meter.firstToken : meter.nextToken).add((now - (written === 0 ? text.since : text.last)) / 1000);
    text.last = now;
    counts.writtenTokens++;
    text.end = token === request.stopToken ? "stop" : "length";
    if (text.end === "stop") return leave(text);
    tokens.push(token);
    channel.send({ token, ofPrompt: false, ...likely(token) });
    if (written + 1 === request.maxTokens) leave(text);
  };

  const runTick = async (): Promise<void> => {
    const { rows, scored, shape } = planTick(active, shapes, chunk);
    const scores = await decoder.read(
      rows.map(({ text, position }) => ({ slot: text.slot, position, token: text.tokens[position]! })),
      shape.wanted,
      shape.size,
    );
    counts.ticks++;
    counts.rows += rows.length;
    counts.paddedRows += shape.size;
    for (const { text } of rows) text.read++;
    const first = shape.wanted - scored.length;
    for (const [index, row] of scored.entries()) {
      // On a machine of its own a text may have left while it was read.
      if (row.text.slot < 0) continue;
      const place = (first + index) * vocabulary;
      try {
        proceed(row, scores.subarray(place, place + vocabulary));
      } catch (error) {
        leave(row.text, error);
      }
    }
  };

  const run = async (): Promise<void> => {
    for (;;) {
      leaveAborted();
      admit();
      if (active.length === 0) break;
      try {
        await runTick();
      } catch (error) {
        // What the cache has of them is not known.
        for (const text of active) leave(Object.assign(text, { read: 0 }), error);
      }
      // What clients have sent, and that they have gone, is heard between ticks.
      await new Promise((resolve) => void setImmediate(resolve));
    }
    loop = undefined;
  };

  return {
    options,
    meter,
    invariant,
    sizes: [...new Set(shapes.map(({ size }) => size))],
    get load() {
      return { active: active.length, waiting: waiting.length, draining };
    },
    submit(requests) {
      if (draining) throw new DrainingError("The server is being stopped and takes no more requests.");
      const room = queue + places.free - waiting.length;
      if (requests.length > room) {
        counts.refused += requests.length;
        throw new BusyError(
          `${requests.length} texts are asked for; there is room for ${Math.max(0, room)}: ${active.length} are being written and ${waiting.length} wait. Try again later.`,
        );
      }
      const since = performance.now();
      const texts = requests.map((request): Text => ({
        request,
        channel: createChannel(),
        tokens: [...request.prompt],
        scoreAll: request.echo && request.alternatives !== undefined,
        read: 0,
        slot: -1,
        end: "length",
        since,
        last: since,
      }));
      waiting.push(...texts);
      loop ??= Promise.resolve().then(run);
      return texts.map((text) => ({
        events: text.channel,
        get end() {
          return text.end;
        },
        stop() {
          if (!active.includes(text)) return;
          text.end = "stop";
          leave(text);
        },
      }));
    },
    async drain() {
      draining = true;
      await loop;
    },
    async close(reason) {
      draining = true;
      for (const text of [...active, ...waiting]) leave(text, reason);
      await loop;
      decoder.release();
    },
  };
}
