// Question: is this process one of several, and how does it reach the others?
//
// A launcher of MPI says so in the environment. Else the process is alone, and no library is looked for.

import { expectFields } from "../../basics/fields.ts";
import { alone } from "./alone.ts";
import type { Collective, CollectiveOptions } from "./collective.ts";
import { launchedAs } from "./mpi/find.ts";
import { overMessages } from "./over-messages.ts";

/**
 * Enter the job that this process belongs to; alone where no launcher has started it with others. `close` leaves it.
 *
 * @throws MissingPackages when there are others and koffi is not installed; Error when the library of MPI cannot be
 *   opened, or is not that of the launcher
 */
export async function openCollective(options: CollectiveOptions = {}): Promise<Collective> {
  expectFields("openCollective", options, { deadline: "number" });
  const launched = launchedAs();
  if (!launched || launched.size === 1) return alone();
  const [{ enterMpi }, { joinWatch }] = await Promise.all([import("./mpi/messenger.ts"), import("./watch/join.ts")]);
  const messenger = await enterMpi(launched);
  const collective = overMessages(messenger, options);
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
