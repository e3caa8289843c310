// Question: how fast is WebGPU?
//
// Stream kernels against a plain copy, matrix products, and the training step against the processor's, on a hardware
// GPU. How many dispatches a step has, and what JavaScript does for each, is measured on Dawn's null backend, which
// computes nothing, so on any machine. Times are those of the GPU's own clock where it has one; otherwise of many runs
// with one wait. With BIRKHOFF_WEBGPU_TINY=1 all of it runs at tiny sizes, also on a processor that plays the part of a
// GPU: that shows that the benchmark works, and nothing of speed.

import { availableParallelism } from "node:os";
import { showMany } from "../src/basics/show.ts";
import { input } from "../src/graph/state.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { manifoldCoefficients } from "../src/ops/manifold-coefficients.ts";
import { gradientsFrom } from "../src/ops/gradients.ts";
import { matmul } from "../src/ops/matmul.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { findAdapter, isSoftware } from "../src/runtime/webgpu/adapter.ts";
import { startWebgpuRuntime, type WebgpuRuntime } from "../src/runtime/webgpu/runtime.ts";
import { defaultConnection } from "../src/connections/table.ts";
import { parseTrainingConfig, type TrainingConfig } from "../src/training/config.ts";
import { createTrainer, type Trainer } from "../src/training/trainer.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { type Timing, timing } from "./lib/interleave.ts";
import { inventedBatches } from "./lib/invented-batches.ts";
import { type Figure, milliseconds, rate, ratio, type Side } from "./lib/report.ts";
import { doorWith, timeCopies } from "./lib/webgpu.ts";
import { type StreamInputs, streamInputs, streamKernels, trafficBytes, type Traffic } from "./stream.ts";

interface Sizes {
  readonly streams: { readonly tokens: number; readonly streams: number; readonly channels: number };
  /** M, N, K. The first is the one that `webgpu.gemm.tflops` means. */
  readonly products: readonly (readonly [m: number, n: number, k: number])[];
  readonly model: { readonly layers: number; readonly width: number; readonly heads: number; readonly context: number };
  readonly batch: number;
  /** A measurement takes at least so long. */
  readonly milliseconds: number;
}

const products = [
  [4096, 4096, 4096],
  [8192, 1024, 4096],
  [8192, 4096, 1024],
] as const;
const full: Sizes = {
  streams: { tokens: 8192, streams: 4, channels: 1280 },
  products,
  model: { layers: 4, width: 256, heads: 8, context: 256 },
  batch: 8,
  milliseconds: 100,
};
const tiny: Sizes = {
  streams: { tokens: 32, streams: 4, channels: 16 },
  products: [
    [32, 32, 32],
    [24, 16, 40],
    [40, 24, 16],
  ],
  model: { layers: 1, width: 16, heads: 2, context: 16 },
  batch: 2,
  milliseconds: 1,
};

const productName = (at: number): string =>
  at === 0 ? "webgpu.gemm.tflops" : `webgpu.gemm.tflops.${products[at]!.join("x")}`;

/** The kernels of streams, and the coefficients alone. */
interface Kernel {
  readonly name: string;
  readonly traffic: Traffic;
  readonly outputs: (inputs: StreamInputs) => Readonly<Record<string, Tensor>>;
  readonly bar?: number;
}
const coefficientsOf = ({ x, phi, alpha, bias }: StreamInputs): Tensor =>
  manifoldCoefficients(x, phi, alpha, bias, { iterations: 20 });
const BAR = 0.8;
const kernels: readonly Kernel[] = [
  ...streamKernels
    .filter(({ name }) => !name.startsWith("seam"))
    .map((kernel) => ({ ...kernel, ...(kernel.name.includes("backward") ? {} : { bar: BAR }) })),
  {
    name: "coefficients",
    traffic: { streams: 1, channels: 0, coefficients: 1 },
    outputs: (inputs) => ({ coefficients: coefficientsOf(inputs) }),
  },
  {
    name: "coefficients backward", // x, the gradient of the coefficients → dx
    traffic: { streams: 2, channels: 0, coefficients: 1 },
    outputs: (inputs) => ({ dx: gradientsFrom([[coefficientsOf(inputs), inputs.h]], [inputs.x])[0]! }),
  },
];
const shareName = (kernel: string): string => `webgpu.stream.${kernel.replaceAll(" ", "_")}_share`;

