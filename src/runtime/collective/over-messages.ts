// Question: how are the operations of all ranks made of messages between two?
//
//   all-to-all       every rank sends each other its part, and receives one from each
//   reduce-scatter   an all-to-all, then each rank adds the parts that it got, in the order of the ranks
//   all-gather       every rank sends all others what it has
//   all-reduce       a reduce-scatter, then an all-gather; of few values an all-gather, then each rank adds
//   gather           every rank sends what it has to one
//   broadcast        one rank sends to all others
//   barrier          an all-gather of one byte
//
// Every rank sends and receives (N − 1)/N of the values in each of the first three, the least there is. Whose message is
// missing is known for each, so that an operation which is not done names the ranks that keep it.

import { createPool, type Pool } from "../../basics/pool.ts";
import {
  type Collective,
  CollectiveError,
  type CollectiveOptions,
  DEADLINE,
  type Parts,
  type Pending,
  showRanks,
  type Values,
} from "./collective.ts";

/** A message that has been begun. */
export interface Message {
  readonly peer: number;
  /** Whether it is done; moves messages on. */
  test(): boolean;
}

/** What carries messages between two ranks. Those of one tag come in the order in which they were sent. */
export interface Messenger {
  readonly name: string;
  readonly library?: string;
  readonly rank: number;
  readonly size: number;
  send(values: Values, to: number, tag: number): Message;
  receive(into: Values, from: number, tag: number): Message;
  /** Let the rest of the process have a turn; the longer one has waited in vain, in seconds, the longer. */
  pause(waited: number): Promise<void>;
  abort(message: string): never;
  /** Called when all ranks have come to the end. */
  leave(): Promise<void>;
}

/**
 * Each group has so many tags of its own: the first of `send` and `receive`, the others of the operations of all ranks,
 * in turns. MPI promises tags up to 32767.
 */
const TAGS = 2048;
const MOST_GROUPS = 16;

/** Sums of so many values or fewer are added by every rank for itself: one round of messages instead of two. */
const FEW = 1024;

/** Whoever computes may ask for progress as often as it likes; messages are looked after so many milliseconds apart. */
const BETWEEN_MS = 0.25;

/** What the groups of one job have in common. */
interface Job {
  readonly begun: Set<Pending>;
  readonly traffic: { sentBytes: number; waited: number };
  readonly pool: Pool;
  readonly deadline: number;
  groups: number;
  /** When messages were last moved on between computations. */
  progressed: number;
  looks: number;
  closed: boolean;
}

/** A collective over messages. */
export function overMessages(messenger: Messenger, { deadline = DEADLINE }: CollectiveOptions = {}): Collective {
  const traffic = { sentBytes: 0, waited: 0 };
  const job: Job = {
    begun: new Set(),
    traffic,
    pool: createPool(),
    deadline,
    groups: 0,
    progressed: 0,
    looks: 0,
    closed: false,
  };
  return groupOf(messenger, job);
}

/** The ranks of a group, counted from 0, as the messenger of their job knows them. */
function membersOf(messenger: Messenger, ranks: readonly number[]): Messenger {
  return {
    ...messenger,
    rank: ranks.indexOf(messenger.rank),
    size: ranks.length,
    send: (values, to, tag) => messenger.send(values, ranks[to]!, tag),
    receive: (into, from, tag) => messenger.receive(into, ranks[from]!, tag),
  };
}

