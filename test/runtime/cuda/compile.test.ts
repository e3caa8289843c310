// The kernels of a whole step by CUDA's own compilers, where they are: nvcc says registers and spills, NVRTC is what runs
// on a machine with a GPU. Neither needs a GPU.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { moduleText } from "../../../src/runtime/cuda/compile.ts";
import { kernelText, type KernelText } from "../../../src/runtime/cuda/kernel-text.ts";
import { findLibraries } from "../../../src/runtime/cuda/libraries.ts";
import { native } from "../../../src/runtime/cuda/native.ts";
import { openCompiler } from "../../../src/runtime/cuda/nvrtc.ts";
import { implementationsFor } from "../../../src/runtime/cuda/ops/table.ts";
import type { CudaWork, ProductWork } from "../../../src/runtime/cuda/work.ts";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";
import { listPrograms, makeStep } from "../../../src/training/step.ts";
import { tinyTraining } from "../../training/tiny.ts";

/** The kernels of a training step, each once. */
function stepKernels(): KernelText[] {
  const machine = gpuMachine({
    name: "cuda",
    largestMemory: 2 ** 40,
    largestBuffer: 2 ** 34,
    alignment: 256,
    own: implementationsFor({ capability: "9.0", sharedBytes: 227 * 1024, compiler: 13_000 }),
  });
  const [spec] = listPrograms(makeStep(tinyTraining("mhc")).graph.programs);
  const plan = compilePlan(spec!, machine, withoutMemory());
  const texts = dispatchesOf<CudaWork | ProductWork>(plan, 500).flatMap(({ kernel, calls, members }) =>
    kernel.kind === "product"
      ? []
      : [kernelText(calls[0]!.kernel, kernel, members?.[0] && Object.keys(members[0].numbers))],
  );
  return [...new Map(texts.map((text) => [text.name, text])).values()];
}

/** Kernels that move much: none of their numbers may leave the registers. By the beginning of their names. */
const hot = ["elements", "rmsNorm", "streamRead", "streamWrite", "adamw", "softmax", "crossEntropy", "swiglu"];

function has(command: string): boolean {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    process.stdout.write(`The kernels are not compiled by ${command}: it is not here\n`);
    return false;
  }
}

describe.skipIf(!has("nvcc"))("by nvcc", { timeout: 240_000 }, () => {
  test.each(["sm_80", "sm_90a"])(
    "a whole step compiles for %s, and hot kernels keep their numbers in registers",
    (architecture) => {
      const folder = mkdtempSync(path.join(tmpdir(), "birkhoff-nvcc-"));
      try {
        writeFileSync(path.join(folder, "step.cu"), moduleText(stepKernels()));
        const args = ["-w", "-cubin", `-arch=${architecture}`, "-Xptxas", "-v", "-o", "step.cubin", "step.cu"];
        const script = `nvcc ${args.join(" ")} 2>&1`;
        const said = execFileSync("sh", ["-c", script], { cwd: folder, encoding: "utf8" });
        const kernels = [
          ...said.matchAll(
            /Compiling entry function '(\w+)'[^]*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g,
          ),
        ].map(([, name = "", , stores, loads]) => ({ name, spilled: Number(stores) + Number(loads) }));
        expect(kernels.length).toBe(stepKernels().length);
        const spilling = kernels.filter(
          ({ name, spilled }) => spilled > 0 && hot.some((begin) => name.startsWith(begin)),
        );
        expect(spilling).toEqual([]);
        expect(hot.filter((begin) => kernels.some(({ name }) => name.startsWith(begin))).length).toBeGreaterThan(4);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

/** A real one, not that of the machine that plays a GPU. */
const [nvrtc] = findLibraries({ ...process.env, BIRKHOFF_CUDA_LIBRARIES: process.env.BIRKHOFF_TEST_NVRTC }).compiler;
if (nvrtc === undefined)
  process.stdout.write(
    "The kernels are not compiled by NVRTC: it is not here (BIRKHOFF_TEST_NVRTC names its folder)\n",
  );

describe.skipIf(nvrtc === undefined)("by NVRTC", { timeout: 240_000 }, () => {
  test("a whole step compiles", async () => {
    const compiler = openCompiler(await native(), nvrtc!);
    const image = await compiler.compile(moduleText(stepKernels()), "step", "sm_90");
    expect(Buffer.from(image.subarray(1, 4)).toString()).toBe("ELF");
  });
  test("what does not compile is told with the compiler's words", async () => {
    const compiler = openCompiler(await native(), nvrtc!);
    await expect(compiler.compile("no kernel", "step", "sm_90")).rejects.toThrow(
      /^cuda: a kernel does not compile at step: .*It says: /s,
    );
  });
});