const DISPATCHES = "webgpu.step.dispatches";
const JAVASCRIPT = "webgpu.step.javascript";
const VS_WASM = "webgpu.step.vs_wasm";
/** Runs whose code is not optimised yet, and those that are timed. */
const [WARMING, ORDERED] = [30, 50];
const ON_ANY_MACHINE = [DISPATCHES, JAVASCRIPT];

function configOf({ model, batch }: Sizes): TrainingConfig {
  return parseTrainingConfig({
    name: "bench",
    data: { source: "-", vocabulary: 1024 },
    model: {
      ...model,
      vocabulary: 1024,
      kvHeads: model.heads,
      hidden: 64 * Math.ceil((8 * model.width) / 3 / 64),
      connection: defaultConnection("mhc"),
    },
    batch,
    steps: 1_000_000,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1_000_000,
    checkpointEvery: 1_000_000,
  });
}
const trainerOn = (runtime: Runtime, config: TrainingConfig): Trainer =>
  createTrainer(runtime, config, inventedBatches(config));

/** Milliseconds of one of many runs: by the GPU's clock, or by ours with one wait. */
async function timeRuns(
  runtime: WebgpuRuntime,
  label: string,
  run: () => void,
  { rounds, atLeast }: { readonly rounds: number; readonly atLeast: number },
): Promise<Timing> {
  const runMany = async (count: number): Promise<number> => {
    const all = (): void => {
      for (let k = 0; k < count; k++) run();
    };
    if (runtime.time) return (await runtime.time(all)) / count;
    const started = performance.now();
    all();
    await runtime.finish();
    return (performance.now() - started) / count;
  };
  await runMany(1);
  const count = Math.min(1000, Math.ceil(atLeast / Math.max(1e-3, await runMany(2))));
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await runMany(count));
  return timing(`${label} (${runtime.time ? "the GPU's clock" : `${count} runs, one wait`})`, times);
}

/** How many dispatches a step has, and how long JavaScript takes for one. */
async function* measureOrders(names: readonly string[], sizes: Sizes, { note }: GroupOptions): AsyncGenerator<Figure> {
  note("counting the dispatches of a training step on Dawn's null backend");
  const runtime = await startWebgpuRuntime(doorWith("backend=null"), {});
  let dispatches = 0;
  const { dispatchWorkgroups } = GPUComputePassEncoder.prototype;
  try {
    const trainer = trainerOn(runtime, configOf(sizes));
    GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...given) {
      dispatches++;
      return dispatchWorkgroups.apply(this, given);
    };
    const { program } = trainer;
    // Encoded and submitted when this resolves. Nothing is read: what lies in memory there means nothing.
    const order = async (): Promise<number> => {
      const started = performance.now();
      program.run();
      await Promise.resolve();
      return performance.now() - started;
    };
    await order();
    // The kernels are there when this is over, and so is the first run.
    await runtime.finish().catch(() => undefined);
    dispatches = 0;
    await order();
    GPUComputePassEncoder.prototype.dispatchWorkgroups = dispatchWorkgroups;
    const label = `mHC, ${showMany(sizes.model.layers, "layer")}: forward, backward, clipping, AdamW`;
    if (names.includes(DISPATCHES))
      yield {
        name: DISPATCHES,
        value: dispatches,
        unit: "dispatches",
        higher_is_better: false,
        ours: { label, value: dispatches, unit: "dispatches" },
      };
    if (!names.includes(JAVASCRIPT)) return;
    const times: number[] = [];
    for (let round = 0; round < WARMING + ORDERED; round++) {
      times.push(await order());
      // Lets Dawn forget what it has done.
      await new Promise((resolve) => void setImmediate(resolve));
    }
    const spent = timing(
      `${label}; ${dispatches} dispatches encoded and submitted`,
      times.slice(WARMING).map((ms) => (1000 * ms) / dispatches),
    );
    const side = rate(spent, "median", "µs/dispatch", (us) => us);
    yield { name: JAVASCRIPT, value: side.value, unit: "µs/dispatch", higher_is_better: false, ours: side };
  } finally {
    GPUComputePassEncoder.prototype.dispatchWorkgroups = dispatchWorkgroups;
    runtime.close();
  }
}

