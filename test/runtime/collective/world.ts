// Question: how do several ranks live in one process?
//
// Messages are copies in lists. The ranks take turns at every pause, so that what goes on between them is tested without
// any MPI.

import { setImmediate } from "node:timers/promises";
import type { Collective, CollectiveOptions, Values } from "../../../src/runtime/collective/collective.ts";
import { type Messenger, overMessages } from "../../../src/runtime/collective/over-messages.ts";

/** Collectives that reach each other, in the order of their ranks. */
export function createWorld(size: number, options: CollectiveOptions = {}): Collective[] {
  const sent = new Map<string, Values[]>();
  return Array.from({ length: size }, (_, rank) => overMessages(messengerOf(sent, rank, size), options));
}

function messengerOf(sent: Map<string, Values[]>, rank: number, size: number): Messenger {
  const receives = new Map<string, { next: number }>();
  const channel = (from: number, to: number, tag: number): Values[] => {
    const key = `${from} ${to} ${tag}`;
    const list = sent.get(key) ?? [];
    sent.set(key, list);
    return list;
  };
  return {
    name: "world",
    rank,
    size,
    send(values, to, tag) {
      channel(rank, to, tag).push(values.slice());
      return { peer: to, test: () => true };
    },
    receive(into, from, tag) {
      const key = `${from} ${tag}`;
      const turn = { next: 0, ...receives.get(key) };
      const place = turn.next++;
      receives.set(key, turn);
      let done = false;
      return {
        peer: from,
        // Receives get the messages in the order in which they were begun, whichever is looked at first.
        test() {
          const next = done ? undefined : channel(from, rank, tag)[place];
          if (next) {
            if (next.byteLength !== into.byteLength) throw new Error("a message of another length");
            into.set(next);
          }
          return (done ||= next !== undefined);
        },
      };
    },
    pause: () => setImmediate(),
    abort(message) {
      throw new Error(`rank ${rank}: ${message}`);
    },
    leave: () => Promise.resolve(),
  };
}

/** Do something on every rank at once. */
export const onAll = <T>(world: readonly Collective[], work: (collective: Collective) => Promise<T>): Promise<T[]> =>
  Promise.all(world.map(work));
