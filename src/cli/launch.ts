// birkhoff launch: train with several processes, by the mpirun that is there, and end them all when one is lost.

import { realpathSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Command, Option } from "commander";
import { shellWord, showMany } from "../basics/show.ts";
import { reason } from "../files/errors.ts";
import { expectPackages } from "../files/packages.ts";
import { readText } from "../files/read.ts";
import { type Tell, tellJson } from "./events.ts";
import { parseHosts } from "./launch-hosts.ts";
import { type JobEnd, runJob } from "./launch-job.ts";
import { findLauncher, type Launcher, launchLine, type MpiName, mpiNames } from "./launch-line.ts";
import { directivesOf, slurmScript } from "./launch-slurm.ts";
import { kubernetesObject } from "./launch-kubernetes.ts";
import { sweepJob, trainingJob, wishesOf } from "./launch-cluster.ts";
import { goOn, lastStepAt, mayBeginAgain, type Onward, repeatable, type RepeatableCommand } from "./launch-restart.ts";
import { wholeNumber } from "./options.ts";
import { suggestNames } from "./suggest.ts";
import { trainCommand, type TrainOptions } from "./train.ts";
import { say } from "./warn.ts";

interface LaunchOptions {
  readonly processes: number;
  readonly mpi?: MpiName;
  readonly hostfile?: string;
  readonly restarts: number;
  readonly slurm?: true | readonly string[];
  readonly kubernetes?: readonly string[];
  readonly print?: boolean;
  readonly json?: boolean;
}

/** Before a job begins again, what was lost has so long to come to rest. */
const REST_MS = 1000;

export const launchCommand: Command = new Command("launch")
  .description("Train with several processes by MPI, and end them all when one of them is killed or hangs.")
  .argument("<command...>", "what each process runs, after --: train and its options; for a scheduler also sweep")
  .requiredOption(
    "-n, --processes <n>",
    "how many processes share the training, or how many runs of a sweep go on at once",
    wholeNumber(1, 65536),
  )
  .addOption(new Option("--mpi <kind>", "whose mpirun is used (default: the first that is there)").choices(mpiNames))
  .option("--hostfile <file>", "the machines, in the form that this mpirun reads (default: this one alone)")
  .option(
    "--restarts <n>",
    "how often it is started again from its last checkpoint when a process or a machine is lost",
    wholeNumber(0, 1000),
    0,
  )
  // What starts a job again is launch itself, which a printed line does without.
  .addOption(new Option("--print", "print the mpirun line and run nothing").conflicts(["restarts"]))
  .addOption(
    new Option(
      "--slurm [directives...]",
      "print a script for sbatch and run nothing; directives are KEY=VALUE by their long names, such as time=12:00:00, or exclusive and the like",
    ).conflicts(["hostfile", "print", "kubernetes", "json"]),
  )
  .addOption(
    new Option(
      "--kubernetes <wishes...>",
      "print an MPIJob of kubeflow and run nothing; image=NAME claim=NAME, and mount, namespace, cpu, memory, gpu",
    ).conflicts(["hostfile", "print", "json"]),
  )
  .option("--json", "print JSON lines: the command, and how it ended")
  .addHelpText(
    "after",
    `
A step's batch is shared: with -n 4, --batch 32 is 8 sequences for each process. --threads counts for each process.

Examples:
  birkhoff launch -n 2 -- train --data my.txt --out runs/two
  birkhoff launch -n 8 --hostfile hosts -- train --resume runs/two
  birkhoff launch -n 8 --hostfile hosts --restarts 3 -- train --data my.txt --out runs/long
  birkhoff launch -n 4 --mpi mpich --print -- train --data my.txt
  birkhoff launch -n 8 --slurm time=12:00:00 partition=long -- train --data my.txt --out runs/long > job.sh; sbatch job.sh
  birkhoff launch -n 4 --slurm -- sweep rates.json | sbatch
  birkhoff launch -n 8 --kubernetes image=me/birkhoff claim=work -- train --data my.txt --out runs/long | kubectl apply -f -`,
  )
  .action(async (command: string[], options: LaunchOptions) => {
    const isForScheduler = options.slurm !== undefined || options.kubernetes !== undefined;
    if (command[0] !== "train" && !(isForScheduler && command[0] === "sweep"))
      throw new Error(
        `launch: ${command[0]} is given; only train shares its work among processes${isForScheduler ? ", and sweep its runs" : ""}. Give -- train and its options.`,
      );
    if (isForScheduler) {
      process.stdout.write(await forScheduler(command, options));
      return;
    }
    const trainOptions = await readOptions(command);
    expectPackages("mpi");
    const launcher = findLauncher(options.mpi);
    // Other machines need not have the link by which npx found the program.
    const lineOf = (words: readonly string[]): string[] => [
      process.execPath,
      ...process.execArgv,
      realpathSync(process.argv[1]!),
      ...words,
    ];
    const tell = options.json ? tellJson : undefined;
    if (options.print) {
      const line = launchLine(launcher, options, lineOf(command));
      if (tell) tell("start", { command: line });
      else process.stdout.write(`${line.map(shellWord).join(" ")}\n`);
      return;
    }
    const repeated =
      options.restarts > 0 ? repeatable(command, trainOptions) : { first: command, again: command, folder: "" };
    const { code, trouble } = await runAgain(launcher, repeated, options, { lineOf, tell });
    tell?.("result", { code, ...(trouble === undefined ? {} : { trouble }) });
    process.exitCode = code;
  });

