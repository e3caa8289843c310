// Question: who has started this process, and which rank is it?
//
// A launcher says so in the environment: Open MPI's mpirun, MPICH's (Hydra) and Slurm's srun each by variables of its
// own. One without MPI, such as PyTorch's, names rank 0's address instead of a library. Nothing is opened here.

/** The environment variable that names the library of MPI to open. */
export const LIBRARY_VARIABLE = "BIRKHOFF_MPI_LIBRARY";

/** What the process returns when it ends the job. */
export const ABORT_CODE = 75;

/** Where rank 0 waits for the others, where no MPI does that. */
export interface StorePlace {
  readonly host: string;
  readonly port: number;
}

/** A process's place in the job that a launcher has begun. */
export interface Launched {
  readonly rank: number;
  readonly size: number;
  /** How many of them are on this machine; undefined where the launcher does not say. */
  readonly here: number | undefined;
  /** Which of those this process is, from 0; undefined where the launcher does not say. */
  readonly local: number | undefined;
  /** Files of the library of MPI, the likeliest first; none where a store brings the ranks together. */
  readonly libraries: readonly string[];
  readonly store?: StorePlace;
}

const openMpi = ["libmpi.so.40", "libmpi.so"] as const;
const mpich = ["libmpich.so.12", "libmpi.so.12", "libmpich.so"] as const;

/** The port of PyTorch's launcher. */
const STORE_PORT = 29_500;

/** Variables with the rank and the size, and whose library then answers; none answers where ranks meet at a store. */
const launchers = [
  {
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    here: "OMPI_COMM_WORLD_LOCAL_SIZE",
    local: "OMPI_COMM_WORLD_LOCAL_RANK",
    libraries: openMpi,
  },
  { rank: "PMI_RANK", size: "PMI_SIZE", here: "MPI_LOCALNRANKS", local: "MPI_LOCALRANKID", libraries: mpich },
  {
    rank: "PMIX_RANK",
    size: "SLURM_NTASKS",
    here: "SLURM_TASKS_PER_NODE",
    local: "SLURM_LOCALID",
    libraries: openMpi,
  },
  { rank: "RANK", size: "WORLD_SIZE", here: "LOCAL_WORLD_SIZE", local: "LOCAL_RANK", libraries: [] },
] as const;

/**
 * What a launcher says of this process; undefined where none has started it.
 *
 * @throws RangeError when the address of a store is none
 */
export function launchedAs(environment: NodeJS.ProcessEnv = process.env): Launched | undefined {
  for (const { rank, size, here, local, libraries } of launchers) {
    const [ownRank, ranks] = [Number(environment[rank]), Number(environment[size])];
    if (environment[rank] === undefined || !(ranks >= 1) || !Number.isInteger(ownRank)) continue;
    const place = libraries.length === 0 ? storeOf(environment) : undefined;
    // Other programs have variables of such names, too.
    if (libraries.length === 0 && !place) continue;
    const named = environment[LIBRARY_VARIABLE];
    const many = Number.parseInt(environment[here] ?? "", 10);
    const which = Number.parseInt(environment[local] ?? "", 10);
    return {
      rank: ownRank,
      size: ranks,
      here: many >= 1 ? many : undefined,
      local: which >= 0 ? which : undefined,
      libraries: named && !place ? [named] : libraries,
      ...(place ? { store: place } : {}),
    };
  }
  return undefined;
}

function storeOf({ MASTER_ADDR: host, MASTER_PORT: text }: NodeJS.ProcessEnv): StorePlace | undefined {
  if (!host) return undefined;
  const port = text ? Number(text) : STORE_PORT;
  if (!(Number.isInteger(port) && port >= 1 && port <= 65_535))
    throw new RangeError(`MASTER_PORT=${text} is given; it must be a port from 1 to 65535 of rank 0's machine.`);
  return { host, port };
}
