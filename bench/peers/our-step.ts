// Question: what does one training step cost here, in this library?
//
//   node bench/peers/our-step.ts --connection mhc --layers 4 --channels 256 --heads 8 \
//       --tokens 256 --batch 8 --vocabulary 1024 --threads 2
//
// The same protocol and the same model as `serve.py step`. What is timed is `trainStep` of the trainer
// that `birkhoff train` uses: draw a batch, write it into the runtime's memory, run the compiled step
// (forward, backward, clipping, AdamW), read the loss and the gradient norm.

import { parseArgs } from "node:util";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { inventedBatches } from "../lib/invented-batches.ts";
import type { Reply } from "../lib/peer.ts";
import { ourHello } from "../lib/ours.ts";
import { serve, type Work } from "../lib/serve.ts";
import { modelOf, sizeOptions } from "../lib/sizes.ts";

const { values } = parseArgs({
  options: {
    ...sizeOptions,
    batch: { type: "string", default: "8" },
    precision: { type: "string", default: "float32" },
  },
});

function trainingConfig(): TrainingConfig {
  const model = modelOf(values);
  return parseTrainingConfig({
    name: "bench",
    data: { source: "-", vocabulary: model.vocabulary },
    model,
    batch: Number(values.batch),
    precision: values.precision,
    steps: 1_000_000,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1_000_000,
    checkpointEvery: 1_000_000,
  });
}

/** The same runtime, with a clock around every call into WebAssembly that runs a program. */
function withClock(runtime: WasmRuntime): { runtime: WasmRuntime; elapsed(): number } {
  let total = 0;
  return {
    runtime: {
      ...runtime,
      compile(spec, options) {
        const program = runtime.compile(spec, options);
        const run = (): void => {
          const started = performance.now();
          program.run();
          total += performance.now() - started;
        };
        return { ...program, run };
      },
    },
    elapsed: () => total,
  };
}

async function start(): Promise<Work> {
  const config = trainingConfig();
  const batches = inventedBatches(config);
  const threads = Number(values.threads);

  const started = performance.now();
  const clock = withClock(await createWasmRuntime({ threads }));
  const { runtime } = clock;
  const trainer = createTrainer(runtime, config, batches);
  const { loss } = await trainer.trainStep();
  const cold_seconds = (performance.now() - started) / 1000;

  const run = async (): Promise<Partial<Reply>> => {
    const before = clock.elapsed();
    const started = performance.now();
    const { loss } = await trainer.trainStep();
    const step_ms = performance.now() - started;
    return { loss, step_ms, javascript_ms: step_ms - (clock.elapsed() - before) };
  };
  return {
    hello: {
      ...ourHello(runtime, threads),
      parameters: trainer.parameterCount,
      start_seconds: started / 1000,
      cold_seconds,
      loss,
    },
    run,
  };
}

await serve("step", start);