/** What a scheduler is given. */
async function forScheduler(command: readonly string[], options: LaunchOptions): Promise<string> {
  const { processes, restarts, mpi = "openmpi", slurm, kubernetes } = options;
  const common = { processes, restarts, mpi };
  const job =
    command[0] === "sweep" ? await sweepJob(command, common) : trainingJob(command, await readOptions(command), common);
  if (!kubernetes) {
    const entry = [process.execPath, ...process.execArgv, realpathSync(process.argv[1]!)];
    return slurmScript(job, entry, directivesOf(slurm === true ? [] : slurm!));
  }
  const object = kubernetesObject(job, wishesOf("--kubernetes", kubernetes));
  expectPackages("yaml");
  return (await import("yaml")).stringify(object);
}

/** The machines that a file names; an error says which option named it. */
function readHosts(file: string): ReturnType<typeof parseHosts> {
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    throw new Error(`--hostfile: cannot read ${file}: ${reason(error)}`, { cause: error });
  }
  return parseHosts(text);
}

/** Run a job, and again from its last checkpoint when a rank is lost, as often as it may. */
async function runAgain(
  launcher: Launcher,
  command: RepeatableCommand,
  { processes, hostfile, restarts }: LaunchOptions,
  { lineOf, tell }: { lineOf: (words: readonly string[]) => string[]; tell: Tell | undefined },
): Promise<JobEnd> {
  const hosts = hostfile === undefined ? undefined : readHosts(hostfile);
  let next: Pick<Onward, "processes" | "hostfile" | "more"> & Partial<Onward> = { processes, hostfile, more: [] };
  const before = lastStepAt(command.folder);
  for (let begun = 0; ; begun++) {
    const line = launchLine(launcher, next, lineOf([...(begun === 0 ? command.first : command.again), ...next.more]));
    tell?.("start", { command: line });
    const end = await runJob(line).finally(next.end);
    if (!mayBeginAgain(end) || restarts === 0) return end;
    if (lastStepAt(command.folder) === before) {
      say("birkhoff: the job had not done a step, so it is not started again.");
      return end;
    }
    if (begun === restarts) {
      say(
        `birkhoff: the job was started again ${showMany(restarts, "time")}, and is given up. Continue: birkhoff train --resume ${shellWord(command.folder)}`,
      );
      return end;
    }
    await setTimeout(REST_MS);
    let onward: Onward;
    try {
      onward = await goOn(launcher, command, { processes, hosts, ended: end.processes });
    } catch (error) {
      say(`birkhoff: the job cannot be started again: ${reason(error)}`);
      return end;
    }
    next = onward;
    say(`birkhoff: started again (${begun + 1} of ${restarts}), ${onward.said}.`);
    tell?.("restart", { restart: begun + 1, processes: onward.processes, trouble: end.trouble });
  }
}

/** Read the options of the command here first: what is wrong with them is said once, and not by every process. */
async function readOptions(command: readonly string[]): Promise<TrainOptions> {
  suggestNames(trainCommand);
  let read: TrainOptions | undefined;
  trainCommand.action((_: unknown, acting: Command) => void (read = acting.opts<TrainOptions>()));
  const program = new Command("birkhoff").option("--debug").addCommand(trainCommand);
  await program.parseAsync([...command], { from: "user" });
  return read!;
}
