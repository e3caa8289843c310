// Question: what does a scheduler need to know of a job that it is to run?
//
// One command that trains by several processes, or a sweep, whose runs are tasks of an array. The command must begin or
// go on whenever it is started again.

import path from "node:path";
import { Command } from "commander";
import { sweepPoints } from "../runs/sweep/definition.ts";
import type { MpiName } from "./launch-line.ts";
import { repeatable } from "./launch-restart.ts";
import { openSweep, sweepCommand, type SweepOptions } from "./sweep.ts";
import type { TrainOptions } from "./train.ts";
import { say } from "./warn.ts";

/** A job for a scheduler. */
export interface ClusterJob {
  /** Letters, digits and hyphens. */
  readonly name: string;
  /** Of a training how many share it; of a sweep how many runs go on at once. */
  readonly processes: number;
  readonly mpi: MpiName;
  readonly restarts: number;
  readonly threads: number | undefined;
  /** What birkhoff is given. */
  readonly words: readonly string[];
  /** How many runs a sweep has; absent of a training. */
  readonly points?: number;
}

/** Wishes as they are written, KEY=VALUE each. */
export function wishesOf(option: string, texts: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, key, value] = /^([\w-]+)=(.+)$/s.exec(text) ?? [];
      if (key !== undefined && value !== undefined) return [key, value];
      throw new Error(
        `${option}: "${text}" is given; what follows must be KEY=VALUE, such as time=12:00:00, and then --.`,
      );
    }),
  );
}

type Common = Pick<ClusterJob, "processes" | "mpi" | "restarts">;

/** @param options as train reads them */
export function trainingJob(command: readonly string[], options: TrainOptions, common: Common): ClusterJob {
  const { again, folder } = repeatable(command, options);
  if (options.overwrite)
    say(
      `--overwrite is left out, for the job may be started again: it goes on with a run that is in ${folder}. Remove that for a new one.`,
    );
  return { ...common, name: nameOf(folder), threads: options.threads, words: again };
}

/** @param command sweep and its options */
export async function sweepJob(command: readonly string[], common: Common): Promise<ClusterJob> {
  let read: { readonly file: string; readonly options: SweepOptions } | undefined;
  sweepCommand.action((file: string, options: SweepOptions) => void (read = { file, options }));
  await new Command("birkhoff").addCommand(sweepCommand).parseAsync([...command], { from: "user" });
  const { file, options } = read!;
  if (options.report || options.point !== undefined)
    throw new Error("launch: a sweep's --report and --point are for one process; leave them out.");
  const { sweep, folder } = await openSweep(file, options);
  const { threads } = options;
  return { ...common, name: nameOf(folder), threads, words: command, points: sweepPoints(sweep).length };
}

function nameOf(folder: string): string {
  const name = path
    .basename(path.resolve(folder))
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  return name === "" ? "birkhoff" : name.slice(0, 40).replace(/-+$/, "");
}

/** The words with an option where they lack it. */
export const withOption = (words: readonly string[], option: string, value: string): string[] =>
  words.some((word) => word === option || word.startsWith(`${option}=`)) ? [...words] : [...words, option, value];
