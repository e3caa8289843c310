// Question: how does CUDA C++ become code of a GPU?
//
// By NVRTC, on other threads, so that several modules are compiled at once and the event loop goes on.

import { readdirSync } from "node:fs";
import path from "node:path";
import { attempt } from "../../files/errors.ts";
import { CudaError } from "./errors.ts";
import type { Argument, Native } from "./native.ts";

const signatures = {
  nvrtcVersion: "uint64_t major, uint64_t minor",
  nvrtcCreateProgram:
    "uint64_t program, const char *source, const char *name, int count, uint64_t headers, uint64_t names",
  nvrtcCompileProgram: "uint64_t program, int count, const char **options",
  nvrtcGetProgramLogSize: "uint64_t program, uint64_t bytes",
  nvrtcGetProgramLog: "uint64_t program, void *log",
  nvrtcGetCUBINSize: "uint64_t program, uint64_t bytes",
  nvrtcGetCUBIN: "uint64_t program, void *image",
  nvrtcDestroyProgram: "uint64_t program",
} as const;

type CompilerCall = keyof typeof signatures;

/** All calls that the runtime makes of the compiler. */
export const compilerCalls: readonly CompilerCall[] = Object.keys(signatures) as CompilerCall[];

export interface Compiler {
  readonly file: string;
  /** Such as 13000 for 13.0, as drivers count. */
  readonly version: number;
  /**
   * @param name of the module, for its errors
   * @param architecture such as "sm_90"
   */
  compile(source: string, name: string, architecture: string): Promise<Uint8Array>;
}

/** Options beside the architecture. */
export const compilerOptions: readonly string[] = ["--std=c++17", "--disable-warnings"];

/** @throws CudaError when it cannot start */
export function openCompiler(native: Native, file: string): Compiler {
  // NVRTC opens what lies beside it by its name alone: have it in the process already.
  const folder = path.dirname(file);
  attempt(() => {
    for (const name of readdirSync(folder).filter((each) => each.startsWith("libnvrtc-builtins.so")))
      attempt(() => native.open(path.join(folder, name)));
  });
  const library = native.open(file);
  const raw = Object.fromEntries(compilerCalls.map((call) => [call, library.code(call, signatures[call])])) as Record<
    CompilerCall,
    ReturnType<typeof library.code>
  >;
  const call = (name: CompilerCall, ...values: Argument[]): void => expectDone(name, raw[name](...values));
  const cell = native.cell(16);
  const number = (name: CompilerCall, ...values: Argument[]): number => {
    call(name, ...values, cell.address);
    return Number(cell.view.getBigUint64(0, true));
  };
  call("nvrtcVersion", cell.address, cell.address + 8);
  const version = 1000 * cell.view.getInt32(0, true) + 10 * cell.view.getInt32(8, true);
  const logOf = (program: number): string => {
    const log = Buffer.alloc(number("nvrtcGetProgramLogSize", program) + 1);
    call("nvrtcGetProgramLog", program, log);
    return log.toString("utf8").replace(/\0.*$/s, "").trim();
  };
  return {
    file,
    version,
    async compile(source, name, architecture) {
      call("nvrtcCreateProgram", cell.address, source, name, 0, 0, 0);
      const program = Number(cell.view.getBigUint64(0, true));
      try {
        const options = [`--gpu-architecture=${architecture}`, ...compilerOptions];
        const code = await raw.nvrtcCompileProgram.later(program, options.length, options);
        if (code !== 0) {
          const error = new CudaError("compiler", "nvrtcCompileProgram", code, name);
          attempt(() => (error.message += ` It says: ${logOf(program).slice(0, 2000)}`));
          throw error;
        }
        const image = new Uint8Array(number("nvrtcGetCUBINSize", program));
        call("nvrtcGetCUBIN", program, image);
        return image;
      } finally {
        cell.view.setBigUint64(0, BigInt(program), true);
        raw.nvrtcDestroyProgram(cell.address);
      }
    },
  };
}

function expectDone(call: string, code: number, doing?: string): void {
  if (code !== 0) throw new CudaError("compiler", call, code, doing);
}
