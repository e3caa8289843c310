// Question: how do states and gradients go from stage to stage?
//
// A parcel is the tensors of one microbatch, each a message. Messages between two stages come in the order in which they
// were sent, which the receiver knows from the schedule: it asks for the next few of them early, so that they arrive
// while it computes.

import type { Collective, Pending } from "../../../runtime/collective/collective.ts";
import { keyOf, type Parcel, type StageTable } from "./stage-table.ts";

/** Parcels that are asked for before they are needed. */
const AHEAD = 2;

/** A parcel's way, in milliseconds of the clock of the rank that saw it. */
export interface Seen {
  readonly parcel: Parcel;
  readonly time: number;
}

/** One stage's post in one step. */
export interface Mail {
  /** Send on, unless it stays in this stage. The tensors must not change. */
  send(parcel: Parcel, tensors: readonly Float32Array[]): void;
  /** Resolves when it has come. */
  take(parcel: Parcel): Promise<readonly Float32Array[]>;
  /** Move messages on, and see what has come. */
  progress(): void;
  /** Resolves when all has been sent. */
  end(): Promise<void>;
  readonly sent: readonly Seen[];
  readonly came: readonly Seen[];
}

interface Expected {
  readonly parcel: Parcel;
  readonly tensors: readonly Float32Array[];
  readonly pending: readonly Pending[];
  seen: boolean;
}

/**
 * @param pipeline the stages
 * @param sizes of the tensors of a parcel
 */
export function openMail(
  pipeline: Collective,
  { coming, stage, to }: StageTable,
  sizes: (parcel: Parcel) => readonly number[],
): Mail {
  const here = new Map<string, readonly Float32Array[]>();
  const expected = new Map<string, Expected>();
  const sending: Pending[] = [];
  const sent: Seen[] = [];
  const came: Seen[] = [];
  const senders = [...coming].map(([from, parcels]) => ({ from, parcels, asked: 0, taken: 0 }));
  const senderOf = new Map(
    senders.flatMap((sender) => sender.parcels.map((parcel) => [keyOf(parcel), sender] as const)),
  );

  const ask = (sender: (typeof senders)[number]): void => {
    while (sender.asked < Math.min(sender.parcels.length, sender.taken + AHEAD)) {
      const parcel = sender.parcels[sender.asked++]!;
      const tensors = sizes(parcel).map((size) => new Float32Array(size));
      const pending = tensors.map((tensor) => pipeline.receive(tensor, sender.from));
      expected.set(keyOf(parcel), { parcel, tensors, pending, seen: false });
    }
  };
  const see = (each: Expected): void => {
    if (each.seen || !each.pending.every((one) => one.test())) return;
    each.seen = true;
    came.push({ parcel: each.parcel, time: performance.now() });
  };
  for (const sender of senders) ask(sender);

  return {
    send(parcel, tensors) {
      const receiver = to(parcel);
      if (receiver === undefined) throw new Error(`pipeline: no stage waits for ${keyOf(parcel)}.`);
      if (receiver === stage) {
        here.set(keyOf(parcel), tensors);
        return;
      }
      sent.push({ parcel, time: performance.now() });
      sending.push(...tensors.map((tensor) => pipeline.send(tensor, receiver)));
    },
    async take(parcel) {
      const key = keyOf(parcel);
      const own = here.get(key);
      here.delete(key);
      if (own) return own;
      const sender = senderOf.get(key)!;
      // A schedule may take a parcel before an earlier one; those between lie here meanwhile.
      while (!expected.has(key)) {
        sender.taken++;
        ask(sender);
      }
      const each = expected.get(key)!;
      for (const one of each.pending) await one.done();
      see(each);
      expected.delete(key);
      sender.taken++;
      ask(sender);
      return each.tensors;
    },
    progress() {
      pipeline.progress();
      // What has gone need not be kept.
      while (sending[0]?.test()) sending.shift();
      for (const each of expected.values()) see(each);
    },
    async end() {
      for (const one of sending) await one.done();
    },
    sent,
    came,
  };
}
