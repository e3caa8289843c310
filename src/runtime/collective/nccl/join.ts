// Question: do the ranks' GPUs reach each other without the processors?
//
// Each rank says to all which GPU it has and whether it can open NCCL. Where every rank has one of its own, what lies on
// GPUs goes by NCCL, and the processors' messages as they went before; else all of it goes by messages. All ranks find
// the same, since they hear the same.

import os from "node:os";
import { reason } from "../../../files/errors.ts";
import type { Runtime } from "../../runtime.ts";
import { type Collective, DEADLINE, showRanks } from "../collective.ts";
import { gatherTexts } from "../texts.ts";
import { createGpuCollective, type OpenGpuCollective } from "./gpu.ts";
import { type Nccl, openNccl } from "./library.ts";

/** What may carry what lies on GPUs: NCCL, messages (by MPI or TCP), or NCCL where it can. */
export type GpuExchange = "auto" | "nccl" | "messages";

/** All that may be asked for, "auto" first. */
export const gpuExchanges: readonly GpuExchange[] = ["auto", "nccl", "messages"];

/** What a rank says of itself. */
interface Said {
  readonly asks: GpuExchange;
  readonly machine: string;
  /** The GPU's place on its machine; absent where the runtime is none of CUDA. */
  readonly gpu?: string;
  readonly version?: string;
  /** Why NCCL cannot be opened. */
  readonly trouble?: string;
}

/** How it was decided, for people. */
export interface Joined {
  readonly collective: Collective;
  /** End what was begun between the GPUs, on all ranks; before the runtime is closed. */
  leave(): Promise<void>;
  /** Why it is not NCCL, where the GPUs might have made one hope for it. */
  readonly why?: string;
}

/**
 * Let the GPUs of all ranks reach each other. All ranks call it at once.
 *
 * @param exchange the same on all ranks
 * @returns a collective that has `gpu`, or the same where NCCL is not used
 * @throws Error, on all ranks, when "nccl" is asked for and cannot be: it names the ranks and says what to do
 */
export async function joinGpus(
  collective: Collective,
  runtime: Runtime,
  exchange: GpuExchange = "auto",
  deadline: number = DEADLINE,
): Promise<Joined> {
  const leave = (): Promise<void> => Promise.resolve();
  if (collective.size === 1) return { collective, leave };
  const { beside } = runtime;
  let nccl: Nccl | undefined;
  let trouble: string | undefined;
  if (beside && exchange !== "messages")
    try {
      nccl = await openNccl();
    } catch (error) {
      trouble = reason(error);
    }
  const own: Said = {
    asks: exchange,
    machine: os.hostname(),
    ...(beside ? { gpu: beside.bus } : {}),
    ...(nccl ? { version: nccl.version } : {}),
    ...(trouble === undefined ? {} : { trouble }),
  };
  const all = (await gatherTexts(collective, JSON.stringify(own))).map((text) => JSON.parse(text) as Said);
  const why = obstacle(all);
  if (all.some(({ asks }) => asks === "nccl") && why !== undefined)
    throw new Error(
      `nccl: it is asked for (--exchange nccl), and ${why} Or leave --exchange out: what lies on GPUs then goes through the processors' memory.`,
    );
  if (why !== undefined || !nccl || !beside)
    return {
      collective,
      leave,
      ...(why !== undefined && exchange === "auto" && all.every(({ gpu }) => gpu) ? { why } : {}),
    };
  const open: OpenGpuCollective[] = [];
  const withGpu = (of: Collective, name: string): Collective => {
    const gpu = createGpuCollective(nccl, beside, of, deadline);
    open.push(gpu);
    return { ...of, name, gpu, group: (ranks) => withGpu(of.group(ranks), name) };
  };
  return {
    collective: withGpu(collective, "nccl"),
    async leave() {
      for (const gpu of open) await gpu.close();
    },
  };
}

/** What keeps the ranks from using NCCL, as the end of a sentence; undefined where nothing does. */
function obstacle(all: readonly Said[]): string | undefined {
  const those = (is: (said: Said) => boolean): number[] => all.flatMap((said, rank) => (is(said) ? [rank] : []));
  const verb = (ranks: readonly number[], one: string, many: string): string => (ranks.length === 1 ? one : many);
  const unwilling = those(({ asks }) => asks === "messages");
  if (unwilling.length > 0)
    return `${showRanks(unwilling)} ${verb(unwilling, "asks", "ask")} for messages (--exchange).`;
  const without = those(({ gpu }) => gpu === undefined);
  if (without.length > 0)
    return `${showRanks(without)} ${verb(without, "does", "do")} not compute by CUDA: use --runtime cuda on all.`;
  const cannot = those(({ trouble }) => trouble !== undefined);
  if (cannot.length > 0) return `${showRanks(cannot)} cannot open it: ${all[cannot[0]!]!.trouble}`;
  const ranksOf = new Map<string, number[]>();
  for (const [rank, { machine, gpu }] of all.entries()) {
    const key = `${gpu} of ${machine}`;
    ranksOf.set(key, [...(ranksOf.get(key) ?? []), rank]);
  }
  const shared = [...ranksOf].find(([, ranks]) => ranks.length > 1);
  if (shared)
    return `${showRanks(shared[1])} have the same GPU, ${shared[0]}: start as many ranks as there are GPUs, and let each see all of them or one of its own (CUDA_VISIBLE_DEVICES).`;
  const versions = [...new Set(all.map(({ version }) => version?.split(".").slice(0, 2).join(".")))];
  if (versions.length > 1)
    return `the ranks have NCCL of different versions, ${versions.join(" and ")}: install the same on all machines.`;
  return undefined;
}
