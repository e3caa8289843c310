// Question: how does the CPU runtime run in Node?
//
// V8's revectorisation pairs 128-bit operations into 256-bit ones; it must be switched on before the first module is
// compiled, and a start-up probe decides whether it helped.
//
// Such code leaves the upper halves of the vector registers in use. Until something clears them (vzeroupper), x86
// processors run older vector instructions slowly: those of compiled C++, such as Math.exp, Math.log and parts of Node,
// up to seven times slower. V8 does not clear them; Node's own search for bytes that are not ASCII does, at its end.

import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import { hasCode } from "../../../files/errors.ts";
import { HASH_DIGITS, type KernelCode, MOST_THREADS, type WasmHost } from "../host.ts";
import type { Build } from "../module.ts";
import { startThreads } from "./threads.ts";

/** Long enough for whole vectors. */
const LETTERS = new Uint8Array(256);

/** Threads, memory and files as Node has them. */
export const nodeHost: WasmHost = {
  prepareEngine: setEngineFlags,
  loadKernels,
  threads: () => ({
    usual: Math.min(MOST_THREADS, availableParallelism()),
    most: MOST_THREADS,
    remedy: "Leave it out for all cores.",
  }),
  startThreads,
  afterKernels: () => void isAscii(LETTERS),
  memoryRemedy:
    "the system must allow that much address space beside Node's own, though little of it is used. " +
    "Raise the limit (ulimit -v unlimited) or the container's, or take the reference runtime.",
};

/** Ask V8 for what it has behind a flag: relaxed SIMD up to Node 20, 256-bit vectors from Node 24. */
function setEngineFlags({ revectorise }: { readonly revectorise: boolean }): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major <= 20) setFlagsFromString("--experimental-wasm-relaxed-simd");
  if (major >= 24)
    setFlagsFromString(revectorise ? "--experimental-wasm-revectorize" : "--no-experimental-wasm-revectorize");
}

async function loadKernels(build: Build): Promise<KernelCode> {
  let code: Uint8Array<ArrayBuffer>;
  try {
    code = await readFile(new URL(`../build/${build}.wasm`, import.meta.url));
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    throw new Error(`The compiled kernels are missing (${build}.wasm). Run "npm run build" first.`, { cause: error });
  }
  const hash = createHash("sha256").update(code).digest("hex").slice(0, HASH_DIGITS);
  return { module: await WebAssembly.compile(code), hash };
}
