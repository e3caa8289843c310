// Question: who computes for a page, which must not wait?
//
// A worker: it has the memory, starts the other threads, and does the orders of the page one after the other. What goes
// wrong in an order is told by the next read.

import { IndexError } from "../../../ops/indices.ts";
import { type Engine, startEngine } from "../engine.ts";
import type { NamedCall } from "../failures.ts";
import { pageHost } from "./host.ts";
import type { Answers, Message, Orders, Wrong } from "./orders.ts";

let engine: Engine;
const programs = new Map<number, readonly NamedCall[]>();
/** What the page has not been told; what is for good is told again and again, and nothing is done any more. */
let wrong: Wrong | undefined;
let forGood = false;

const say = (message: Message<Answers>, transfer: Transferable[] = []): void =>
  globalThis.postMessage(message, { transfer });
const bytesAt = (address: number, count: number): Uint8Array => new Uint8Array(engine.memory.buffer, address, count);

const handlers: { readonly [K in keyof Orders]: (order: Orders[K]) => void | Promise<void> } = {
  async start(options) {
    try {
      engine = await startEngine(pageHost, options);
      const { build, kernelCode, panelWidth, kernels } = engine;
      say({ kind: "ready", build, kernelCode, panelWidth, kernels });
    } catch (error) {
      say({ kind: "failed", message: messageOf(error) });
    }
  },
  reach: ({ bytes }) => engine.reach(bytes),
  clear: ({ address, bytes }) => void bytesAt(address, bytes).fill(0),
  set: ({ address, data }) => bytesAt(address, data.byteLength).set(new Uint8Array(data)),
  move: ({ from, to, bytes }) => void new Uint8Array(engine.memory.buffer).copyWithin(to, from, from + bytes),
  program({ base, words, calls }) {
    bytesAt(base, words.byteLength).set(new Uint8Array(words));
    programs.set(base, calls);
  },
  forget: ({ base }) => void programs.delete(base),
  run({ base }) {
    engine.expectSound();
    try {
      engine.over(programs.get(base) ?? [], () => engine.run(base));
    } catch (error) {
      if (!(error instanceof IndexError)) throw error;
      const { message, operation, offence, scope } = error;
      wrong ??= { message, index: { base, operation, offence, scope } };
    }
  },
  read({ id, places }) {
    if (wrong) {
      say({ kind: "wrong", id, wrong });
      if (!forGood) wrong = undefined;
      return;
    }
    // A shared buffer cannot be posted as a copy of a part of it.
    const values = places.map(({ address, bytes }) => bytesAt(address, bytes).slice().buffer);
    say({ kind: "values", id, values }, values);
  },
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function take<K extends keyof Orders>(kind: K, order: Orders[K]): void {
  if (forGood && kind !== "read") return;
  try {
    void handlers[kind](order);
  } catch (error) {
    wrong = { message: messageOf(error) };
    forGood = true;
  }
}

globalThis.addEventListener("message", ({ data }: MessageEvent<Message<Orders>>) => take(data.kind, data));
