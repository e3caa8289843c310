// Question: where is NCCL, and how is it called?
//
// libnccl.so.2 is opened when it is first asked for. It lies where the other libraries of CUDA do, or in a wheel of its
// own; what it refuses is thrown as what it means.

import { reason } from "../../../files/errors.ts";
import { filesIn, foldersToTry, LIBRARIES_VARIABLE } from "../../cuda/libraries.ts";
import { type Argument, type Cell, native } from "../../cuda/native.ts";
import { config, LEAST_VERSION, type NcclCall, showVersion, signatures, UNIQUE_ID, UNIQUE_ID_BYTES } from "./abi.ts";

/** The environment variable that names the file of the library. */
export const NCCL_VARIABLE = "BIRKHOFF_NCCL_LIBRARY";

const INSTALL =
  "Install NCCL, such as pip install nvidia-nccl-cu13 (or -cu12, as the driver is), or apt-get install libnccl2";

/** ncclResult_t: what it means, and what is to be done. */
const meanings: Readonly<Record<number, { readonly name: string; readonly what: string; readonly remedy: string }>> = {
  1: {
    name: "ncclUnhandledCudaError",
    what: "a call of CUDA failed",
    remedy: "Look at the GPU with nvidia-smi, and set NCCL_DEBUG=WARN to see which call.",
  },
  2: {
    name: "ncclSystemError",
    what: "a call of the system failed",
    remedy:
      "Set NCCL_DEBUG=WARN to see which; often /dev/shm is too small, or NCCL_SOCKET_IFNAME must name the network.",
  },
  3: { name: "ncclInternalError", what: "it has failed", remedy: "Set NCCL_DEBUG=WARN to see where." },
  4: {
    name: "ncclInvalidArgument",
    what: "a call was given what is not allowed",
    remedy: "Please report it with the output of birkhoff doctor.",
  },
  5: {
    name: "ncclInvalidUsage",
    what: "it cannot be used like this",
    remedy: "Each rank needs a GPU of its own: look at CUDA_VISIBLE_DEVICES, and set NCCL_DEBUG=WARN.",
  },
  6: {
    name: "ncclRemoteError",
    what: "another rank has ended or cannot be reached",
    remedy: "Look at what the others wrote, and start again from the last checkpoint.",
  },
  7: { name: "ncclInProgress", what: "it is not done yet", remedy: "Please report it." },
  8: { name: "ncclTimeout", what: "it took too long", remedy: "Look at what the other ranks wrote." },
};

export const SUCCESS = 0;
export const IN_PROGRESS = 7;

/** What NCCL has refused. */
export class NcclError extends Error {
  readonly code: number;

  /** @param where the operation, and the rank that got the code */
  constructor(code: number, call: string, where: string) {
    const { name, what, remedy } = meanings[code] ?? { name: "unknown", what: "an unknown code", remedy: INSTALL };
    super(`nccl: ${where}: ${what}: ${call} returned ${code} (${name}). ${remedy}`);
    this.code = code;
  }
}

/** NCCL, opened. */
export interface Nccl {
  /** Such as "2.30.7". */
  readonly version: string;
  readonly file: string;
  /** Its functions as they are: what they return is their code. */
  readonly call: Readonly<Record<NcclCall, (...values: Argument[]) => number>>;
  /** A new id, by which ranks that are to make a communicator find each other. */
  uniqueId(): Uint8Array;
  /** Begin to make a communicator that does not block; its handle. It is there when `stateOf` says SUCCESS. */
  begin(id: Uint8Array, place: { readonly rank: number; readonly size: number }): number;
  /** What the communicator says of its last call: SUCCESS, IN_PROGRESS or what went wrong. */
  stateOf(communicator: number): number;
}

/** Files of NCCL, the likeliest first, and where was looked. */
export function findNccl(environment: NodeJS.ProcessEnv = process.env): {
  readonly files: readonly string[];
  readonly folders: readonly string[];
} {
  const named = environment[NCCL_VARIABLE];
  if (named) return { files: [named], folders: [] };
  const folders: string[] = [];
  for (const folder of foldersToTry(environment)) {
    folders.push(folder);
    const files = filesIn(folder, "libnccl.so");
    if (files.length > 0) return { files, folders };
  }
  return { files: [], folders };
}

/**
 * Open NCCL.
 *
 * @throws Error when it is not there or too old; it says where was looked and what to install
 */
export async function openNccl(environment: NodeJS.ProcessEnv = process.env): Promise<Nccl> {
  const koffi = await native();
  const { files, folders } = findNccl(environment);
  koffi.nameBytes(UNIQUE_ID, UNIQUE_ID_BYTES);
  const failures: string[] = [];
  for (const file of environment[NCCL_VARIABLE] ? files : [...files, "libnccl.so.2"]) {
    try {
      return bind(koffi.open(file), file, (bytes) => koffi.cell(bytes));
    } catch (error) {
      failures.push(`${file}: ${reason(error)}`);
    }
  }
  const where = folders.length > 0 ? ` Looked in: ${[...new Set(folders)].join(", ")}.` : "";
  throw new Error(
    `nccl: libnccl.so.2 cannot be opened (${failures.join("; ")}). ${INSTALL}. If it lies elsewhere, set ${NCCL_VARIABLE} to its file, or ${LIBRARIES_VARIABLE} to its folder.${where}`,
  );
}

function bind(
  library: ReturnType<Awaited<ReturnType<typeof native>>["open"]>,
  file: string,
  cellOf: (bytes: number) => Cell,
): Nccl {
  const call = Object.fromEntries(
    Object.entries(signatures).map(([name, parameters]) => [name, library.code(name, parameters)]),
  ) as unknown as Nccl["call"];
  const cell = cellOf(16);
  const id = cellOf(UNIQUE_ID_BYTES);
  const settings = cellOf(config.bytes);
  settings.view.setBigUint64(0, BigInt(config.bytes), true);
  settings.view.setUint32(8, config.magic, true);
  settings.view.setUint32(12, config.version, true);
  // blocking: no
  settings.view.setInt32(16, 0, true);
  const expectDone = (name: NcclCall, code: number): void => {
    if (code !== SUCCESS && code !== IN_PROGRESS) throw new NcclError(code, name, "at its start");
  };
  expectDone("ncclGetVersion", call.ncclGetVersion(cell.address));
  const version = cell.view.getInt32(0, true);
  if (version < LEAST_VERSION)
    throw new Error(
      `this is NCCL ${showVersion(version)}; ${showVersion(LEAST_VERSION)} or later is needed, whose communicators need not block`,
    );
  return {
    version: showVersion(version),
    file,
    call,
    uniqueId() {
      expectDone("ncclGetUniqueId", call.ncclGetUniqueId(id.address));
      return new Uint8Array(id.view.buffer.slice(0, UNIQUE_ID_BYTES));
    },
    begin(bytes, { rank, size }) {
      expectDone(
        "ncclCommInitRankConfig",
        call.ncclCommInitRankConfig(cell.address, size, { bytes }, rank, settings.address),
      );
      return Number(cell.view.getBigUint64(0, true));
    },
    stateOf(communicator) {
      const code = call.ncclCommGetAsyncError(communicator, cell.address + 8);
      return code === SUCCESS ? cell.view.getInt32(8, true) : code;
    },
  };
}
