// Question: how long does it take from the start of a process to the first loss of a training by CUDA?
//
//   node our-cuda-start.ts CONFIG     prints {"seconds": …, "loss": …}

import { createCudaRuntime } from "../../src/runtime/cuda/runtime.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { inventedBatches } from "../lib/invented-batches.ts";

const config = parseTrainingConfig(JSON.parse(process.argv[2] ?? "{}"));
const runtime = await createCudaRuntime();
const trainer = createTrainer(runtime, config, inventedBatches(config));
const { loss } = await trainer.trainStep();
process.stdout.write(`${JSON.stringify({ seconds: performance.now() / 1000, loss })}\n`);
runtime.close();