function groupOf(messenger: Messenger, job: Job): Collective {
  const { rank, size } = messenger;
  const { begun, traffic, pool, deadline } = job;
  const others = Array.from({ length: size }, (_, index) => index).filter((each) => each !== rank);
  // One that is alone in its group sends nothing, and needs no tags.
  const direct = size > 1 ? TAGS * job.groups++ : 0;
  let turn = 0;

  /**
   * One operation: rounds of messages, each begun when those of the one before are done.
   *
   * @param rounds each may end with work of its own, done once
   */
  const begin = (operation: string, rounds: readonly (() => Message[] | void)[]): Pending => {
    if (job.closed) throw new Error(`${operation}: this collective has been closed; open another.`);
    let [round, open]: [number, Message[]] = [0, []];
    const pending: Pending = {
      test() {
        for (;;) {
          // One look moves all messages on, and what cannot be done before the next is.
          while (open.length > 0 && open[0]!.test()) open.shift();
          if (open.length > 0) return false;
          const next = rounds[round++];
          if (!next) break;
          open = next() ?? [];
        }
        begun.delete(pending);
        return true;
      },
      async done(within = deadline) {
        const started = performance.now();
        for (let waited = 0; !pending.test(); waited = (performance.now() - started) / 1000) {
          if (waited > within) {
            // What came while the whole process was stopped may be seen only now.
            const missing = open.filter((message) => !message.test());
            if (missing.length > 0) throw late(operation, missing, within);
          }
          for (const each of begun) if (each !== pending) each.test();
          await messenger.pause(waited);
        }
        traffic.waited += (performance.now() - started) / 1000;
      },
    };
    begun.add(pending);
    pending.test();
    return pending;
  };
  const send = (values: Values, to: number, tag: number): Message => {
    traffic.sentBytes += values.byteLength;
    return messenger.send(values, to, tag);
  };
  const nextTag = (): number => direct + 1 + (turn++ % (TAGS - 1));
  const part = <V extends Values>(values: V, index: number): V => {
    const length = values.length / size;
    return values.subarray(length * index, length * (index + 1)) as V;
  };
  const expectLength = (operation: string, long: Values, short: Values): void => {
    if (long.length === size * short.length) return;
    throw new RangeError(
      `${operation}: ${long.length} and ${short.length} values are given; with ${size} ranks the one must have ${size} times as many as the other.`,
    );
  };
  const expectRank = (operation: string, other: number): void => {
    if (others.includes(other)) return;
    throw new RangeError(
      `${operation}: rank ${other} is given; rank ${rank} of ${size} can talk to ${showRanks(others)}.`,
    );
  };
  const exchange = (values: Values, into: Values, tag: number): Message[] => {
    part(into, rank).set(part(values, rank));
    return [
      ...others.map((from) => messenger.receive(part(into, from), from, tag)),
      ...others.map((to) => send(part(values, to), to, tag)),
    ];
  };
  const exchangeParts = ({ parts, into }: Parts, tag: number): Message[] => {
    if (parts.length !== size || into.length !== size || parts[rank]!.length !== into[rank]!.length)
      throw new RangeError(
        `allToAllParts: ${parts.length} and ${into.length} parts are given; both must be ${size}, and a rank's own parts as long as each other.`,
      );
    into[rank]!.set(parts[rank]!);
    const full = (of: readonly Values[]): number[] => others.filter((each) => of[each]!.length > 0);
    return [
      ...full(into).map((from) => messenger.receive(into[from]!, from, tag)),
      ...full(parts).map((to) => send(parts[to]!, to, tag)),
    ];
  };
  const gather = (own: Values, into: Values, tag: number): Message[] => {
    part(into, rank).set(own);
    return [
      ...others.map((from) => messenger.receive(part(into, from), from, tag)),
      ...others.map((to) => send(own, to, tag)),
    ];
  };

  const collective: Collective = {
    name: messenger.name,
    ...(messenger.library === undefined ? {} : { library: messenger.library }),
    rank,
    size,
    send(values, to) {
      expectRank("send", to);
      return begin("send", [() => [send(values, to, direct)]]);
    },
    receive(into, from) {
      expectRank("receive", from);
      return begin("receive", [() => [messenger.receive(into, from, direct)]]);
    },
    allToAll(values, into) {
      const tag = nextTag();
      if (values.length !== into.length || values.length % size > 0)
        throw new RangeError(
          `allToAll: ${values.length} and ${into.length} values are given; both must be ${size} parts of one size.`,
        );
      return begin("allToAll", [() => exchange(values, into, tag)]);
    },
    allToAllParts(parts, into) {
      const tag = nextTag();
      return begin("allToAllParts", [() => exchangeParts({ parts, into }, tag)]);
    },
    allToAllTold(own, all, parts) {
      expectLength("allToAllTold", all, own);
      // Both now: what comes first to one rank may come last to another.
      const [first, second] = [nextTag(), nextTag()];
      return begin("allToAllTold", [() => gather(own, all, first), () => exchangeParts(parts(), second)]);
    },
    allGather(own, into) {
      expectLength("allGather", into, own);
      const tag = nextTag();
      return begin("allGather", [() => gather(own, into, tag)]);
    },
    gather(own, into, to) {
      const tag = nextTag();
      if (to !== rank) {
        expectRank("gather", to);
        return begin("gather", [() => [send(own, to, tag)]]);
      }
      expectLength("gather", into, own);
      part(into, rank).set(own);
      return begin("gather", [() => others.map((from) => messenger.receive(part(into, from), from, tag))]);
    },
    broadcast(values, from) {
      const tag = nextTag();
      if (from !== rank) {
        expectRank("broadcast", from);
        return begin("broadcast", [() => [messenger.receive(values, from, tag)]]);
      }
      return begin("broadcast", [() => others.map((to) => send(values, to, tag))]);
    },
    reduceScatter(values, into) {
      expectLength("reduceScatter", values, into);
      const tag = nextTag();
      const parts = Array.from({ length: size }, (_, from) =>
        from === rank ? part(values, rank) : pool.take(into.length),
      );
      const add = (): void => {
        addParts(parts, into);
        for (const from of others) pool.give(parts[from]!);
      };
      return begin("reduceScatter", [
        () => [
          ...others.map((from) => messenger.receive(parts[from]!, from, tag)),
          ...others.map((to) => send(part(values, to), to, tag)),
        ],
        add,
      ]);
    },
    allReduce(values) {
      const tag = nextTag();
      if (values.length <= FEW) {
        const parts = new Float32Array(size * values.length);
        return begin("allReduce", [() => gather(values, parts, tag), () => addParts(inParts(parts, size), values)]);
      }
      const second = nextTag();
      const length = Math.ceil(values.length / size);
      const padded = new Float32Array(size * length);
      padded.set(values);
      const [parts, own] = [new Float32Array(padded.length), new Float32Array(length)];
      return begin("allReduce", [
        () => exchange(padded, parts, tag),
        () => addParts(inParts(parts, size), own),
        () => gather(own, padded, second),
        () => values.set(padded.subarray(0, values.length)),
      ]);
    },
    barrier() {
      const tag = nextTag();
      return begin("barrier", [() => gather(new Uint8Array(1), new Uint8Array(size), tag)]);
    },
    group(ranks) {
      const members = new Set(ranks);
      if (members.size !== ranks.length || !members.has(rank) || ranks.some((each) => !(each >= 0 && each < size)))
        throw new RangeError(
          `group: the ranks ${ranks.join(", ")} are given; they must be different ones of 0 to ${size - 1}, with ${rank} among them. Name the ranks that make this group together.`,
        );
      if (members.size > 1 && job.groups === MOST_GROUPS)
        throw new RangeError(
          `group: there are ${MOST_GROUPS} groups already, the most of one job. Use one that is there.`,
        );
      return groupOf(membersOf(messenger, ranks), job);
    },
    progress() {
      const now = performance.now();
      if (now - job.progressed < BETWEEN_MS) return;
      job.progressed = now;
      // The oldest, and one of the others in turn: each look costs a call of the system.
      const [oldest, ...others] = begun;
      oldest?.test();
      others[job.looks++ % others.length]?.test();
    },
    stepping: () => undefined,
    traffic,
    abort: (message) => messenger.abort(message),
    async close() {
      if (job.closed) return;
      await collective.barrier().done();
      job.closed = true;
      await messenger.leave();
    },
  };
  return collective;
}

/** The sum of parts as long as the result, in their order. */
function addParts([first, second, ...others]: readonly Float32Array[], into: Float32Array): void {
  const { length } = into;
  if (second) for (let i = 0; i < length; i++) into[i] = first![i]! + second[i]!;
  else into.set(first!);
  for (const each of others) for (let i = 0; i < length; i++) into[i] = into[i]! + each[i]!;
}

function inParts(values: Float32Array, many: number): Float32Array[] {
  const length = values.length / many;
  return Array.from({ length: many }, (_, index) => values.subarray(index * length, (index + 1) * length));
}

function late(operation: string, open: readonly Message[], deadline: number): CollectiveError {
  const ranks = [...new Set(open.map(({ peer }) => peer))].sort((a, b) => a - b);
  return new CollectiveError(
    `${operation}: ${showRanks(ranks)} did not answer within ${deadline} s; the process hangs, is gone, or cannot be reached. Look at what it wrote, and start again from the last checkpoint.`,
    ranks,
  );
}
