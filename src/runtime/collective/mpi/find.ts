// Question: which MPI has started this process, and where is its library?
//
// The launcher says in the environment which rank a process is: Open MPI's mpirun, MPICH's (Hydra) and Slurm's srun
// each by variables of its own. Nothing is opened here.

/** The environment variable that names the library of MPI to open. */
export const LIBRARY_VARIABLE = "BIRKHOFF_MPI_LIBRARY";

/** A process's place in the job that a launcher has begun. */
export interface Launched {
  readonly rank: number;
  readonly size: number;
  /** How many of them are on this machine; undefined where the launcher does not say. */
  readonly here: number | undefined;
  /** Files of the library, the likeliest first. */
  readonly libraries: readonly string[];
}

const openMpi = ["libmpi.so.40", "libmpi.so"] as const;
const mpich = ["libmpich.so.12", "libmpi.so.12", "libmpich.so"] as const;

/** Variables with the rank and the size, and whose library then answers. */
const launchers = [
  {
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    here: "OMPI_COMM_WORLD_LOCAL_SIZE",
    libraries: openMpi,
  },
  { rank: "PMI_RANK", size: "PMI_SIZE", here: "MPI_LOCALNRANKS", libraries: mpich },
  { rank: "PMIX_RANK", size: "SLURM_NTASKS", here: "SLURM_TASKS_PER_NODE", libraries: openMpi },
] as const;

/** What a launcher says of this process; undefined where none has started it. */
export function launchedAs(environment: NodeJS.ProcessEnv = process.env): Launched | undefined {
  for (const { rank, size, here, libraries } of launchers) {
    const [ownRank, ranks] = [Number(environment[rank]), Number(environment[size])];
    if (environment[rank] === undefined || !(ranks >= 1) || !Number.isInteger(ownRank)) continue;
    const named = environment[LIBRARY_VARIABLE];
    const local = Number.parseInt(environment[here] ?? "", 10);
    return { rank: ownRank, size: ranks, here: local >= 1 ? local : undefined, libraries: named ? [named] : libraries };
  }
  return undefined;
}
