// Question: which script runs a job under Slurm?
//
// srun starts the ranks; no mpirun is needed. Before the time limit rank 0 is asked to save, and the job goes back into
// the queue; after the loss of a node Slurm does that by itself (--requeue); after the loss of a rank srun is called
// again, as often as --restarts says. The same command goes on from the last checkpoint each time.

import { shellWord } from "../basics/show.ts";
import { type ClusterJob, wishesOf, withOption } from "./launch-cluster.ts";
import type { MpiName } from "./launch-line.ts";

/** Directives of sbatch that have no value. */
const alone: ReadonlySet<string> = new Set([
  "contiguous",
  "exclusive",
  "hold",
  "no-kill",
  "overcommit",
  "oversubscribe",
  "reboot",
  "spread-job",
  "use-min-nodes",
]);

/** Directives as they are written: KEY=VALUE, or a word alone. */
export const directivesOf = (texts: readonly string[]): Readonly<Record<string, string | true>> => ({
  ...wishesOf(
    "--slurm",
    texts.filter((text) => !alone.has(text)),
  ),
  ...Object.fromEntries(texts.filter((text) => alone.has(text)).map((word) => [word, true])),
});

/** How srun wires up the processes of each library. */
const wiring: Readonly<Record<MpiName, string>> = { openmpi: "pmix", mpich: "pmi2" };

/** Seconds before the time limit at which the job is asked to save. */
const NOTICE = 120;

/**
 * @param entry what starts birkhoff, such as node and its program
 * @param wishes directives of sbatch by their long names
 */
export function slurmScript(
  { name, processes, mpi, restarts, threads, words, points }: ClusterJob,
  entry: readonly string[],
  wishes: ReturnType<typeof directivesOf>,
): string {
  const isSweep = points !== undefined;
  const cpus = String(wishes["cpus-per-task"] ?? threads ?? 1);
  const directives: Record<string, string | true> = {
    "job-name": name,
    ...(isSweep ? { array: `1-${points}%${processes}` } : { ntasks: String(processes) }),
    "cpus-per-task": cpus,
    output: isSweep ? `${name}-%A-%a.log` : `${name}-%j.log`,
    "open-mode": "append",
    requeue: true,
    signal: `B:USR1@${NOTICE}`,
    ...wishes,
  };
  const command = [...entry, ...withOption(words, "--threads", cpus)].map(shellWord).join(" ");
  const srun = [
    "srun",
    ...(isSweep ? ["--ntasks=1"] : [`--mpi=${wiring[mpi]}`, "--kill-on-bad-exit=1"]),
    '--cpus-per-task="$SLURM_CPUS_PER_TASK"',
    command,
    ...(isSweep ? ['--point "$SLURM_ARRAY_TASK_ID"'] : []),
  ].join(" ");
  return `#!/bin/bash
${Object.entries(directives)
  .map(([key, value]) => `#SBATCH --${key}${value === true ? "" : `=${value}`}`)
  .join("\n")}

# Near the time limit the run is saved, and the job goes back into the queue.
near_limit=
trap 'near_limit=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1

for attempt in $(seq 0 ${restarts}); do
  ${srun} &
  step=$!
  wait "$step"
  code=$?
  if [ -n "$near_limit" ]; then
    wait "$step"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
  fi
  # 1 is an error that would come again.
  [ "$code" -le 1 ] && break
done
exit "$code"
`;
}
