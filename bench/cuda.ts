// Question: how fast is CUDA, and beside PyTorch on the same GPU?
//
// The training step of a GPT of GPT-2's size, plain and with mHC, against torch.compile; what mHC costs at three widths;
// stream kernels against a plain copy; memory; and how long it takes from the start to the first loss. Nothing is
// measured on the machine that plays a GPU, but with BIRKHOFF_CUDA_TINY=1 all of it runs there at tiny sizes: that shows
// that the benchmark works.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ConnectionKind } from "../src/connections/table.ts";
import { defaultConnection } from "../src/connections/table.ts";
import { input } from "../src/graph/state.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../src/ops/bfloat16.ts";
import { scale } from "../src/ops/elementwise.ts";
import { manifoldCoefficients } from "../src/ops/manifold-coefficients.ts";
import { streamRead } from "../src/ops/stream-read.ts";
import { streamWrite } from "../src/ops/stream-write.ts";
import { lookForCuda } from "../src/runtime/cuda/find.ts";
import { createCudaRuntime, type CudaRuntime } from "../src/runtime/cuda/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../src/training/config.ts";
import { createTrainer } from "../src/training/trainer.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { type Timing, timing } from "./lib/interleave.ts";
import { inventedBatches } from "./lib/invented-batches.ts";
import { type Figure, rate, ratio, type Side } from "./lib/report.ts";
import { type StreamInputs, streamInputs, trafficBytes, type Traffic } from "./stream.ts";

interface ModelSize {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly context: number;
  readonly vocabulary: number;
  readonly batch: number;
}

interface Sizes {
  readonly gpt: ModelSize;
  /** Steps of 8192 tokens for mHC's extra time, by width. */
  readonly overheads: Readonly<Record<"c768" | "c1280" | "c2560", ModelSize>>;
  readonly streams: { readonly tokens: number; readonly streams: number; readonly channels: number };
  /** Runs of a kernel that are timed together. */
  readonly repetitions: number;
}

const gpt = { layers: 12, width: 768, heads: 12, context: 1024, vocabulary: 50_304, batch: 8 };
const full: Sizes = {
  gpt,
  overheads: {
    c768: gpt,
    c1280: { ...gpt, layers: 6, width: 1280, heads: 20 },
    c2560: { ...gpt, layers: 3, width: 2560, heads: 20 },
  },
  streams: { tokens: 32_768, streams: 4, channels: 2560 },
  repetitions: 20,
};
const small = { layers: 1, width: 32, heads: 2, context: 16, vocabulary: 64, batch: 2 };
const tiny: Sizes = {
  gpt: small,
  overheads: { c768: small, c1280: { ...small, width: 48 }, c2560: { ...small, width: 64 } },
  streams: { tokens: 32, streams: 4, channels: 16 },
  repetitions: 2,
};

/** Kernels of streams by the name of their figure, what they read, what they move, and what they must reach. */
const kernels: readonly {
  readonly name: string;
  readonly bar: number;
  readonly reads: readonly ("x" | "y")[];
  readonly traffic: Traffic;
  readonly outputs: (inputs: StreamInputs) => Readonly<Record<string, Tensor>>;
}[] = [
  {
    name: "read",
    bar: 0.93,
    reads: ["x"],
    traffic: { streams: 1, channels: 1, coefficients: 1 },
    outputs: ({ x, h }) => ({ u: toBfloat16(streamRead(x, h)) }),
  },
  {
    name: "write",
    bar: 0.92,
    reads: ["x", "y"],
    traffic: { streams: 2, channels: 1, coefficients: 1 },
    outputs: ({ x, h, y }) => ({ next: toBfloat16(streamWrite(x, h, y)) }),
  },
  {
    name: "coefficients",
    bar: 0.8,
    reads: ["x"],
    traffic: { streams: 1, channels: 0, coefficients: 1 },
    outputs: ({ x, phi, alpha, bias }) => ({
      h: manifoldCoefficients(x, phi, alpha, bias, { iterations: 20 }),
    }),
  },
  {
    name: "seam", // write, the coefficients of what is written, read
    bar: 0.75,
    reads: ["x", "y"],
    traffic: { streams: 3, channels: 2, coefficients: 2 },
    outputs({ x, h, y, phi, alpha, bias }) {
      const next = toBfloat16(streamWrite(x, h, y));
      const wide = toFloat32(next);
      const coefficients = manifoldCoefficients(wide, phi, alpha, bias, { iterations: 20 });
      return { next, coefficients, u: toBfloat16(streamRead(wide, coefficients)) };
    },
  },
];

