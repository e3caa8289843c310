// What goes wrong on a GPU and how it is said: each code that a library can return, too little memory, a driver that is
// too old, kernels that go past their memory, on the machine that plays a GPU.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { input, parameter } from "../../../src/graph/state.ts";
import { add, multiply } from "../../../src/ops/elementwise.ts";
import { gather } from "../../../src/ops/gather.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sumLast, sumLastOperation } from "../../../src/ops/reductions.ts";
import { compilerCalls } from "../../../src/runtime/cuda/nvrtc.ts";
import { productCalls } from "../../../src/runtime/cuda/cublas.ts";
import { driverCalls } from "../../../src/runtime/cuda/driver.ts";
import { CudaError, knownCodes, type LibraryName } from "../../../src/runtime/cuda/errors.ts";
import { lookForCuda } from "../../../src/runtime/cuda/find.ts";
import { cudaCall, cudaOperand } from "../../../src/runtime/cuda/implement.ts";
import { findLibraries } from "../../../src/runtime/cuda/libraries.ts";
import {
  createCudaRuntime,
  type CudaOptions,
  type CudaRuntime,
  startCudaRuntime,
} from "../../../src/runtime/cuda/runtime.ts";
import { calls } from "../../../src/runtime/gpu/implement.ts";
import { describeIndexErrors } from "../gpu/index-errors.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

const [a, b, ids] = [parameter("a", [4, 3]), parameter("b", [3, 5]), input("ids", [2], "i32")];
const y = add(gather(matmul(a, b), ids), gather(matmul(a, b), ids));

/** All that a program does, from the opening of the runtime to its end. */
async function everything(options: CudaOptions = {}): Promise<number[]> {
  const runtime = await createCudaRuntime(options);
  try {
    const program = runtime.compile({ outputs: { y }, updates: [[a, add(a, a)]] });
    runtime.write(a, Array(12).fill(1));
    runtime.write(b, Array(15).fill(2));
    runtime.write(ids, [3, 0]);
    program.run();
    const values = [...(await program.read("y"))];
    program.release();
    return values;
  } finally {
    runtime.close();
  }
}

