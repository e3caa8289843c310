// Question: What does this machine offer for training, and what can be done about what is missing?

import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { showBytes } from "../../basics/show.ts";
import { installCommand, missingPackages, packagePartNames, packageParts } from "../../files/packages.ts";
import { reason } from "../../files/errors.ts";
import { openNccl } from "../../runtime/collective/nccl/library.ts";
import { listRuntimes, openRuntime } from "../../runtime/open.ts";

/** One thing that a machine has, or lacks. */
export interface Finding {
  readonly name: string;
  readonly value: string;
  readonly good: boolean;
  /** What to do about what is missing. */
  readonly remedy?: string;
}

/** Node, threads, memory, vectors, runtimes and optional packages; loads the kernels for it. */
export async function findMachine(): Promise<Finding[]> {
  return [
    nodeFinding(),
    threadFinding(),
    memoryFinding(),
    ...(await vectorFindings()),
    ...(await runtimeFindings()),
    ...packageFindings(),
  ];
}

function nodeFinding(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  const value = `${process.version} (V8 ${process.versions.v8})`;
  if (major >= 24) return { name: "Node", value, good: true };
  return {
    name: "Node",
    value,
    good: false,
    remedy: "Node 24 or newer trains about twice as fast (256-bit vectors): npm install node@24, or update Node.",
  };
}

function threadFinding(): Finding {
  return {
    name: "threads",
    value: `${availableParallelism()} of ${cpus()[0]?.model.trim() ?? "unknown processor"}`,
    good: true,
  };
}

function memoryFinding(): Finding {
  const [free, total] = [freemem(), totalmem()].map(showBytes);
  return {
    name: "memory",
    value: `${free} free of ${total}; the CPU runtime uses at most 4 GiB`,
    good: freemem() > 2 ** 30,
    ...(freemem() > 2 ** 30
      ? {}
      : { remedy: "Less than 1 GiB is free: close other programs or use a smaller preset or batch." }),
  };
}

/** Every runtime that can be asked for by its name. */
async function runtimeFindings(): Promise<Finding[]> {
  const runtimes = await listRuntimes();
  const hasGpus = runtimes.some(({ name, available }) => name === "cuda" && available);
  return [
    ...runtimes.map(({ name, description, available, device, remedy }) => ({
      name: `runtime ${name}`,
      value: available ? (device ?? description) : (device ?? `not here; it is for ${description}`),
      good: available,
      ...(remedy === undefined ? {} : { remedy }),
    })),
    ...(hasGpus ? [await ncclFinding()] : []),
  ];
}

/** How NVIDIA GPUs of several processes would reach each other. */
async function ncclFinding(): Promise<Finding> {
  try {
    const { version, file } = await openNccl();
    return { name: "NCCL", value: `${version} (${file}): GPUs of several processes reach each other`, good: true };
  } catch (error) {
    return {
      name: "NCCL",
      value: "not here: several processes exchange what their GPUs make by messages",
      good: false,
      remedy: reason(error),
    };
  }
}

/** What a part of Birkhoff needs that npm does not install by itself. */
function packageFindings(): Finding[] {
  return packagePartNames.map((part) => {
    const { what, packages, neededBy } = packageParts[part];
    const missing = missingPackages(part);
    if (missing.length === 0) return { name: part, value: `${what}: ${packages.join(", ")}`, good: true };
    return {
      name: part,
      value: `no ${what}: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not installed`,
      good: false,
      remedy: `Only ${neededBy}: ${installCommand(missing)}`,
    };
  });
}

async function vectorFindings(): Promise<Finding[]> {
  const started = performance.now();
  const runtime = await openRuntime({ runtime: "wasm" });
  const { kernels } = runtime;
  const { panelWidth } = runtime.device;
  runtime.close();
  return [
    kernels.startsWith("relaxed")
      ? { name: "relaxed SIMD", value: "yes, fused multiply-add", good: true }
      : {
          name: "relaxed SIMD",
          value: "no, the plain SIMD kernels are used",
          good: false,
          remedy: "Node 22 or newer has it.",
        },
    panelWidth === 16
      ? { name: "256-bit vectors", value: "yes, V8 pairs 128-bit operations (6 x 16 tile)", good: true }
      : {
          name: "256-bit vectors",
          value: `no, the 128-bit tile is used (${kernels})`,
          good: false,
          remedy: "They need Node 24 or newer on an x86-64 processor with AVX2.",
        },
    {
      name: "start-up",
      value: `${(performance.now() - started).toFixed(0)} ms to load the kernels, start the threads and probe`,
      good: true,
    },
  ];
}
