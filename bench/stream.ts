// Question: which share of the memory bandwidth do the stream kernels reach?
//
// A kernel's bytes are those that it must read and write, each once: streams, channels and coefficients of every token.
// They are divided by its time. So are the bytes of a plain copy, which reads half as many bytes and writes the other
// half, on the same threads, in turns. The share is the kernel's bytes per second over the copy's. The figure is the
// smaller share of read and write; the other kernels are shown beside it.
//
// C = 256 has the most coefficients per channel, so it is the hardest of the widths. 16384 tokens make 64 MiB of streams,
// more than a last-level cache holds, so that everything comes from memory.

import { gradientsFrom } from "../src/ops/gradients.ts";
import { input, persistent } from "../src/graph/state.ts";
import { sizeOf, type Tensor } from "../src/graph/tensor.ts";
import { manifoldCoefficients } from "../src/ops/manifold-coefficients.ts";
import { slice } from "../src/ops/slice.ts";
import { streamRead } from "../src/ops/stream-read.ts";
import { streamWrite } from "../src/ops/stream-write.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import type { Group } from "./lib/group.ts";
import { race } from "./lib/race.ts";
import { type Measured, rate, ratio } from "./lib/report.ts";

const THREADS = 2;
const TOKENS = 16384;
const STREAMS = 4;
const CHANNELS = 256;
const ITERATIONS = 20;
const BAR = 0.7;

/** What a kernel touches for each token: how often all streams [n, C], [C] and [M]. */
export type Traffic = { readonly streams: number; readonly channels: number; readonly coefficients: number };

export type StreamKernel = {
  readonly name: string;
  readonly traffic: Traffic;
  /** The results to compute from x, h, y and from the gradients g of x' and du of u. */
  readonly outputs: (inputs: StreamInputs) => Readonly<Record<string, Tensor>>;
};

export type StreamInputs = Readonly<Record<"x" | "h" | "y" | "g" | "du" | "phi" | "alpha" | "bias", Tensor>>;

function named(prefix: string, tensors: readonly Tensor[]): Record<string, Tensor> {
  return Object.fromEntries(tensors.map((tensor, index) => [`${prefix}.${index}`, tensor]));
}

/** A sublayer's write, together with the next sublayer's coefficients and read. */
function seam({ x, h, y, phi, alpha, bias }: StreamInputs): { next: Tensor; coefficients: Tensor; u: Tensor } {
  const next = streamWrite(x, h, y);
  const coefficients = manifoldCoefficients(next, phi, alpha, bias, { iterations: ITERATIONS });
  return { next, coefficients, u: streamRead(next, coefficients) };
}

export const streamKernels: readonly StreamKernel[] = [
  {
    name: "read",
    traffic: { streams: 1, channels: 1, coefficients: 1 },
    outputs: ({ x, h }) => ({ u: streamRead(x, h) }),
  },
  {
    name: "write",
    traffic: { streams: 2, channels: 1, coefficients: 1 },
    outputs: ({ x, h, y }) => ({ next: streamWrite(x, h, y) }),
  },
  {
    name: "read backward", // x, h, du → dx, dh
    traffic: { streams: 2, channels: 1, coefficients: 2 },
    outputs: ({ x, h, du }) => named("gradient", gradientsFrom([[streamRead(x, h), du]], [x, h])),
  },
  {
    name: "write backward", // x, h, y, g → dx, dh, dy
    traffic: { streams: 3, channels: 2, coefficients: 2 },
    outputs: ({ x, h, y, g }) => named("gradient", gradientsFrom([[streamWrite(x, h, y), g]], [x, h, y])),
  },
  {
    name: "seam", // x, h, y → x', h', u'
    traffic: { streams: 2, channels: 2, coefficients: 2 },
    outputs: (inputs) => seam(inputs),
  },
  {
    name: "seam and its backward", // after the seam: x, x', h, h', y, g, du → dx, dh, dy
    traffic: { streams: 6, channels: 5, coefficients: 5 },
    outputs(inputs) {
      const { x, h, y, g, du, phi, alpha, bias } = inputs;
      const { next, coefficients, u } = seam(inputs);
      const results = gradientsFrom(
        [
          [next, g],
          [u, du],
        ],
        [x, h, y, phi, alpha, bias],
      );
      return { next, coefficients, u, ...named("gradient", results) };
    },
  },
];

export type StreamSizes = { readonly tokens: number; readonly streams: number; readonly channels: number };

/**
 * Bytes of streams, channels and coefficients that a kernel must move.
 *
 * @param valueBytes of a value of streams and channels; coefficients are float32
 */
export function trafficBytes(
  traffic: Traffic,
  { tokens, streams: n, channels: C }: StreamSizes,
  valueBytes: 2 | 4 = 4,
): number {
  const values = traffic.streams * n * C + traffic.channels * C;
  return tokens * (valueBytes * values + 4 * traffic.coefficients * n * (n + 2));
}

