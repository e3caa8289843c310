// Question: how does a command that trains share its work with other processes?
//
// A launcher of MPI starts the same command many times. Rank 0 reads the options, prepares the text and has the run; the
// others hear from it what is trained, on which prepared tokens, and share its steps until it lets them go.

import { availableParallelism } from "node:os";
import { given } from "../basics/given.ts";
import { openPrepared } from "../data/prepare.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { reason } from "../files/errors.ts";
import type { Collective } from "../runtime/collective/collective.ts";
import { launchedAs } from "../runtime/collective/launched.ts";
import { type GpuExchange, joinGpus, type Joined } from "../runtime/collective/nccl/join.ts";
import { openCollective } from "../runtime/collective/open.ts";
import { broadcastText } from "../runtime/collective/texts.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { expectSame } from "../training/parallel/agree.ts";
import { endFollowers } from "../training/parallel/lead.ts";
import type { PipelinePlan } from "../training/parallel/pipeline/stage.ts";
import { followRun } from "../runs/run.ts";
import { followerSpeaks } from "./followers.ts";
import { endUnheard } from "./interrupt.ts";
import { version } from "./version.ts";
import { say } from "./warn.ts";

/** What rank 0 tells the others before the run begins; null when there will be none. */
type Start = {
  readonly config: TrainingConfig;
  readonly folder: string;
  readonly text: string;
  readonly spread?: PipelinePlan;
} | null;

/** Rank 0 of the processes that share a training, or the only one. */
export interface Leader {
  readonly collective: Collective;
  /**
   * Let the others get ready for a run; `folder` has its tokens.
   *
   * @returns what the run is to be shared by
   */
  begin(
    config: TrainingConfig,
    data: PreparedFiles & { readonly summary?: { readonly folder: string } },
    runtime: Runtime,
    spread?: PipelinePlan,
  ): Promise<Collective>;
  /** Let the others go. */
  end(): Promise<void>;
}

/**
 * Join the processes that share a training. On rank 0 it returns at once; on every other rank when rank 0 has let it go,
 * with nothing.
 *
 * @param open opens the runtime that the command line asks for
 * @param exchange what carries what lies on GPUs, as the command line says on all ranks
 */
export async function joinRanks(open: () => Promise<Runtime>, exchange: GpuExchange): Promise<Leader | undefined> {
  followerSpeaks();
  const collective = await openCollective();
  if (collective.rank === 0) return leadRanks(collective, exchange);
  // A person's Ctrl-C is rank 0's to answer.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  try {
    const start = JSON.parse(await broadcastText(collective, 0)) as Start;
    if (start) await follow(collective, start, await open(), exchange);
  } catch (error) {
    collective.abort(reason(error));
  }
  await collective.close();
  return undefined;
}

function leadRanks(collective: Collective, exchange: GpuExchange): Leader {
  let begun = false;
  let joined: Joined | undefined;
  let ended = collective.size === 1;
  const end = async (): Promise<void> => {
    if (ended) return;
    ended = true;
    if (begun) await endFollowers(collective);
    else await broadcastText(collective, 0, JSON.stringify(null satisfies Start));
    await joined?.leave();
    await collective.close();
  };
  // The others cannot hear a signal that comes before a training does: they are let go, and nothing is wrong.
  if (collective.size > 1) endUnheard({ expected: () => begun && !ended, last: end });
  return {
    collective,
    async begin(config, data, runtime, spread) {
      if (collective.size === 1) return collective;
      // A signal has come, and the process is about to end.
      if (ended) await new Promise(() => undefined);
      const prepared = config.data.prepared;
      const folder = prepared?.folder ?? data.summary?.folder;
      if (folder === undefined)
        throw new Error(
          "The tokens of this run are not kept in a folder that other processes can open; train it in one process, or begin a new run.",
        );
      begun = true;
      const start: Start = { config, folder, text: prepared?.text ?? data.train.origin.text, ...given({ spread }) };
      await broadcastText(collective, 0, JSON.stringify(start));
      await expectSame(collective, "the version of Birkhoff", version);
      joined = await joinGpus(collective, runtime, exchange);
      if (joined.collective.gpu) say(`the GPUs exchange by ${joined.collective.gpu.library}`);
      if (joined.why !== undefined) say(`the GPUs exchange through the processors' memory, for ${joined.why}`);
      return joined.collective;
    },
    end,
  };
}

async function follow(
  collective: Collective,
  { config, folder, text, spread }: NonNullable<Start>,
  runtime: Runtime,
  exchange: GpuExchange,
): Promise<void> {
  let joined: Joined | undefined;
  try {
    await expectSame(collective, "the version of Birkhoff", version);
    joined = await joinGpus(collective, runtime, exchange);
    const data = openTokens(folder, text);
    try {
      await followRun(runtime, parseTrainingConfig(config), data, joined.collective, spread);
    } finally {
      data.close();
    }
    await joined.leave();
  } finally {
    runtime.close();
  }
}

function openTokens(folder: string, text: string): PreparedFiles {
  try {
    return openPrepared(folder, { text });
  } catch (error) {
    throw new Error(
      `the tokens cannot be opened here: ${reason(error)}. All machines must see the same cache folder; --cache names one.`,
      { cause: error },
    );
  }
}

/** The threads of this process where none are asked for: its share of the cores; undefined where it has all. */
export function threadsHere(): number | undefined {
  const { here = 1 } = launchedAs() ?? {};
  return here > 1 ? Math.max(1, Math.floor(availableParallelism() / here)) : undefined;
}