const failing = async (act: () => unknown): Promise<Error> => {
  try {
    await act();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
};

describe.skipIf(!machine)("on the machine that plays a GPU", { timeout: 120_000 }, () => {
  afterEach(() => machine!.reset());

  test("all goes well when nothing fails", async () => {
    expect(await everything()).toEqual(Array(10).fill(12));
    expect(machine!.usedBytes()).toBe(0);
  });

  // What is called only to give things back, of which nothing follows that anybody could do; and what this program does
  // not need.
  const quiet = new Set([
    "cuMemFree",
    "cuFuncSetAttribute",
    "nvrtcGetProgramLogSize",
    "nvrtcGetProgramLog",
    "cuDevicePrimaryCtxRelease",
    "cuMemFreeHost",
    "cuStreamDestroy",
    "cuEventDestroy",
    "cuGraphExecDestroy",
    "cuModuleUnload",
    "cuEventQuery",
    "cuEventElapsedTime",
    "cuMemcpyDtoDAsync",
    "cuStreamWaitEvent",
    "nvrtcDestroyProgram",
    "cublasLtDestroy",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatrixLayoutDestroy",
  ]);
  const symbols: Readonly<Record<string, string>> = {
    cuDeviceTotalMem: "cuDeviceTotalMem_v2",
    cuMemGetInfo: "cuMemGetInfo_v2",
    cuMemAlloc: "cuMemAlloc_v2",
    cuMemFree: "cuMemFree_v2",
    cuMemcpyHtoDAsync: "cuMemcpyHtoDAsync_v2",
    cuMemcpyDtoHAsync: "cuMemcpyDtoHAsync_v2",
    cuMemcpyDtoDAsync: "cuMemcpyDtoDAsync_v2",
    cuStreamBeginCapture: "cuStreamBeginCapture_v2",
    cuGraphInstantiate: "cuGraphInstantiateWithFlags",
  };
  const failures = [
    ...driverCalls.map((call) => ["driver", call, 999] as const),
    ...compilerCalls.map((call) => ["compiler", call, 11] as const),
    ...productCalls.map((call) => ["products", call, 14] as const),
  ].filter(([, call]) => !quiet.has(call));
  test.each(failures)("%s: a failure of %s is told", async (library, call, code) => {
    const cache = mkdtempSync(path.join(tmpdir(), "birkhoff-cubins-"));
    const before = process.env.BIRKHOFF_CUDA_CACHE;
    process.env.BIRKHOFF_CUDA_CACHE = cache;
    try {
      machine!.fail(symbols[call] ?? call, code);
      const act = (): Promise<unknown> => everything({ check: call === "cuStreamSynchronize" });
      const error = await failing(act);
      expect(error).toBeInstanceOf(CudaError);
      expect(error).toMatchObject({ library, code });
      expect(error.message).toMatch(new RegExp(`^cuda: .* returned ${code} \\(.*\\) to ${call}\\.`));
      machine!.reset();
      expect(await everything()).toEqual(Array(10).fill(12));
    } finally {
      process.env.BIRKHOFF_CUDA_CACHE = before;
      rmSync(cache, { recursive: true });
    }
  });

  const injected: Readonly<Record<LibraryName, string>> = {
    driver: "cuLaunchKernel",
    compiler: "nvrtcCompileProgram",
    products: "cublasLtMatmul",
  };
  test.each(
    Object.entries(knownCodes).flatMap(([library, codes]) =>
      codes.map((code) => [library as LibraryName, code] as const),
    ),
  )("the %s's code %i has a meaning, and a remedy where there is one", (library, code) => {
    const { message, poisons } = new CudaError(library, injected[library], code, "layers.0:matmul");
    expect(message).toMatch(/^cuda: .+ at layers\.0:matmul: .+ returned \d+ \([A-Z_]+\) to \w+\./);
    if (poisons && code !== 4) expect(message).toContain("last checkpoint");
  });

  test.each([700, 702, 714, 715, 716, 717, 718, 719])(
    "after code %i of a kernel the runtime is dead, and says so",
    async (code) => {
      const runtime = await createCudaRuntime();
      const program = runtime.compile({ outputs: { y } });
      program.run();
      await runtime.finish();
      machine!.fail("cuEventSynchronize", code);
      program.run();
      const { message } = await failing(() => program.read("y"));
      expect(message).toContain(`returned ${code}`);
      expect(message).toContain("open another runtime and go on from the last checkpoint");
      for (const act of [
        () => program.run(),
        () => program.read("y"),
        () => runtime.compile({ outputs: { y } }),
        () => runtime.write(a, Array(12).fill(0)),
        () => runtime.read(a),
        () => runtime.finish(),
      ])
        expect((await failing(act)).message).toBe(message);
      runtime.close();
    },
  );

  test.each(["out of bounds", "a barrier that not all reach"])("%s: with check the kernel is named", async (how) => {
    const body =
      how === "out of bounds"
        ? "if (lane == 0) y[1u << 28] = x[0];"
        : "if (lane < 3) __syncthreads(); if (lane < 5) __syncwarp(); y[0] = x[0];";
    const bad = calls(sumLastOperation, ({ x, y: sums }, _attributes, context) =>
      context.emit(
        cudaCall({
          name: "bad",
          reads: { x: cudaOperand(context, x) },
          writes: { y: cudaOperand(context, sums) },
          width: 64,
          groups: 1,
          body:
            how === "out of bounds"
              ? body
              : "if (lane < 3) __shfl_xor_sync(0xffffffffu, 1.0f, 1); else __syncthreads(); y[0] = x[0];",
        }),
      ),
    );
    const runtime = await startCudaRuntime({ check: true }, new Map([[bad.op, bad.lowering]]));
    const x = input("x", [2, 40]);
    const program = runtime.compile({ outputs: { y: sumLast(multiply(x, x)) } });
    const { message } = await failing(async () => {
      program.run();
      await program.read("y");
    });
    expect(message).toMatch(/^cuda: a kernel .* at sumLast: the driver returned 7\d\d/);
    runtime.close();
  });

  test("reads that are under way when the runtime is closed are refused", async () => {
    const runtime = await createCudaRuntime();
    const [x, z] = [input("x", [1024, 64]), input("z", [4])];
    const program = runtime.compile({ outputs: { small: add(z, z), large: add(x, x) } });
    program.run();
    await runtime.finish();
    program.run();
    const refused = [program.read("small"), program.read("large"), runtime.finish()].map(async (act) =>
      failing(() => act),
    );
    runtime.close();
    for (const { message } of await Promise.all(refused)) expect(message).toContain("closed");
  });

  test("what memory does not suffice for is refused when it is compiled, with the exact bytes", async () => {
    machine!.setMemory(2 ** 22);
    const runtime = await createCudaRuntime();
    const x = input("x", [1024, 1024]);
    const { message } = await failing(() => runtime.compile({ outputs: { y: multiply(x, add(x, x)) } }));
    expect(message).toMatch(/^Out of memory: \d+ MiB are needed and the limit of the cuda runtime is 4 MiB\./);
    const [, needed, free] = /Exactly: (\d+) bytes are needed, (\d+) are free/.exec(message)!;
    expect(Number(needed)).toBeGreaterThan(2 ** 22);
    expect(Number(free)).toBe(2 ** 22);
    const small = input("small", [3]);
    const program = runtime.compile({ outputs: { y: add(small, small) } });
    runtime.write(small, [1, 2, 3]);
    program.run();
    expect([...(await program.read("y"))]).toEqual([2, 4, 6]);
    runtime.close();
  });

  test("memory that another program has taken meanwhile is told as such", async () => {
    const runtime = await createCudaRuntime();
    machine!.setMemory(2 ** 20);
    const x = input("x", [1024, 1024]);
    expect((await failing(() => runtime.compile({ outputs: { y: add(x, x) } }))).message).toMatch(/^Out of memory: /);
    runtime.close();
  });

  test("a driver that is older than the compiler, and a GPU that is too old", async () => {
    machine!.setDriver(12040, 90);
    expect((await failing(() => createCudaRuntime())).message).toMatch(
      /^cuda: the driver is older than libnvrtc\.so: it knows CUDA up to 12\.4, and .*libnvrtc\.so\.13 is of CUDA 13\. Update the driver, or install the library of CUDA 12: pip install nvidia-cuda-nvrtc-cu12\.$/,
    );
    machine!.setDriver(13000, 61);
    expect((await failing(() => createCudaRuntime())).message).toContain(
      "has compute capability 6.1; 7.5 or more is needed",
    );
  });

  test("a GPU that is not there", async () => {
    expect((await failing(() => createCudaRuntime({ device: 3 }))).message).toBe(
      "cuda: GPU 3 is asked for and there is one, of number 0; see nvidia-smi and CUDA_VISIBLE_DEVICES.",
    );
  });

  test("two runtimes of one thread have a GPU each, in turns", async () => {
    machine!.setDevices(2);
    const runtimes = [await createCudaRuntime({ device: 1 }), await createCudaRuntime({ device: 0 })];
    const programs = runtimes.map((runtime) => runtime.compile({ outputs: { y }, updates: [[a, add(a, a)]] }));
    for (const [at, runtime] of runtimes.entries()) {
      runtime.write(a, Array(12).fill(1 + at));
      runtime.write(b, Array(15).fill(2));
      runtime.write(ids, [3, 0]);
    }
    for (let step = 0; step < 2; step++) {
      for (const program of programs) program.run();
      const values = await Promise.all(programs.map((program) => program.read("y")));
      expect(values.map((each) => [...each])).toEqual([Array(10).fill(12 * 2 ** step), Array(10).fill(24 * 2 ** step)]);
    }
    expect(await runtimes[0]!.time(() => programs[0]!.run())).toBeGreaterThanOrEqual(0);
    runtimes[1]!.close();
    programs[0]!.run();
    expect([...(await programs[0]!.read("y"))]).toEqual(Array(10).fill(12 * 8));
    runtimes[0]!.close();
  });

  test("where waiting on another thread is refused, the driver is asked again and again", async () => {
    machine!.fail("cuEventSynchronize", 201);
    expect(await everything()).toEqual(Array(10).fill(12));
  });

  test("what is kept of an earlier start is taken, and made anew where it is damaged", async () => {
    const cache = mkdtempSync(path.join(tmpdir(), "birkhoff-cubins-"));
    const before = process.env.BIRKHOFF_CUDA_CACHE;
    process.env.BIRKHOFF_CUDA_CACHE = cache;
    try {
      const compiled = async (): Promise<number> => {
        const count = machine!.count("nvrtcCompileProgram");
        expect(await everything()).toEqual(Array(10).fill(12));
        return machine!.count("nvrtcCompileProgram") - count;
      };
      const first = await compiled();
      expect(first).toBeGreaterThan(0);
      expect(await compiled()).toBe(0);
      for (const name of readdirSync(cache)) {
        const bytes = readFileSync(path.join(cache, name));
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(path.join(cache, name), bytes);
      }
      expect(await compiled()).toBe(first);
      expect(await compiled()).toBe(0);
      // One that is sound, and that the driver does not take.
      machine!.fail("cuModuleLoadData", 200);
      expect(await compiled()).toBe(1);
    } finally {
      process.env.BIRKHOFF_CUDA_CACHE = before;
      rmSync(cache, { recursive: true });
    }
  });

  test("what there is can be listed", async () => {
    const { available, device } = await lookForCuda();
    expect(available).toBe(true);
    expect(device).toMatch(
      /^Processor in the place of a GPU, .*compute capability 9\.0; driver for CUDA 13\.0 \(.*libcuda\.so\.1\); NVRTC 13\.0 \(.*\); cuBLASLt 130000/,
    );
  });
});

test("the libraries of wheels, of a toolkit and of a named folder are found, and each place can be said", () => {
  const root = mkdtempSync(path.join(tmpdir(), "birkhoff-libraries-"));
  const make = (...parts: string[]): string => {
    const file = path.join(root, ...parts);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, "");
    return file;
  };
  try {
    const named = make("named", "libnvrtc.so.12");
    const wheel = make("venv", "lib", "python3.12", "site-packages", "nvidia", "cublas", "lib", "libcublasLt.so.12");
    const toolkit = make("cuda", "lib64", "libnvrtc.so.13");
    make("cuda", "lib64", "libnvrtc.so.13.0.88");
    const found = findLibraries({
      BIRKHOFF_CUDA_LIBRARIES: path.dirname(named),
      CUDA_HOME: path.join(root, "cuda"),
      VIRTUAL_ENV: path.join(root, "venv"),
    });
    expect(found.compiler.slice(0, 2)).toEqual([named, toolkit]);
    expect(found.products[0]).toBe(wheel);
    expect(found.folders).toContain(path.dirname(wheel));
  } finally {
    rmSync(root, { recursive: true });
  }
});

describe.skipIf(!machine)("on the machine that plays a GPU", { timeout: 120_000 }, () => {
  let runtime: CudaRuntime;
  beforeEach(async () => void (runtime = await createCudaRuntime()));
  afterEach(() => runtime.close());
  describeIndexErrors(() => runtime);
});