/** Fills the inputs of the kernels. The values only need to avoid infinities and denormals. */
export function streamInputs(
  runtime: Pick<Runtime, "write">,
  { tokens, streams: n, channels: C }: StreamSizes,
): StreamInputs {
  const M = n * (n + 2);
  const filled = (name: string, shape: readonly number[], scale: number): Tensor => {
    const tensor = input(name, shape);
    runtime.write(
      tensor,
      Float32Array.from({ length: sizeOf(shape) }, (_, k) => scale * (1 + ((7 * k) % 13) / 13)),
    );
    return tensor;
  };
  return {
    x: filled("x", [tokens, n, C], 1),
    g: filled("g", [tokens, n, C], 1),
    h: filled("h", [tokens, M], 0.2),
    y: filled("y", [tokens, C], 1),
    du: filled("du", [tokens, C], 1),
    phi: filled("phi", [M, n * C], 0.02),
    alpha: filled("alpha", [3], 0.01),
    bias: filled("bias", [M], 0.1),
  };
}

const FIGURE = "stream.bandwidth_share";
const figureOf = (kernel: string): string => `${FIGURE}.${kernel.replaceAll(" ", "_")}`;
/** The kernels whose shares should reach the bar: those that only read and write. */
const JUDGED = ["read", "write"];
/** The speed of the engine's own copy, relative to the loop that serves as the plain copy here. */
const BUILT_IN = "memory copy";

type Entry = { readonly name: string; readonly bytes: number; readonly run: () => void };

/** Each kernel by its name. */
function kernelEntries(runtime: WasmRuntime, sizes: StreamSizes): readonly Entry[] {
  const inputs = streamInputs(runtime, sizes);
  return streamKernels.map(({ name, traffic, outputs }) => {
    const program = runtime.compile({ outputs: outputs(inputs) });
    return { name, bytes: trafficBytes(traffic, sizes), run: () => program.run() };
  });
}

/** memory.copy of all streams, half of them on each thread. */
function builtInCopy(runtime: WasmRuntime, { tokens, streams, channels }: StreamSizes): Entry {
  const half = (tokens * streams * channels) / 2;
  const [from, to, from2, to2] = ["from", "to", "from2", "to2"].map((name) => persistent(name, [half]));
  const updates = [[to!, from!] as const, [to2!, from2!] as const];
  const program = runtime.compile({ outputs: {}, updates });
  return { name: BUILT_IN, bytes: 16 * half, run: () => program.run() };
}

/** Copies that read and write the given number of bytes: loops of 128-bit loads and stores, divided among the threads like any other work. */
function plainCopies(runtime: WasmRuntime, bytes: readonly number[]): readonly Entry[] {
  // One row more than the largest copy needs, because a slice of everything would not be a copy.
  const source = persistent("source", [1 + Math.max(...bytes) / 8]);
  return bytes.map((count) => {
    const program = runtime.compile({ outputs: { copy: slice(source, 0, 0, count / 8) } });
    return { name: "plain copy", bytes: count, run: () => program.run() };
  });
}

export const stream: Group = {
  names: [FIGURE, ...[...streamKernels.map(({ name }) => name), BUILT_IN].map(figureOf)],
  async *measure(names, options) {
    const sizes = { tokens: TOKENS, streams: STREAMS, channels: CHANNELS };
    const runtime = await createWasmRuntime({ threads: THREADS });
    try {
      const kernels = [...kernelEntries(runtime, sizes), builtInCopy(runtime, sizes)].filter(
        ({ name }) => names.includes(figureOf(name)) || (names.includes(FIGURE) && JUDGED.includes(name)),
      );
      const copies = plainCopies(
        runtime,
        kernels.map(({ bytes }) => bytes),
      );
      const flat = kernels.flatMap((kernel, index) => [kernel, copies[index]!]);
      const racers = flat.map(({ name, run }) => ({ label: name, run, count: 3 }));
      const { timings, background } = await race(racers, options);
      const speeds = timings.map((timing, index) =>
        rate(timing, "median", "GB/s", (ms) => flat[index]!.bytes / ms / 1e6),
      );
      const shares = kernels.map((kernel, index): Measured & { readonly kernel: string } => {
        const share = ratio(figureOf(kernel.name), speeds[2 * index]!, speeds[2 * index + 1]!, {
          higher_is_better: true,
        });
        return { ...share, unit: "of a copy", background, kernel: kernel.name };
      });
      if (names.includes(FIGURE)) {
        const judged = shares.filter(({ kernel }) => JUDGED.includes(kernel));
        const { kernel: _, ...smallest } = judged.reduce((a, b) => (b.value < a.value ? b : a));
        yield { ...smallest, name: FIGURE, bar: BAR };
      }
      for (const { kernel: _, ...share } of shares) if (names.includes(share.name)) yield share;
    } finally {
      runtime.close();
    }
  },
};
