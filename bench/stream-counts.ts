// Question: for which numbers of streams do the kernels of mHC pay?
//
// Two sublayers of mHC, whose blocks only normalise, forward and backward: once with the kernels of the connection, once
// with the same graph composed of the operations that any machine has (graph/compose.ts). Both take turns on one runtime;
// the figure is the composed form's time over that of the kernels. Both must have the same gradients.

import { createParameters } from "../src/graph/parameters.ts";
import { composed } from "../src/graph/compose.ts";
import { input } from "../src/graph/state.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { mhc } from "../src/connections/mhc.ts";
import { normal, streams as randomStreams } from "../src/data/random.ts";
import { gradientsFrom } from "../src/ops/gradients.ts";
import { rmsNorm } from "../src/ops/rms-norm.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram, WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { initialValues } from "../src/training/initialise.ts";
import type { Group } from "./lib/group.ts";
import { race } from "./lib/race.ts";
import { milliseconds, ratio } from "./lib/report.ts";

const THREADS = 2;
const [TOKENS, CHANNELS, SUBLAYERS] = [2048, 256, 2];
const COUNTS = [1, 2, 3, 4, 6, 8, 12, 16] as const;
const nameOf = (streams: number): string => `mhc.streams.n${streams}`;

/** What mHC has kernels for. */
const ours: ReadonlySet<string> = new Set([
  "streamProjection",
  "hyperCoefficients",
  "manifoldCoefficients",
  "streamRead",
  "streamWrite",
  "sinkhorn",
  "streamProjectionBackward",
  "hyperCoefficientsBackward",
  "manifoldCoefficientsBackward",
  "streamReadBackward",
  "streamWriteBackward",
  "sinkhornBackward",
]);

type Outputs = Readonly<Record<string, Tensor>>;

/** The sublayers' results and the gradients of what enters them, with the kernels and composed. */
function programs(runtime: WasmRuntime, streams: number): Record<"fused" | "composed", WasmProgram<Outputs>> {
  const parameters = createParameters();
  const connection = mhc({ streams });
  const x_TC = input("x", [TOKENS, CHANNELS]);
  const given_TC = input("gradient", [TOKENS, CHANNELS]);
  let state = connection.expand(x_TC);
  for (let index = 0; index < SUBLAYERS; index++) {
    const own = parameters.under(`${index}`);
    const norm_C = own.create("norm", [CHANNELS], { constant: 1 }, "norm");
    state = connection
      .sublayer(own, { channels: CHANNELS, index })
      .apply(state, (read_TC) => rmsNorm(read_TC, norm_C)).state;
  }
  const result_TC = connection.collapse(state);
  const wanted = [x_TC, ...parameters.all.map(({ tensor }) => tensor)];
  const outputs = [result_TC, ...gradientsFrom([[result_TC, given_TC]], wanted)];
  const apart = composed(outputs, { name: "composed", has: ({ name, compose }) => !ours.has(name) || !compose });
  for (const [at, tensor] of [x_TC, given_TC].entries())
    runtime.write(
      tensor,
      Float32Array.from({ length: TOKENS * CHANNELS }, (_, i) => normal(at + 1, randomStreams.studies, i)),
    );
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const compile = (of: (tensor: Tensor) => Tensor): WasmProgram<Outputs> =>
    runtime.compile<Outputs>({ outputs: Object.fromEntries(outputs.map((tensor, at) => [`${at}`, of(tensor)])) });
  return { fused: compile((tensor) => tensor), composed: compile(apart) };
}

/** Throw unless both have the same results, but for rounding. */
function expectEqual(streams: number, pair: ReturnType<typeof programs>, count: number): void {
  const [fused, apart] = [pair.fused, pair.composed].map((program) => {
    program.run();
    return Array.from({ length: count }, (_, at) => Float32Array.from(program.readNow(`${at}`)));
  });
  for (const [at, a] of fused!.entries()) {
    const largest = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const error = a.reduce((most, value, i) => Math.max(most, Math.abs(value - apart![at]![i]!)), 0);
    if (!(error <= 2e-3 * largest))
      throw new Error(`With ${streams} streams result ${at} differs by ${error} of ${largest}.`);
  }
}

export const streamCounts: Group = {
  names: COUNTS.map(nameOf),
  onRequest: true,
  async *measure(names, options) {
    const runtime = await createWasmRuntime({ threads: THREADS });
    try {
      for (const streams of COUNTS.filter((count) => names.includes(nameOf(count)))) {
        const pair = programs(runtime, streams);
        expectEqual(streams, pair, 2 + 4 * SUBLAYERS);
        const label = `${streams} ${streams === 1 ? "stream" : "streams"}`;
        const { timings, background } = await race(
          [
            { label: `composed, ${label}`, run: () => pair.composed.run() },
            { label: `kernels, ${label}`, run: () => pair.fused.run() },
          ],
          options,
        );
        const [theirs, own] = timings.map((timing) => milliseconds(timing, "median"));
        yield {
          ...ratio(nameOf(streams), theirs!, own!, { higher_is_better: true, bar: 1 }),
          ours: own!,
          theirs: theirs!,
          background,
        };
        for (const program of Object.values(pair)) program.release();
      }
    } finally {
      runtime.close();
    }
  },
};
