// Question: what does CUDA's compiler make of the kernels of a training step of gpt2-small: registers, and what spills?
//
//   node scripts/cuda-registers.ts [float32]      needs nvcc, no GPU; bfloat16 unless float32 is said
//
// The table in docs/cuda.md is made by it. A kernel that spills keeps numbers in memory that its registers cannot hold; a
// stack is memory of a thread's own that is indexed by numbers known only as it runs.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { defaultConnection } from "../src/connections/table.ts";
import { presets } from "../src/model/config.ts";
import { moduleText } from "../src/runtime/cuda/compile.ts";
import { type KernelText, kernelText } from "../src/runtime/cuda/kernel-text.ts";
import { implementationsFor } from "../src/runtime/cuda/ops/table.ts";
import type { CudaWork, ProductWork } from "../src/runtime/cuda/work.ts";
import { dispatchesOf } from "../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../src/runtime/plan/compile.ts";
import { listPrograms, makeStep } from "../src/training/step.ts";
import { parseTrainingConfig } from "../src/training/config.ts";
import { markdownTable } from "./markdown.ts";

const ARCHITECTURES = ["sm_80", "sm_90a"] as const;
const precision = process.argv[2] === "float32" ? "float32" : "bfloat16";

const machine = gpuMachine({
  name: "cuda",
  largestMemory: 2 ** 40,
  largestBuffer: 2 ** 38,
  alignment: 256,
  own: implementationsFor({ capability: "9.0", sharedBytes: 227 * 1024, compiler: 13_000 }),
  takesStored: true,
});

const config = parseTrainingConfig({
  name: "registers",
  data: { source: "-", vocabulary: 50_257 },
  model: { ...presets["gpt2-small"], vocabulary: 50_257, connection: defaultConnection("mhc") },
  batch: 8,
  precision,
  steps: 1,
  optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
  evaluateEvery: 1,
  checkpointEvery: 1,
});

interface Row {
  readonly kernel: string;
  launches: number;
  readonly byHand: boolean;
}

const texts = new Map<string, KernelText>();
const rows = new Map<string, Row>();
for (const spec of listPrograms(makeStep(config).graph.programs)) {
  const plan = compilePlan(spec, machine, withoutMemory());
  for (const { kernel, calls, members } of dispatchesOf<CudaWork | ProductWork>(plan, 500)) {
    if (kernel.kind === "product") continue;
    const name = calls.length > 1 && !members ? calls.map((call) => call.kernel).join(" + ") : calls[0]!.kernel;
    const text = kernelText(calls[0]!.kernel, kernel, members?.[0] && Object.keys(members[0].numbers));
    texts.set(text.name, text);
    const row = rows.get(text.name) ?? { kernel: name, launches: 0, byHand: kernel.kind === "cuda" };
    row.launches++;
    rows.set(text.name, row);
  }
}

interface Usage {
  readonly registers: number;
  readonly stack: number;
  readonly spilled: number;
}

function usageFor(architecture: string): Map<string, Usage> {
  const folder = mkdtempSync(path.join(tmpdir(), "birkhoff-registers-"));
  try {
    const source = path.join(folder, "step.cu");
    writeFileSync(source, moduleText([...texts.values()]));
    const command = `nvcc -w -cubin -std=c++17 -arch=${architecture} -Xptxas -v -o "${source}.cubin" "${source}" 2>&1`;
    const log = execFileSync("sh", ["-c", command], { encoding: "utf8", maxBuffer: 2 ** 26 });
    const found = new Map<string, Usage>();
    for (const part of log.split("Compiling entry function ").slice(1)) {
      const [, name = ""] = /^'(\w+)'/.exec(part) ?? [];
      const [, stack, stores, loads] =
        /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(part) ?? [];
      const [, registers] = /Used (\d+) registers/.exec(part) ?? [];
      found.set(name, { registers: Number(registers), stack: Number(stack), spilled: Number(stores) + Number(loads) });
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const usages = ARCHITECTURES.map((architecture) => usageFor(architecture));
const cells = [...rows].flatMap(([name, { kernel, launches, byHand }]) => {
  const [first, second] = usages.map((usage) => usage.get(name)!) as [Usage, Usage];
  const spills = Math.max(first.spilled, second.spilled);
  const stack = Math.max(first.stack, second.stack);
  if (!byHand && spills === 0 && stack === 0) return [];
  const { width } = texts.get(name)!;
  return [
    [
      kernel,
      String(launches),
      String(width),
      String(first.registers),
      String(second.registers),
      String(spills),
      String(stack),
    ],
  ];
});
process.stdout.write(
  `${rows.size} kernels of a step in ${precision}; those by hand, and those that spill or have a stack:\n\n` +
    `${markdownTable(["kernel", "launches", "threads", ...ARCHITECTURES.map((name) => `registers, ${name}`), "spilled bytes", "stack bytes"], cells)}\n`,
);
