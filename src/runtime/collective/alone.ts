// Question: what does a process do that trains alone?
//
// Nothing: it is rank 0 of 1, and every operation is done when it is begun.

import type { Collective, Pending, Values } from "./collective.ts";

const done: Pending = { test: () => true, done: () => Promise.resolve() };

const copied = (from: Values, to: Values): Pending => {
  to.set(from);
  return done;
};

/** The collective of one process. */
export function alone(): Collective {
  const nobody = (operation: string, rank: number): never => {
    throw new RangeError(
      `${operation}: rank ${rank} is given; this process is alone, so there is none to talk to. Start several by birkhoff launch.`,
    );
  };
  const collective: Collective = {
    name: "alone",
    rank: 0,
    size: 1,
    send: (_values, to) => nobody("send", to),
    receive: (_into, from) => nobody("receive", from),
    allToAll: copied,
    allToAllParts: ([own], [into]) => copied(own!, into!),
    allToAllTold(own, all, partsOf) {
      all.set(own);
      const { parts, into } = partsOf();
      return copied(parts[0]!, into[0]!);
    },
    allGather: copied,
    gather: copied,
    broadcast: () => done,
    reduceScatter: copied,
    allReduce: () => done,
    barrier: () => done,
    group: () => collective,
    progress: () => undefined,
    stepping: () => undefined,
    traffic: { sentBytes: 0, waited: 0 },
    abort(message) {
      throw new Error(message);
    },
    close: () => Promise.resolve(),
  };
  return collective;
}
