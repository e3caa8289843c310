// Question: where are the libraries of the machine that plays a GPU, and what is said to it?
//
// They are compiled by g++ when a test first needs them, and kept in a temporary folder by the hash of their sources.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const sources = fileURLToPath(new URL(".", import.meta.url));

/** What the tests say to the machine. */
export interface FakeMachine {
  /** The folder of its libraries. */
  readonly folder: string;
  /** The next call of a function, or the one after `after` of them, returns this code. */
  fail(name: string, code: number, after?: number): void;
  setMemory(bytes: number): void;
  /** @param version such as 13000 for CUDA 13.0; @param capability such as 90 */
  setDriver(version: number, capability: number): void;
  /** How many GPUs there are; each has memory, streams and kernels of its own. */
  setDevices(count: number): void;
  /** As it was at first; to be said once its runtimes are closed. */
  reset(): void;
  /** How often a function was called. */
  count(name: string): number;
  usedBytes(): number;
}

/** The folder of the libraries; undefined, with a line that says why, where they cannot be. */
function build(): string | undefined {
  try {
    createRequire(import.meta.url).resolve("koffi");
  } catch {
    process.stdout.write("CUDA is not tested: koffi is not installed\n");
    return undefined;
  }
  // The compiler reads headers where the sources are, so each checkout has libraries of its own.
  const hash = createHash("sha256").update(sources);
  for (const file of readdirSync(sources).sort()) hash.update(readFileSync(path.join(sources, file)));
  const cache = path.join(tmpdir(), `birkhoff-fake-cuda-${userInfo().uid}`);
  const folder = path.join(cache, hash.digest("hex").slice(0, 16));
  process.env.BIRKHOFF_FAKE_CUDA_CACHE = path.join(cache, "kernels");
  if (existsSync(folder)) return folder;
  const making = `${folder}-${process.pid}`;
  mkdirSync(making, { recursive: true });
  const compile = (source: string, library: string, ...more: string[]): void => {
    const flags = [
      "-std=c++17",
      "-O2",
      "-w",
      "-fPIC",
      "-shared",
      "-fvisibility=hidden",
      "-pthread",
      `-Wl,-soname,${library}`,
    ];
    execFileSync("g++", [...flags, "-o", path.join(making, library), path.join(sources, source), ...more], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  };
  try {
    compile("driver.cc", "libcuda.so.1", "-ldl");
    const driver = [`-L${making}`, "-l:libcuda.so.1", "-Wl,-rpath,$ORIGIN"];
    compile("nvrtc.cc", "libnvrtc.so.13", `-DHEADERS="${sources.replace(/\/$/, "")}"`, ...driver);
    compile("cublaslt.cc", "libcublasLt.so.13", ...driver);
    compile("nccl.cc", "libnccl.so.2", ...driver);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    process.stdout.write("CUDA is not tested: there is no g++, which compiles the machine that plays a GPU\n");
    return undefined;
  }
  try {
    renameSync(making, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

let made: FakeMachine | undefined;

/** The machine, and the environment in which the runtime finds it; undefined where it cannot be, which is said. */
export async function fakeMachine(): Promise<FakeMachine | undefined> {
  if (made) return made;
  if (process.platform !== "linux") {
    process.stdout.write("CUDA is not tested: the machine that plays a GPU needs Linux\n");
    return undefined;
  }
  const folder = build();
  if (folder === undefined) return undefined;
  process.env.BIRKHOFF_CUDA_LIBRARIES = folder;
  process.env.BIRKHOFF_CUDA_CACHE = path.join(path.dirname(folder), "cubins");
  const { default: koffi } = await import("koffi");
  const library = koffi.load(path.join(folder, "libcuda.so.1"));
  const fail = library.func("void fakeFail(const char *name, int code, int after)");
  const memory = library.func("void fakeMemory(uint64_t bytes)");
  const driver = library.func("void fakeDriver(int version, int capability)");
  const devices = library.func("void fakeDevices(int count)");
  const reset = library.func("void fakeReset()");
  const count = library.func("int fakeCount(const char *name)");
  const used = library.func("uint64_t fakeUsed()");
  made = {
    folder,
    fail: (name, code, after = 0) => void fail(name, code, after),
    setMemory: (bytes) => void memory(bytes),
    setDriver: (version, capability) => void driver(version, capability),
    setDevices: (count) => void devices(count),
    reset: () => void reset(),
    count: (name) => count(name) as number,
    usedBytes: () => Number(used()),
  };
  return made;
}
