// Question: how does the C interface of each MPI name its constants?
//
// MPI says what functions are called, not what a communicator is. In Open MPI (4 and 5) it is the address of a structure
// that the library exports; in MPICH and its kin a number of 32 bits. A request has 8 or 4 bytes.

/** What differs between libraries. */
export interface Abi {
  readonly name: string;
  /** The type of handles in C. */
  readonly handle: string;
  readonly world: number;
  readonly byte: number;
  readonly errorsReturn: number;
  readonly statusIgnore: number;
}

/** Constants of mpi.h of MPICH 3 and 4, Intel MPI and MVAPICH. */
const mpich: Abi = {
  name: "MPICH",
  handle: "int",
  world: 0x44000000,
  byte: 0x4c00010d,
  errorsReturn: 0x54000001,
  statusIgnore: 1,
};

/** @param addressOf of a symbol that the library exports; undefined where it does not */
export function abiOf(addressOf: (symbol: string) => number | undefined): Abi {
  const world = addressOf("ompi_mpi_comm_world");
  if (world === undefined) return mpich;
  return {
    name: "Open MPI",
    handle: "uintptr_t",
    world,
    byte: addressOf("ompi_mpi_byte")!,
    errorsReturn: addressOf("ompi_mpi_errors_return")!,
    statusIgnore: 0,
  };
}
