// Question: how do messages go by MPI?
//
// koffi calls the library (Open MPI or MPICH), which moves bytes between two ranks: MPI_Isend, MPI_Irecv, MPI_Test. All
// else is made of these (over-messages.ts). Memory that MPI works on must not move: arrays of a few bytes may lie in
// V8's own heap, so short messages go through memory of our own.

import { setImmediate, setTimeout } from "node:timers/promises";
import { writeSync } from "node:fs";
import { reason } from "../../../files/errors.ts";
import { expectPackages } from "../../../files/packages.ts";
import type { Values } from "../collective.ts";
import type { Message, Messenger } from "../over-messages.ts";
import { abiOf } from "./abi.ts";
import { ABORT_CODE, type Launched, LIBRARY_VARIABLE } from "../launched.ts";

type Koffi = typeof import("koffi").default;
type Load = ReturnType<Koffi["load"]>;

/** Messages of so many bytes or fewer are copied. */
const SHORT = 1024;
/** Seconds for which a rank looks again at once; and after which it looks seldom. */
const EAGER = 0.002;
const IDLE = 0.5;
/** MPI_THREAD_FUNNELED: only this thread calls. */
const FUNNELED = 1;
/** Bytes between requests. */
const REQUEST = 8;

/** Some memory that does not move. */
interface Fixed {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * Enter the job that a launcher has begun.
 *
 * @throws MissingPackages without koffi; Error when no library of MPI can be opened
 */
export async function enterMpi({ rank, size, libraries }: Launched): Promise<Messenger> {
  expectPackages("mpi");
  const { default: koffi } = (await import("koffi")) as { default: Koffi };
  // UCX, which MPICH and Open MPI may use, hooks the allocation of memory, which Node's threads do not survive.
  process.env["UCX_MEM_EVENTS"] ??= "no";
  const library = openLibrary(koffi, libraries);
  const abi = abiOf((symbol) => {
    try {
      return Number(koffi.address(library.symbol(symbol)));
    } catch {
      return undefined;
    }
  });
  const { handle, world, byte, statusIgnore } = abi;
  const code = (name: string, parameters: string): ((...values: number[]) => number) => {
    const call = library.func(`int ${name}(${parameters})`);
    return (...values) => call(...values) as number;
  };
  const checked = (name: string, parameters: string): ((...values: number[]) => void) => {
    const call = code(name, parameters);
    return (...values) => {
      const result = call(...values);
      if (result !== 0) throw new Error(`${name}: rank ${rank} got the code ${result} from ${abi.name}.`);
    };
  };
  const fixed = (bytes: number): Fixed => {
    const memory = new Uint8Array(new ArrayBuffer(bytes));
    return { address: Number(koffi.address(memory)), bytes: memory };
  };
  const cells = fixed(64);
  const cell = new DataView(cells.bytes.buffer);

  checked("MPI_Init_thread", "uintptr_t c, uintptr_t v, int wanted, uintptr_t given")(0, 0, FUNNELED, cells.address);
  const worldOf = (name: string): number => {
    checked(name, `${handle} world, uintptr_t value`)(world, cells.address);
    return cell.getInt32(0, true);
  };
  if (worldOf("MPI_Comm_size") !== size || worldOf("MPI_Comm_rank") !== rank)
    throw new Error(
      `mpi: the launcher says rank ${rank} of ${size}, and ${abi.name} another; the launcher and the library are not of one MPI. Set ${LIBRARY_VARIABLE} to the library of the mpirun that was used.`,
    );
  checked("MPI_Comm_set_errhandler", `${handle} world, ${handle} handler`)(world, abi.errorsReturn);
  const moving = `uintptr_t at, int count, ${handle} type, int peer, int tag, ${handle} world, uintptr_t request`;
  const isend = checked("MPI_Isend", moving);
  const irecv = checked("MPI_Irecv", moving);
  const testOne = checked("MPI_Test", "uintptr_t request, uintptr_t flag, uintptr_t status");
  const finalize = checked("MPI_Finalize", "");
  const abortJob = code("MPI_Abort", `${handle} world, int code`);

  const requests = createSlots(fixed, REQUEST, 1024);
  const shorts = createSlots(fixed, SHORT, 64);
  const bases = new WeakMap<ArrayBufferLike, number>();
  const addressOf = ({ buffer, byteOffset }: Values): number => {
    let base = bases.get(buffer);
    if (base === undefined) bases.set(buffer, (base = Number(koffi.address(new Uint8Array(buffer)))));
    return base + byteOffset;
  };
  const begin = (call: typeof isend, values: Values, peer: number, tag: number, receives: boolean): Message => {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const short = bytes.length <= SHORT ? shorts.take() : undefined;
    if (short && !receives) short.bytes.set(bytes);
    const request = requests.take();
    call(short?.address ?? addressOf(values), bytes.length, byte, peer, tag, world, request.address);
    let held: Values | undefined = values;
    return {
      peer,
      test() {
        if (held === undefined) return true;
        testOne(request.address, cells.address, statusIgnore);
        if (cell.getInt32(0, true) === 0) return false;
        if (short && receives) bytes.set(short.bytes.subarray(0, bytes.length));
        if (short) shorts.give(short);
        requests.give(request);
        held = undefined;
        return true;
      },
    };
  };
  return {
    name: "mpi",
    library: `${abi.name} ${versionOf(library, fixed)}`.trim(),
    rank,
    size,
    send: (values, to, tag) => begin(isend, values, to, tag, false),
    receive: (into, from, tag) => begin(irecv, into, from, tag, true),
    pause: (waited) => (waited < EAGER ? setImmediate() : setTimeout(waited < IDLE ? 1 : 5)),
    abort(message) {
      // Written at once: the process ends before a stream would be emptied.
      writeSync(2, `birkhoff: rank ${rank} of ${size}: ${message}\n`);
      abortJob(world, ABORT_CODE);
      process.exit(ABORT_CODE);
    },
    leave: async () => finalize(),
  };
}

function openLibrary(koffi: Koffi, files: readonly string[]): Load {
  const tried: string[] = [];
  for (const file of files) {
    try {
      return koffi.load(file, { global: true });
    } catch (error) {
      tried.push(reason(error));
    }
  }
  throw new Error(
    `mpi: no library of MPI could be opened (${tried.join("; ")}). Install the one of the mpirun that was used, such as apt-get install libopenmpi3 or libmpich12, or set ${LIBRARY_VARIABLE} to its file.`,
  );
}

/** "4.1.4" of the text that the library says of itself. */
function versionOf(library: Load, fixed: (bytes: number) => Fixed): string {
  const [text, length] = [fixed(8192), fixed(64)];
  const call = library.func("int MPI_Get_library_version(uintptr_t text, uintptr_t length)");
  if ((call(text.address, length.address) as number) !== 0) return "";
  return /\d+\.\d+(?:\.\d+)?/.exec(new TextDecoder().decode(text.bytes))?.[0] ?? "";
}

/** Places of one size in memory that does not move; more are made when all are taken. */
function createSlots(
  fixed: (bytes: number) => Fixed,
  bytes: number,
  many: number,
): { take(): Fixed; give(slot: Fixed): void } {
  const free: Fixed[] = [];
  return {
    take() {
      if (free.length === 0) {
        const block = fixed(bytes * many);
        for (let at = 0; at < block.bytes.length; at += bytes)
          free.push({ address: block.address + at, bytes: block.bytes.subarray(at, at + bytes) });
      }
      return free.pop()!;
    },
    give: (slot) => void free.push(slot),
  };
}