async function* measureStreams(
  names: readonly string[],
  runtime: WebgpuRuntime,
  adapter: GPUAdapter,
  sizes: Sizes,
  { rounds, note }: GroupOptions,
): AsyncGenerator<Figure> {
  const inputs = streamInputs(runtime, sizes.streams);
  const { tokens, streams, channels } = sizes.streams;
  const bytes = 32 * Math.ceil((8 * tokens * streams * channels) / 32);
  note(`timing plain copies of ${(bytes / 2e6).toFixed(1)} MB`);
  const copies = await timeCopies(adapter, bytes, { rounds, repetitions: sizes === tiny ? 2 : 50 });
  const fastest = copies.reduce((a, b) => (b.median < a.median ? b : a));
  const copy = rate(fastest, "median", "GB/s", (ms) => bytes / ms / 1e6);
  for (const { name, traffic, outputs, bar } of kernels) {
    if (!names.includes(shareName(name))) continue;
    note(`timing ${name}`);
    const program = runtime.compile({ outputs: outputs(inputs) });
    const spent = await timeRuns(runtime, `${name}, ${adapterName(runtime)}`, () => program.run(), {
      rounds,
      atLeast: sizes.milliseconds,
    });
    program.release();
    const moved = trafficBytes(traffic, sizes.streams);
    const side = rate(spent, "median", "GB/s", (ms) => moved / ms / 1e6);
    yield {
      ...ratio(shareName(name), side, copy, {
        higher_is_better: true,
        ...(bar !== undefined && sizes === full && { bar }),
      }),
      unit: "of a copy",
    };
  }
}

async function* measureProducts(
  names: readonly string[],
  runtime: WebgpuRuntime,
  sizes: Sizes,
  { rounds, note }: GroupOptions,
): AsyncGenerator<Figure> {
  for (const [at, [m, n, k]] of sizes.products.entries()) {
    const name = productName(at);
    if (!names.includes(name)) continue;
    note(`timing a product of ${m} × ${k} by ${k} × ${n}`);
    const [a, b] = [input("a", [m, k]), input("b", [k, n])];
    const program = runtime.compile({ outputs: { c: matmul(a, b) } });
    // Small integers, so that every product is exact.
    const [left, right] = [a, b].map(({ shape }, seed) =>
      Float32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => ((i * 7 + seed * 3 + (i >> 5)) % 5) - 2),
    );
    runtime.write(a, left!);
    runtime.write(b, right!);
    program.run();
    const product = await program.read("c");
    for (const [row, column] of [
      [0, 0],
      [m - 1, n - 1],
      [m >> 1, n >> 2],
    ] as const) {
      let exact = 0;
      for (let i = 0; i < k; i++) exact += left![row * k + i]! * right![i * n + column]!;
      const found = product[row * n + column];
      if (found !== exact) throw new Error(`${name}: entry ${row}, ${column} is ${found}; it must be ${exact}.`);
    }
    const spent = await timeRuns(
      runtime,
      `float32 product ${m} × ${n} × ${k}, ${adapterName(runtime)}`,
      () => program.run(),
      {
        rounds,
        atLeast: sizes.milliseconds,
      },
    );
    program.release();
    const side = rate(spent, "median", "TFLOP/s", (ms) => (2 * m * n * k) / ms / 1e9);
    yield { name, value: side.value, unit: "TFLOP/s", higher_is_better: true, ours: side };
  }
}

