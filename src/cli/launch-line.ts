// Question: which line starts the processes of a job?
//
// That of the mpirun that is there: Open MPI's or MPICH's, each with the options without which Node's processes would
// share a core, or not survive.

import { spawnSync } from "node:child_process";
import { WATCH_VARIABLE } from "../runtime/collective/watch/protocol.ts";

/** What is asked of a launcher. */
export interface Wishes {
  readonly processes: number;
  readonly hostfile?: string | undefined;
  /** Whether somebody else runs the line. */
  readonly print?: boolean | undefined;
}

/** A kind of launcher: its names, how it says what it is, and its options. */
interface Flavour {
  readonly commands: readonly string[];
  readonly says: RegExp;
  options(wishes: Wishes): string[];
  readonly install: string;
}

const words = (text: string): string[] => text.split(" ");

export type MpiName = "openmpi" | "mpich";

const flavours: Readonly<Record<MpiName, Flavour>> = {
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
      // On a machine that is cut off, its daemon ends after some seconds, and not after an hour.
      ...words("--mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 2"),
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
};

export const mpiNames: readonly MpiName[] = Object.keys(flavours) as MpiName[];

/** A launcher that is there. */
export interface Launcher {
  readonly program: string;
  readonly flavour: MpiName;
}

/** The line by which a launcher starts a program. */
export const launchLine = ({ program, flavour }: Launcher, wishes: Wishes, command: readonly string[]): string[] => [
  program,
  ...flavours[flavour].options(wishes),
  ...command,
];

/** The first launcher that is there, of the kind that is asked for. */
export function findLauncher(asked: MpiName | undefined): Launcher {
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