const STEP = { mhc: "cuda.step.mhc.vs_torch_compile", residual: "cuda.step.residual.vs_torch_compile" } as const;
const MEMORY = "cuda.memory.mhc.vs_torch_compile";
const overheadBars = { c768: 0.15, c1280: 0.1, c2560: 0.067 } as const;
const overheadName = (width: string): string => `cuda.mhc.overhead.${width}`;
const streamName = (kernel: string): string => `cuda.stream.${kernel}_share`;
const COLD = { cached: "cuda.cold_seconds.cached", uncached: "cuda.cold_seconds.uncached" } as const;
const PEER_SECONDS = 150;

function configOf({ batch, vocabulary, width, ...model }: ModelSize, kind: ConnectionKind): TrainingConfig {
  return parseTrainingConfig({
    name: "bench",
    data: { source: "-", vocabulary },
    model: {
      ...model,
      width,
      vocabulary,
      kvHeads: model.heads,
      hidden: 64 * Math.max(1, Math.floor((8 * width) / 3 / 64)),
      connection: defaultConnection(kind),
    },
    batch,
    precision: "bfloat16",
    steps: 1_000_000,
    optimizer: { learningRate: 3e-4, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1_000_000,
    checkpointEvery: 1_000_000,
  });
}

/** Training steps on a runtime of their own: their times, and the memory that was taken at most. */
async function timeSteps(
  size: ModelSize,
  kind: ConnectionKind,
  rounds: number,
): Promise<{ readonly timing: Timing; readonly bytes: number }> {
  const runtime = await createCudaRuntime();
  try {
    const config = configOf(size, kind);
    const trainer = createTrainer(runtime, config, inventedBatches(config));
    const times: number[] = [];
    const last = rounds + 3;
    for (let step = 1; step <= last; step++) {
      const { loss, seconds } = await trainer.trainStep({ ahead: step < last ? {} : undefined });
      if (!Number.isFinite(loss)) throw new Error(`bench cuda: step ${step} of ${kind} has the loss ${loss}.`);
      if (step > 3) times.push(1000 * seconds);
    }
    return {
      timing: timing(`${kind} step, bfloat16, ${runtime.gpu.name}`, times),
      bytes: runtime.memoryBytes?.() ?? 0,
    };
  } finally {
    runtime.close();
  }
}

interface PeerResult {
  readonly versions: string;
  readonly ms?: readonly number[];
  readonly bytes?: number;
  readonly skipped?: string;
}

/** PyTorch's step, compiled, in a process of its own. */
async function torchStep(size: ModelSize, kind: ConnectionKind, rounds: number): Promise<PeerResult> {
  const script = fileURLToPath(new URL("peers/cuda_step.py", import.meta.url));
  const python = process.env.BIRKHOFF_PYTHON ?? "python3";
  try {
    const { stdout } = await promisify(execFile)(python, [script, JSON.stringify({ ...size, kind, rounds })], {
      timeout: 1000 * PEER_SECONDS,
    });
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as PeerResult;
  } catch (error) {
    const [line = ""] = (error as Error).message.trim().split("\n").slice(-1);
    return { versions: "", skipped: `${python} has no PyTorch that works: ${line.slice(0, 200)}` };
  }
}

async function* measureSteps(names: readonly string[], sizes: Sizes, options: GroupOptions): AsyncGenerator<Figure> {
  const tokens = sizes.gpt.batch * sizes.gpt.context;
  const speed = (spent: Timing): Side => rate(spent, "median", "tokens/s", (ms) => (1000 * tokens) / ms);
  for (const kind of ["residual", "mhc"] as const) {
    const wanted = names.filter((name) => name === STEP[kind] || (kind === "mhc" && name === MEMORY));
    if (wanted.length === 0) continue;
    options.note(`timing ${kind} steps: ours, then torch.compile's`);
    const ours = await timeSteps(sizes.gpt, kind, options.rounds);
    const theirs = await torchStep(sizes.gpt, kind, options.rounds);
    if (theirs.skipped !== undefined || !theirs.ms) {
      const { value } = speed(ours.timing);
      options.note(`ours: ${Math.round(value)} tokens/s`);
      yield* wanted.map((name): Figure => ({ name, skipped: theirs.skipped ?? "PyTorch gave no times" }));
      continue;
    }
    if (wanted.includes(STEP[kind]))
      yield ratio(STEP[kind], speed(ours.timing), speed(timing(theirs.versions, theirs.ms)), {
        higher_is_better: true,
        ...(sizes === full && { bar: kind === "mhc" ? 3 : 0.9 }),
      });
    const memory = (label: string, bytes: number): Side => ({ label, value: bytes / 2 ** 20, unit: "MiB" });
    if (wanted.includes(MEMORY) && theirs.bytes !== undefined && theirs.bytes > 0)
      yield ratio(MEMORY, memory("mHC, ours", ours.bytes), memory(theirs.versions, theirs.bytes), {
        higher_is_better: false,
        ...(sizes === full && { bar: 0.7 }),
      });
    else if (wanted.includes(MEMORY)) yield { name: MEMORY, skipped: "PyTorch does not say what memory it takes here" };
  }
}

async function* measureOverheads(
  names: readonly string[],
  sizes: Sizes,
  options: GroupOptions,
): AsyncGenerator<Figure> {
  for (const width of ["c768", "c1280", "c2560"] as const) {
    const name = overheadName(width);
    if (!names.includes(name)) continue;
    options.note(`timing what mHC costs at ${width}`);
    const size = sizes.overheads[width];
    const plain = (await timeSteps(size, "residual", options.rounds)).timing;
    const mhc = (await timeSteps(size, "mhc", options.rounds)).timing;
    const side = (spent: Timing): Side => rate(spent, "median", "ms", (ms) => ms);
    yield {
      name,
      value: mhc.median / plain.median - 1,
      unit: "of the step",
      higher_is_better: false,
      ...(sizes === full && { bar: overheadBars[width] }),
      ours: side(mhc),
      theirs: side(plain),
    };
  }
}

async function timeRuns(
  runtime: CudaRuntime,
  run: () => void,
  rounds: number,
  count: number,
): Promise<readonly number[]> {
  const all = (): void => {
    for (let k = 0; k < count; k++) run();
  };
  await runtime.time(all);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push((await runtime.time(all)) / count);
  return times;
}

async function* measureStreams(
  names: readonly string[],
  sizes: Sizes,
  { rounds, note }: GroupOptions,
): AsyncGenerator<Figure> {
  const runtime = await createCudaRuntime();
  try {
    const { tokens, streams, channels } = sizes.streams;
    const inputs = streamInputs(runtime, sizes.streams);
    const from = input("copied", [tokens, streams * channels]);
    const copying = runtime.compile({ outputs: { to: scale(from, 2) } });
    const copies = await timeRuns(runtime, () => copying.run(), rounds, sizes.repetitions);
    const copied = timing("each number doubled", copies);
    const bytes = 8 * tokens * streams * channels;
    const copy = rate(copied, "median", "GB/s", (ms) => bytes / ms / 1e6);
    copying.release();
    // Inputs are float32: each program rounds what the kernel reads, and the time of rounding alone is taken off.
    const narrow = { x: toBfloat16(inputs.x), y: toBfloat16(inputs.y) };
    const rounded = { ...inputs, x: toFloat32(narrow.x), y: toFloat32(narrow.y) };
    for (const { name, bar, reads, traffic, outputs } of kernels) {
      if (!names.includes(streamName(name))) continue;
      note(`timing ${name}`);
      const timed = async (what: Readonly<Record<string, Tensor>>): Promise<readonly number[]> => {
        const program = runtime.compile({ outputs: what });
        const times = await timeRuns(runtime, () => program.run(), rounds, sizes.repetitions);
        program.release();
        return times;
      };
      const rounding = timing("rounding", await timed(Object.fromEntries(reads.map((read) => [read, narrow[read]]))));
      const whole = await timed(outputs(rounded));
      const label = `${name}, bfloat16, ${runtime.gpu.name}`;
      const spent = timing(
        label,
        whole.map((ms) => ms - rounding.median),
      );
      if (spent.median <= 0) {
        yield { name: streamName(name), skipped: "rounding alone took no less time; measure again on a quiet machine" };
        continue;
      }
      const moved = trafficBytes(traffic, sizes.streams, 2);
      const side = rate(spent, "median", "GB/s", (ms) => moved / ms / 1e6);
      const figure = ratio(streamName(name), side, copy, { higher_is_better: true, ...(sizes === full && { bar }) });
      yield { ...figure, unit: "of a copy" };
    }
  } finally {
    runtime.close();
  }
}

/** From the start of a process to its first loss, with kernels to be compiled, and with kernels that are kept. */
async function* measureCold(names: readonly string[], sizes: Sizes, { note }: GroupOptions): AsyncGenerator<Figure> {
  const cache = mkdtempSync(path.join(tmpdir(), "birkhoff-bench-cuda-"));
  const script = fileURLToPath(new URL("peers/our-cuda-start.ts", import.meta.url));
  const config = JSON.stringify(configOf(sizes.gpt, "mhc"));
  const bars = { uncached: 20, cached: 3 };
  try {
    for (const which of ["uncached", "cached"] as const) {
      note(`timing a start, kernels ${which}`);
      const { stdout } = await promisify(execFile)(process.execPath, [script, config], {
        env: { ...process.env, BIRKHOFF_CUDA_CACHE: cache },
      });
      const { seconds } = JSON.parse(stdout.trim().split("\n").at(-1)!) as { readonly seconds: number };
      if (!names.includes(COLD[which])) continue;
      const ours = { label: `start to first loss, kernels ${which}`, value: seconds, unit: "s" };
      const bar = sizes === full ? { bar: bars[which] } : {};
      yield { name: COLD[which], value: seconds, unit: "s", higher_is_better: false, ...bar, ours };
    }
  } finally {
    rmSync(cache, { recursive: true });
  }
}

export const cuda: Group = {
  names: [
    STEP.mhc,
    STEP.residual,
    MEMORY,
    ...Object.keys(overheadBars).map(overheadName),
    ...kernels.map(({ name }) => streamName(name)),
    COLD.uncached,
    COLD.cached,
  ],
  onRequest: true,
  async *measure(names, options) {
    const sizes = process.env.BIRKHOFF_CUDA_TINY === "1" ? tiny : full;
    const { available, device = "", remedy = "" } = await lookForCuda();
    const played = device.startsWith("Processor in the place of a GPU") && sizes !== tiny;
    if (!available || played) {
      const why = played ? `${device}; BIRKHOFF_CUDA_TINY=1 shows that it works` : remedy;
      yield* names.map((name): Figure => ({ name, skipped: `there is no GPU for CUDA: ${why}` }));
      return;
    }
    options.note(device);
    const wanted = (begin: string): string[] => names.filter((name) => name.startsWith(begin));
    if (wanted("cuda.stream").length > 0) yield* measureStreams(names, sizes, options);
    yield* measureSteps(names, sizes, options);
    yield* measureOverheads(names, sizes, options);
    if (wanted("cuda.cold").length > 0) yield* measureCold(names, sizes, options);
  },
};
