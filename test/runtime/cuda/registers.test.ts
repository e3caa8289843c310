// What CUDA's own compiler makes of the kernels by hand, at the shapes of real models: registers of a thread, and nothing
// spilled from them to memory. No GPU is needed, only nvcc. Registers are an upper bound: fewer are welcome.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { input, parameter } from "../../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../../src/graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../../../src/ops/bfloat16.ts";
import { attention } from "../../../src/ops/attention.ts";
import { concat } from "../../../src/ops/concat.ts";
import { crossEntropy } from "../../../src/ops/cross-entropy.ts";
import { add, multiply } from "../../../src/ops/elementwise.ts";
import { roundToFloat8 } from "../../../src/ops/float8.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { expertMatmul } from "../../../src/ops/expert-matmul.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { rotary } from "../../../src/ops/rotary.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import { moduleText } from "../../../src/runtime/cuda/compile.ts";
import { type KernelText, kernelText } from "../../../src/runtime/cuda/kernel-text.ts";
import { implementationsFor } from "../../../src/runtime/cuda/ops/table.ts";
import type { CudaWork, ProductWork } from "../../../src/runtime/cuda/work.ts";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";
import { programInPrecision } from "../../../src/runtime/precision.ts";

const machine = gpuMachine({
  name: "cuda",
  largestMemory: 2 ** 40,
  largestBuffer: 2 ** 34,
  alignment: 256,
  own: implementationsFor({ capability: "9.0", sharedBytes: 227 * 1024, compiler: 13_000 }),
  takesStored: true,
});

const precisions = ["bfloat16", "float32"] as const;
const architectures = ["sm_80", "sm_90a"] as const;

/** Registers of each kernel at most, in bfloat16 and float32, of a model's shapes. */
interface Model {
  readonly name: string;
  /** A result, and what its gradients are asked of. */
  build(): readonly [result: Tensor, ...of: Tensor[]];
  readonly registers: Readonly<Record<string, readonly [bfloat16: number, float32: number]>>;
  /** The architecture that has its instructions, if not all have. */
  readonly only?: (typeof architectures)[number];
}

const heads = (
  name: string,
  T: number,
  count: number,
  headSize: number,
  valueSize: number,
  registers: Model["registers"],
): Model => ({
  name,
  build() {
    const qkv = input("qkv", [4, T, count * (2 * headSize + valueSize)]);
    return [attention(qkv, { heads: count, headSize, valueSize }), qkv];
  },
  registers,
});

const models: readonly Model[] = [
  heads("12 heads of 64", 1024, 12, 64, 64, {
    attention: [128, 144],
    attentionQueries: [128, 144],
    attentionKeys: [184, 184],
  }),
  heads("16 latent heads of 192, values of 128", 2048, 16, 192, 128, {
    attention: [160, 200],
    attentionQueries: [184, 208],
    attentionKeys: [248, 255],
  }),
  {
    name: "4 streams of 768 for 8192 tokens",
    build() {
      const [x, phi, alpha, bias] = [
        input("x", [8192, 4, 768]),
        input("phi", [24, 3072]),
        input("alpha", [3]),
        input("bias", [24]),
      ];
      let streams = x;
      for (let layer = 0; layer < 2; layer++) {
        const h = manifoldCoefficients(streams, phi, alpha, bias);
        streams = streamWrite(streams, h, streamRead(streams, h));
      }
      return [streams, x, phi, alpha, bias];
    },
    registers: {
      coefficientsReadBackward: [96, 96],
      streamReadProjectionBackward: [128, 144],
      streamWrite: [64, 48],
      streamWriteBackward: [128, 128],
      projectionFragments: [32, 32],
      streamProjection: [128, 128],
      streamWriteProjection: [128, 128],
      coefficientsRead: [40, 40],
      transposedProduct: [152, 0],
    },
  },
  {
    name: "64 experts of 1024 x 1408, 6 for each of 8192 tokens",
    build() {
      const [x, weights] = [input("x", [6 * 8192, 1024]), parameter("w", [64, 1024, 1408], "weight")];
      return [expertMatmul(x, weights, input("offsets", [65], "i32")), x, weights];
    },
    registers: { expertProduct: [128, 128], expertOuter: [128, 128] },
  },
  {
    name: "factors of 8 bits",
    build() {
      const eight = (x: Tensor, rows: number, columns: number): Tensor =>
        toFloat32(toBfloat16(roundToFloat8(x, { rows, columns })));
      const [x, w, g] = [input("x", [8192, 768]), input("w", [768, 3072]), input("g", [8192, 3072])];
      const forward = matmul(eight(x, 1, 128), eight(w, 128, 128));
      return [add(matmul(eight(x, 128, 1), eight(multiply(forward, g), 128, 1), { transposeA: true }), w)];
    },
    registers: { float8Codes: [112, 112], float8Product: [255, 255] },
    only: "sm_90a",
  },
  {
    name: "the rest of a block of 768 and its loss for 8192 tokens",
    build() {
      const [x, w] = [input("x", [8192, 768]), input("w", [768])];
      const [gates, qkv, table] = [
        input("gates", [8192, 4096]),
        input("qkv", [8192, 2304]),
        input("table", [1024, 64]),
      ];
      const [logits, targets] = [input("logits", [8192, 50257]), input("targets", [8192], "i32")];
      const turned = rotary(reshape(qkv, [8, 1024, 2304]), table, { heads: 24, headSize: 64 });
      const parts = [rmsNorm(x, w), swiglu(gates), turned, crossEntropy(logits, targets)];
      return [
        concat(
          parts.map((part) => reshape(part, [sizeOf(part.shape)])),
          0,
        ),
        x,
        w,
        gates,
        qkv,
        logits,
      ];
    },
    registers: {
      rmsNorm: [48, 48],
      rmsNormBackward: [120, 120],
      swiglu: [32, 32],
      swigluBackward: [48, 48],
      rotary: [32, 32],
      crossEntropy: [32, 32],
      crossEntropyBackward: [40, 40],
    },
  },
];

