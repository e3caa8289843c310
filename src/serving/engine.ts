// Question: how does a server write many texts at a time?
//
// Each text is a reading (writing.ts), and those that are written share each run of the model, a tick (model/reading.ts).
// A text's tokens are the same bits whatever else is read in its ticks: the shapes of the programs are chosen for
// that (shapes.ts), and its random numbers are a function of its own seed and the number of the token.
//
// Texts wait in a queue with a bound. A text whose signal is aborted leaves before the next tick.

import { powerOfTwo } from "../basics/numbers.ts";
import { createDecoder } from "../model/decoder.ts";
import type { LanguageModel } from "../model/language-model.ts";
import { createReaders, type Ended, type Errand, type Readers, type Running } from "../model/reading.ts";
import type { Shape } from "../model/tick.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Channel, createChannel } from "./channel.ts";
import { createMeter, type Meter } from "./meter.ts";
import { findEqualShapes, servingShapes, shapesUpTo, timedAgain } from "./shapes.ts";
import type { TextRequest } from "./text-request.ts";
import { type TokenEvent, writing } from "./writing.ts";

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
  /** How many times as long a run of the model may take at most because it reads prompts; see `servingShapes`. */
  readonly stretch: number;
}

/** The queue has no room for so many texts. */
export class BusyError extends Error {}
/** The engine takes no more texts. */
export class DrainingError extends Error {}

export interface Engine {
  readonly options: EngineOptions;
  /** Since the start, or since `renew`. */
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
  /**
   * Once the texts that there are have ended, forget what has been counted and what the cache holds, and time the
   * programs again, which are faster when they have run for a while. No text may be submitted meanwhile.
   */
  renew(): Promise<void>;
  /** Take no more texts, and wait for those that there are. */
  drain(): Promise<void>;
  /** End all texts with an error, and release the decoder. */
  close(reason: Error): Promise<void>;
}

type End = WrittenText["end"];

interface Text {
  readonly request: TextRequest;
  readonly channel: Channel<TokenEvent>;
  readonly errand: Errand<End>;
  /** Absent while it waits. */
  running?: Running<End>;
  end: End;
  /** In milliseconds. */
  readonly since: number;
}

/**
 * While the model runs, tokens go to clients, and what they have sent, and that they have gone, is heard. On the processor
 * its other threads compute meanwhile.
 */
const othersTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Rows of a tick at most, unless there are more texts; and rows that the largest program has at least. */
const [MOST_ROWS, LEAST_ROWS] = [64, 16];

/** The shapes that an engine compiles and tries. */
export function shapesFor(slots: number): Shape[] {
  return shapesUpTo(Math.max(MOST_ROWS, 2 * powerOfTwo(slots)), powerOfTwo(slots));
}

/** Compile the programs of an engine and try them; then it takes texts. */
export async function createEngine(runtime: Runtime, model: LanguageModel, options: EngineOptions): Promise<Engine> {
  const { slots, queue, stretch } = options;
  // The trial of the shapes takes two.
  const decoder = createDecoder(runtime, model, Math.max(2, slots));
  const { shapes: found, invariant } = await findEqualShapes(
    decoder,
    model.config,
    shapesFor(slots),
    Math.max(powerOfTwo(slots), LEAST_ROWS),
  );
  let shapes = found;
  let meter = createMeter();
  const begin = (): Readers<End> => createReaders<End>(decoder, model.config, slots, servingShapes(shapes, stretch));
  let readers = begin();
  let waiting: Text[] = [];
  const active = new Map<Running<End>, Text>();
  let loop: Promise<void> | undefined;
  let draining = false;

  const finish = (text: Text, end: Ended<End>): void => {
    if (text.running) active.delete(text.running);
    else waiting = waiting.filter((other) => other !== text);
    if ("result" in end) {
      text.end = end.result;
      meter.counts.finished++;
      meter.whole.add((performance.now() - text.since) / 1000);
    } else if (text.request.signal.aborted) meter.counts.cancelled++;
    else meter.counts.failed++;
    text.channel.end("error" in end ? end.error : undefined);
  };
  /** End a text before its time. `known`: whether the cache holds what was read of it. */
  const leave = (text: Text, end: Ended<End>, known = true): void => {
    if (text.running) readers.leave(text.running, known);
    finish(text, end);
  };
  const admit = (): void => {
    while (waiting.length > 0 && readers.free > 0) {
      const text = waiting.shift()!;
      text.running = readers.begin(text.errand);
      active.set(text.running, text);
      meter.counts.promptTokens += text.request.prompt.length;
    }
  };
  /** Let texts go on, leave and come, until all that there are wait for the model. */
  const settle = (): void => {
    for (const text of [...active.values(), ...waiting])
      if (text.request.signal.aborted) leave(text, { error: text.request.signal.reason });
    for (;;) {
      admit();
      const ended = readers.advance();
      if (ended.length === 0) return;
      for (const [running, end] of ended) finish(active.get(running)!, end);
    }
  };

  const run = async (): Promise<void> => {
    for (;;) {
      settle();
      if (active.size === 0) break;
      try {
        const { rows, size } = await readers.run(othersTurn);
        meter.counts.ticks++;
        meter.counts.rows += rows;
        meter.counts.paddedRows += size;
      } catch (error) {
        // What the cache has of them is not known.
        for (const text of active.values()) leave(text, { error }, false);
      }
    }
    loop = undefined;
  };

  return {
    options,
    get meter() {
      return meter;
    },
    invariant,
    sizes: [...new Set(shapes.map(({ size }) => size))],
    get load() {
      return { active: active.size, waiting: waiting.length, draining };
    },
    submit(requests) {
      if (draining) throw new DrainingError("The server is being stopped and takes no more requests.");
      const room = queue + readers.free - waiting.length;
      if (requests.length > room) {
        meter.counts.refused += requests.length;
        throw new BusyError(
          `${requests.length} texts are asked for; there is room for ${Math.max(0, room)}: ${active.size} are being written and ${waiting.length} wait. Try again later.`,
        );
      }
      const since = performance.now();
      const texts = requests.map((request): Text => {
        const channel = createChannel<TokenEvent>();
        return { request, channel, errand: writing(request, since, channel, meter), end: "length", since };
      });
      waiting.push(...texts);
      loop ??= Promise.resolve().then(run);
      return texts.map((text) => ({
        events: text.channel,
        get end() {
          return text.end;
        },
        stop() {
          if (text.running && active.has(text.running)) leave(text, { result: "stop" });
        },
      }));
    },
    async renew() {
      await loop;
      shapes = await timedAgain(decoder, model.config, shapes);
      meter = createMeter();
      readers = begin();
    },
    async drain() {
      draining = true;
      await loop;
    },
    async close(reason) {
      draining = true;
      for (const text of [...active.values(), ...waiting]) leave(text, { error: reason });
      await loop;
      decoder.release();
    },
  };
}
