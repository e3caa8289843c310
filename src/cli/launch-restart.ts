// Question: when does a job that has lost a rank begin again, with which command and how many processes?
//
// When it had done a step, and was not asked to end: an error that comes before would come again. The same command goes
// on from the last checkpoint (train --continue). With a hostfile, machines that do not answer are left out; the others
// have as many processes as their slots allow, and with which the rows of a step can be shared. Of a mesh only data shrinks.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { shellWord, showMany } from "../basics/show.ts";
import { unlockAfter } from "../files/lock.ts";
import { describeResumable } from "../runs/description.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { latestCheckpoint } from "../runs/checkpoint.ts";
import { ABORT_CODE } from "../runtime/collective/launched.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { type MeshSize, showMesh } from "../training/parallel/mesh.ts";
import type { JobEnd } from "./launch-job.ts";
import { askHosts, type Host, removeHosts, writeHosts } from "./launch-hosts.ts";
import type { Launcher } from "./launch-line.ts";
import { freeFolder, type TrainOptions } from "./train.ts";

/** A train command that can be given again, and the folder of its run. */
export interface RepeatableCommand {
  readonly first: readonly string[];
  readonly again: readonly string[];
  readonly folder: string;
  /** As it was asked for. */
  readonly mesh?: Partial<MeshSize>;
}

/** @param options as train reads them from the command */
export function repeatable(command: readonly string[], options: TrainOptions): RepeatableCommand {
  const { mesh } = options;
  if (options.resume !== undefined)
    return { first: command, again: command, folder: options.resume, ...given({ mesh }) };
  const folder = options.out ?? freeFolder(options);
  const first = options.out === undefined ? [...command, "--out", folder] : command;
  const kept = first.filter((word) => word !== "--overwrite");
  return { first, again: options.continue ? kept : [...kept, "--continue"], folder, ...given({ mesh }) };
}

/** Whether a job may begin again. */
export const mayBeginAgain = ({ code, trouble, asked }: JobEnd): boolean =>
  !asked && (trouble !== undefined || code === ABORT_CODE);

/** When a run last recorded a step. */
export function lastStepAt(folder: string): number {
  try {
    return fs.statSync(path.join(folder, "metrics.jsonl")).mtimeMs;
  } catch {
    return 0;
  }
}

/** How a job goes on. */
export interface Onward {
  readonly processes: number;
  readonly hostfile: string | undefined;
  /** What the command is given besides. */
  readonly more: readonly string[];
  /** For people. */
  readonly said: string;
  /** Remove what was written for it. */
  end(): void;
}

/**
 * Find what is left for a job.
 *
 * @throws Error when nothing is
 */
export async function goOn(
  launcher: Launcher,
  { folder, mesh = {} }: Pick<RepeatableCommand, "folder" | "mesh">,
  { processes, hosts, ended }: { processes: number; hosts: readonly Host[] | undefined; ended: JobEnd["processes"] },
): Promise<Onward> {
  // Its holder was a process of this job, perhaps on a machine of which nothing can be seen any more.
  unlockAfter(
    folder,
    ended.map(({ pid, machine }) => ({ pid, host: machine })),
  );
  const step = isRunFolder(folder) ? latestCheckpoint(folder, () => undefined)?.step : undefined;
  const from = step === undefined ? "from its beginning" : `from step ${step}`;
  if (!hosts)
    return {
      processes,
      hostfile: undefined,
      more: [],
      said: `${from} with ${showMany(processes, "process", "processes")}`,
      end: () => undefined,
    };
  const { here, gone } = await askHosts(launcher, hosts);
  if (here.length === 0) throw new Error(`none of the machines answers: ${hosts.map(({ name }) => name).join(", ")}.`);
  const slots = (some: readonly Host[]): number => some.reduce((sum, host) => sum + host.slots, 0);
  const most = Math.max(1, Math.floor((processes * slots(here)) / slots(hosts)));
  const { pipeline = 1, expert = 1 } = mesh;
  const size = gone.length === 0 ? undefined : mostThatShare(folder, most, { pipeline, expert });
  const left = size ? size.data * pipeline * expert : processes;
  const hostfile = writeHosts(here);
  const names = gone.map(({ name }) => name).join(", ");
  return {
    processes: left,
    hostfile,
    more: size && mesh.data !== undefined ? ["--mesh", showMesh(size)] : [],
    said: `${from} with ${showMany(left, "process", "processes")}${gone.length === 0 ? "" : `; without ${names}, which ${gone.length === 1 ? "does" : "do"} not answer`}`,
    end: () => removeHosts(hostfile),
  };
}

/** The largest mesh of so many processes or fewer among which the rows of a run's step can be shared. */
function mostThatShare(
  folder: string,
  most: number,
  { pipeline, expert }: Pick<MeshSize, "pipeline" | "expert">,
): MeshSize {
  const { batch, accumulate } = parseTrainingConfig(describeResumable(folder).config, path.join(folder, "config.json"));
  for (let data = Math.floor(most / pipeline / expert); data > 0; data--)
    if ((batch * accumulate) % (data * expert) === 0) return { data, pipeline, expert };
  throw new Error(
    `--mesh pipeline=${pipeline},expert=${expert} needs ${pipeline * expert} processes, and there is room for ${most}. Launch it again with --resume ${shellWord(folder)} and a smaller mesh.`,
  );
}
