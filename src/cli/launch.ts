// birkhoff launch: train with several processes, by the mpirun that is there, and end them all when one is lost.

import { spawn, spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import os from "node:os";
import { setTimeout } from "node:timers/promises";
import { Command, Option } from "commander";
import { shellWord } from "../basics/show.ts";
import { expectPackages } from "../files/packages.ts";
import { ABORT_CODE } from "../runtime/collective/mpi/messenger.ts";
import { WATCH_VARIABLE } from "../runtime/collective/watch/protocol.ts";
import { startWatch, type Watch } from "../runtime/collective/watch/server.ts";
import { tellJson } from "./events.ts";
import { REPEATED_MS } from "./interrupt.ts";
import { wholeNumber } from "./options.ts";
import { suggestNames } from "./suggest.ts";
import { trainCommand } from "./train.ts";
import { say } from "./warn.ts";

interface LaunchOptions {
  readonly processes: number;
  readonly mpi?: MpiName;
  readonly hostfile?: string;
  readonly print?: boolean;
  readonly json?: boolean;
}

/** A kind of launcher: its names, how it says what it is, and its options. */
interface Flavour {
  readonly commands: readonly string[];
  readonly says: RegExp;
  options(wishes: Pick<LaunchOptions, "processes" | "hostfile" | "print">): string[];
  readonly install: string;
}

const words = (text: string): string[] => text.split(" ");

const flavours = {
  openmpi: {
    commands: ["mpirun.openmpi", "mpirun"],
    says: /Open MPI|OpenRTE/,
    options: ({ processes, hostfile, print }) => [
      ...words(`-n ${processes}`),
      ...(hostfile === undefined ? words("--oversubscribe") : ["--hostfile", hostfile]),
      // Bound to one core each, processes of several threads would share it.
      ...words("--bind-to none"),
      // UCX hooks the allocation of memory, which Node does not survive.
      ...words("--mca pml ob1 --mca btl tcp,self,vader"),
      // One call sends a whole bucket.
      ...words("--mca btl_tcp_sndbuf 4194304 --mca btl_tcp_rcvbuf 4194304"),
      // A line that somebody else runs has no watch here; rank 0 is it.
      ...(print ? [] : words(`-x ${WATCH_VARIABLE}`)),
      ...(process.getuid?.() === 0 ? words("--allow-run-as-root") : []),
    ],
    install: "apt-get install openmpi-bin",
  },
  mpich: {
    commands: ["mpirun.mpich", "mpiexec.hydra", "mpiexec", "mpirun"],
    says: /HYDRA|MPICH|Intel\(R\) MPI/i,
    options: ({ processes, hostfile }) => [
      ...words(`-n ${processes}`),
      ...(hostfile === undefined ? [] : ["-f", hostfile]),
    ],
    install: "apt-get install mpich",
  },
} as const satisfies Readonly<Record<string, Flavour>>;

type MpiName = keyof typeof flavours;
const mpiNames = Object.keys(flavours) as MpiName[];

/** The watch names a lost rank within this time. */
const NAMING_MS = 700;

/** After a rank is lost the launcher has so long to end the others itself. */
const ENDING_MS = 2500;

export const launchCommand: Command = new Command("launch")
  .description("Train with several processes by MPI, and end them all when one of them is killed or hangs.")
  .argument("<command...>", "what each process runs, after --: train and its options")
  .requiredOption("-n, --processes <n>", "how many processes share the training", wholeNumber(1, 65536))
  .addOption(new Option("--mpi <kind>", "whose mpirun is used (default: the first that is there)").choices(mpiNames))
  .option("--hostfile <file>", "the machines, in the form that this mpirun reads (default: this one alone)")
  .option("--print", "print the mpirun line and run nothing")
  .option("--json", "print JSON lines: the command, and how it ended")
  .addHelpText(
    "after",
    `
A step's batch is shared: with -n 4, --batch 32 is 8 sequences for each process. --threads counts for each process.

Examples:
  birkhoff launch -n 2 -- train --data my.txt --out runs/two
  birkhoff launch -n 8 --hostfile hosts -- train --resume runs/two
  birkhoff launch -n 4 --mpi mpich --print -- train --data my.txt`,
  )
  .action(async (command: string[], options: LaunchOptions) => {
    if (command[0] !== "train")
      throw new Error(
        `launch: ${command[0]} is given; only train shares its work among processes. Give -- train and its options.`,
      );
    await expectOptions(command);
    expectPackages("mpi");
    const { program, flavour } = findLauncher(options.mpi);
    const own = flavours[flavour].options(options);
    // Other machines need not have the link by which npx found the program.
    const entry = realpathSync(process.argv[1]!);
    const line = [program, ...own, process.execPath, ...process.execArgv, entry, ...command];
    const tell = options.json ? tellJson : undefined;
    if (options.print) {
      if (tell) tell("start", { command: line });
      else process.stdout.write(`${line.map(shellWord).join(" ")}\n`);
      return;
    }
    tell?.("start", { command: line });
    const { code, trouble } = await runWatched(line);
    tell?.("result", { code, ...(trouble === undefined ? {} : { trouble }) });
    process.exitCode = code;
  });

/** Read the options of the command here first: what is wrong with them is said once, and not by every process. */
async function expectOptions(command: readonly string[]): Promise<void> {
  suggestNames(trainCommand);
  const program = new Command("birkhoff").option("--debug").addCommand(trainCommand.action(() => undefined));
  await program.parseAsync([...command], { from: "user" });
}

/** Run a launcher until it ends, or until a rank is lost. */
async function runWatched([program, ...args]: readonly string[]): Promise<{ code: number; trouble?: string }> {
  let trouble: string | undefined;
  let child: ReturnType<typeof spawn> | undefined;
  /** When a person asked to save and stop; and the signal by which all processes end without that. */
  let asked: number | undefined;
  let ending: NodeJS.Signals | undefined;
  const watch = await startWatch({
    onTrouble(message) {
      if (ending) return;
      trouble = message;
      say(`birkhoff: ${message}`);
      void setTimeout(ENDING_MS, undefined, { ref: false }).then(() => child && endAll(child, watch));
    },
  });
  try {
    // In a group of its own: a Ctrl-C goes to rank 0 alone, which saves.
    child = spawn(program!, args, {
      detached: true,
      stdio: [process.stdin.isTTY ? "ignore" : "inherit", "inherit", "inherit"],
      env: { ...plainUnlessShown(process.stdout), ...process.env, [WATCH_VARIABLE]: JSON.stringify(watch.address) },
    });
    const own = child;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => {
        const now = performance.now();
        if (asked !== undefined && now - asked < REPEATED_MS) return;
        if (asked !== undefined || !watch.interrupt()) ending = signal;
        if (asked !== undefined) endAll(own, watch);
        // Before rank 0 is under the watch, and after its training. The launcher ends its processes; were it killed, some
        // would go on without it.
        else if (ending) own.kill("SIGTERM");
        asked ??= now;
      });
    process.on("SIGTSTP", () =>
      say("birkhoff: Ctrl-Z does nothing here, for the job ends when its watch stops; Ctrl-C saves and stops."),
    );
    const code = await new Promise<number>((resolve, reject) => {
      own
        .on("error", reject)
        .on("close", (code, signal) => resolve(code ?? 128 + (os.constants.signals[signal!] ?? 0)));
    });
    if (ending) return { code: code === 0 ? 0 : 128 + os.constants.signals[ending] };
    // The watch may still be looking which ranks ended together.
    if (trouble === undefined && code !== 0) await setTimeout(NAMING_MS);
    if (trouble === undefined) return { code };
    endAll(own, watch);
    return { code: ABORT_CODE, trouble };
  } finally {
    watch.close();
  }
}