/** The kernels by hand of a model and its gradients, by the names that they have in the table. */
function kernelsOf({ build }: Model, precision: (typeof precisions)[number]): Map<string, KernelText> {
  const [result, ...of] = build();
  const weights = input("weights", result.shape);
  const outputs = { result, gradients: gradients(sum(multiply(result, weights)), of) };
  const plan = compilePlan(programInPrecision({ outputs }, precision), machine, withoutMemory());
  const found = new Map<string, KernelText>();
  for (const { kernel, calls } of dispatchesOf<CudaWork | ProductWork>(plan, 500)) {
    if (kernel.kind !== "cuda") continue;
    const name = calls[0]!.kernel;
    const text = kernelText(name, kernel);
    found.set(`${name} ${text.name}`, text);
  }
  return found;
}

interface Usage {
  readonly registers: number;
  readonly stack: number;
  readonly spilled: number;
}

/** What ptxas says of each entry. */
function usageOf(log: string): Map<string, Usage> {
  const found = new Map<string, Usage>();
  for (const part of log.split("Compiling entry function ").slice(1)) {
    const name = /^'(\w+)'/.exec(part)?.[1];
    const memory = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(part);
    const registers = /Used (\d+) registers/.exec(part)?.[1];
    if (name === undefined || !memory || registers === undefined) throw new Error(`ptxas says: ${part}`);
    found.set(name, {
      registers: Number(registers),
      stack: Number(memory[1]),
      spilled: Number(memory[2]) + Number(memory[3]),
    });
  }
  return found;
}

const here = ((): boolean => {
  try {
    execFileSync("nvcc", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    process.stdout.write("Registers of CUDA's kernels are not counted: there is no nvcc\n");
    return false;
  }
})();

describe.skipIf(!here).each(architectures)("for %s", (architecture) => {
  const there = models.filter(({ only = architecture }) => only === architecture);
  const kernels = there.flatMap((model) =>
    precisions.flatMap((precision, at) =>
      [...kernelsOf(model, precision)].map(([key, text]) => ({
        model,
        precision,
        at,
        kernel: key.split(" ")[0]!,
        text,
      })),
    ),
  );
  let usage: Map<string, Usage>;
  beforeAll(() => {
    const folder = mkdtempSync(path.join(tmpdir(), "birkhoff-registers-"));
    try {
      const source = path.join(folder, "kernels.cu");
      const texts = new Map(kernels.map(({ text }) => [text.name, text]));
      writeFileSync(source, moduleText([...texts.values()]));
      const command = `nvcc -cubin -std=c++17 -arch=${architecture} -Xptxas -v -o "${source}.cubin" "${source}" 2>&1`;
      usage = usageOf(execFileSync("sh", ["-c", command], { encoding: "utf8", maxBuffer: 2 ** 24 }));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 180_000);

  test.each(there.flatMap((model) => precisions.map((precision) => [model.name, precision, model] as const)))(
    "%s in %s",
    (_, precision, model) => {
      const own = kernels.filter((each) => each.model === model && each.precision === precision);
      const bounds = Object.entries(model.registers).filter(([, of]) => of[precisions.indexOf(precision)]! > 0);
      expect([...new Set(own.map(({ kernel }) => kernel))].sort()).toEqual(bounds.map(([kernel]) => kernel).sort());
      for (const { kernel, at, text } of own) {
        const { registers, stack, spilled } = usage.get(text.name)!;
        expect({ kernel, stack, spilled }).toEqual({ kernel, stack: 0, spilled: 0 });
        expect(registers, kernel).toBeLessThanOrEqual(model.registers[kernel]![at]!);
      }
    },
  );
});