/** Training steps as a run does them: one is begun before the loss of the one before is read. */
async function timeSteps(
  trainer: Trainer,
  label: string,
  rounds: number,
): Promise<{ timing: Timing; losses: number[] }> {
  const losses: number[] = [];
  const times: number[] = [];
  const last = 2 * rounds + 2;
  for (let step = 1; step <= last; step++) {
    const { loss, seconds } = await trainer.trainStep({ ahead: step < last ? {} : undefined });
    losses.push(loss);
    if (step > 2) times.push(1000 * seconds);
  }
  return { timing: timing(label, times), losses };
}

async function* measureStep(
  runtime: WebgpuRuntime,
  sizes: Sizes,
  { rounds, note }: GroupOptions,
): AsyncGenerator<Figure> {
  const config = configOf(sizes);
  const wasm = await createWasmRuntime();
  try {
    note("timing training steps on the GPU and on the processor");
    const [ours, theirs] = [trainerOn(runtime, config), trainerOn(wasm, config)];
    const here = await timeSteps(ours, `mHC step, ${adapterName(runtime)}`, rounds);
    const there = await timeSteps(theirs, `mHC step, processor, ${availableParallelism()} cores`, rounds);
    for (const [step, loss] of here.losses.entries())
      if (!(Math.abs(loss - there.losses[step]!) < 1e-2))
        throw new Error(
          `${VS_WASM}: step ${step + 1} has the loss ${loss} on the GPU and ${there.losses[step]} on the processor.`,
        );
    const speed = ({ timing: spent }: typeof here): Side => {
      const tokens = config.batch * config.model.context;
      return rate(spent, "median", "tokens/s", (ms) => (1000 * tokens) / ms);
    };
    note(`${milliseconds(here.timing, "median").value.toFixed(2)} ms a step on the GPU`);
    yield ratio(VS_WASM, speed(here), speed(there), { higher_is_better: true });
  } finally {
    wasm.close();
  }
}

const adapterName = ({ adapter: { vendor, architecture, description } }: WebgpuRuntime): string =>
  [description || architecture, vendor && `(${vendor})`].filter(Boolean).join(" ");

export const webgpu: Group = {
  names: [
    DISPATCHES,
    JAVASCRIPT,
    ...kernels.map(({ name }) => shareName(name)),
    ...products.map((_, at) => productName(at)),
    VS_WASM,
  ],
  async *measure(names, options) {
    const sizes = process.env.BIRKHOFF_WEBGPU_TINY === "1" ? tiny : full;
    const skip = (chosen: readonly string[], skipped: string): Figure[] => chosen.map((name) => ({ name, skipped }));
    const anywhere = names.filter((name) => ON_ANY_MACHINE.includes(name));
    const hardware = names.filter((name) => !ON_ANY_MACHINE.includes(name));
    try {
      await doorWith().enter();
    } catch (error) {
      yield* skip(names, `WebGPU is not there: ${(error as Error).message}`);
      return;
    }
    if (anywhere.length > 0) yield* measureOrders(anywhere, sizes, options);
    if (hardware.length === 0) return;
    const adapter = await findAdapter(doorWith());
    if (!adapter || (isSoftware(adapter) && sizes !== tiny)) {
      const player = adapter && (adapter.info.description || adapter.info.architecture);
      const why = player
        ? `: ${player} is the processor; BIRKHOFF_WEBGPU_TINY=1 shows that it works`
        : " that WebGPU can use";
      yield* skip(hardware, `there is no GPU${why}`);
      return;
    }
    const runtime = await startWebgpuRuntime(doorWith(), {});
    try {
      yield* measureStreams(hardware, runtime, adapter, sizes, options);
      yield* measureProducts(hardware, runtime, sizes, options);
      if (hardware.includes(VS_WASM)) yield* measureStep(runtime, sizes, options);
    } finally {
      runtime.close();
    }
  },
};
