// Question: is this process one of several, and how does it reach the others?
//
// A launcher of MPI says so in the environment, or one that names an address where the ranks meet. Else the process is
// alone, and no library is looked for.

import { expectFields } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { alone } from "./alone.ts";
import { type Collective, type CollectiveOptions, DEADLINE } from "./collective.ts";
import { type Launched, launchedAs, type StorePlace } from "./launched.ts";
import { type Messenger, overMessages } from "./over-messages.ts";

/** Where the ranks meet without MPI, in place of what the environment says. */
export interface StoreOptions {
  /** Rank 0's machine and a free port of it, such as "10.0.0.1:29500". */
  readonly address: string;
  /** From 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
}

/** How a process enters its job. */
export interface OpenCollectiveOptions extends CollectiveOptions {
  /** Meet the other ranks at rank 0's address, over TCP. Default: as the launcher says in the environment. */
  readonly store?: StoreOptions;
  /** Seconds in which all ranks must have come to the store. Default 300. */
  readonly meeting?: number;
}

/** Ranks may be started one after another by a scheduler. */
const MEETING = 300;

/**
 * Enter the job that this process belongs to; alone where no launcher has started it with others. `close` leaves it.
 *
 * @throws MissingPackages when there are others and koffi is not installed; Error when the library of MPI cannot be
 *   opened, or is not that of the launcher; Error when not all ranks come to the store: it names those
 */
export async function openCollective(options: OpenCollectiveOptions = {}): Promise<Collective> {
  expectFields("openCollective", options, { deadline: "number", store: "group", meeting: "number" });
  const launched = options.store ? storeAs(options.store) : launchedAs();
  if (!launched || launched.size === 1) return alone();
  const [messenger, { joinWatch }] = await Promise.all([
    enter(launched, options.meeting ?? MEETING),
    import("./watch/join.ts"),
  ]);
  const collective = overMessages(messenger, { deadline: options.deadline ?? DEADLINE });
  const watched = await joinWatch(collective);
  const watchedOf = (of: Collective): Collective => ({
    ...of,
    group: (ranks) => watchedOf(of.group(ranks)),
    progress() {
      watched.move();
      of.progress();
    },
    stepping: (within) => watched.stepping(within),
  });
  return {
    ...watchedOf(collective),
    async close() {
      await collective.barrier().done();
      // Rank 0 may be the watch, and those that have not left it would take its end for the job's.
      if (collective.rank > 0) await watched.leave();
      await collective.barrier().done();
      if (collective.rank === 0) await watched.leave();
      await collective.close();
    },
  };
}

async function enter(launched: Launched, meeting: number): Promise<Messenger> {
  if (!launched.store) return (await import("./mpi/messenger.ts")).enterMpi(launched);
  return (await import("./tcp/messenger.ts")).enterTcp(launched, launched.store, meeting);
}

function storeAs(options: StoreOptions): Launched {
  expectFields("openCollective: store", options, { address: "text", rank: "number", size: "number" });
  const { address, rank, size } = options;
  expectWhole("openCollective: store", "size", size, 1, 65_536);
  expectWhole("openCollective: store", "rank", rank, 0, size - 1);
  return { rank, size, here: undefined, local: undefined, libraries: [], store: placeOf(address) };
}

function placeOf(address: string): StorePlace {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
  if (host !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return { host, port: Number(port) };
  throw new RangeError(
    `openCollective: the store's address is ${JSON.stringify(address)}; it must be a machine and a port, such as "10.0.0.1:29500".`,
  );
}