/** Open MPI gives ranks a terminal even where this process writes into a file, which is no place for colours. */
function plainUnlessShown({ isTTY }: { readonly isTTY?: boolean }): { NO_COLOR?: string } {
  return isTTY || process.env.FORCE_COLOR !== undefined ? {} : { NO_COLOR: "1" };
}

/** End the launcher and the processes of this machine that it may have left. */
function endAll({ pid }: ReturnType<typeof spawn>, watch: Watch): void {
  const here = watch.processes().filter(({ machine }) => machine === os.hostname());
  for (const each of [...(pid === undefined ? [] : [-pid]), ...here.map((process) => process.pid)]) {
    try {
      process.kill(each, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

/** The first launcher that is there, of the kind that is asked for. */
function findLauncher(asked: MpiName | undefined): { program: string; flavour: MpiName } {
  for (const flavour of asked ? [asked] : mpiNames)
    for (const program of flavours[flavour].commands) {
      const { stdout, error } = spawnSync(program, ["--version"], { encoding: "utf8", timeout: 10_000 });
      if (!error && flavours[flavour].says.test(stdout)) return { program, flavour };
    }
  const wanted = asked ? flavours[asked] : flavours.openmpi;
  throw new Error(
    `launch: there is no ${asked ? wanted.commands.join(" or ") : "mpirun"} here, which starts the processes. Install ${asked ?? "Open MPI or MPICH"}: ${wanted.install}.`,
  );
}
