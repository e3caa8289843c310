// Question: what does one training step of a small mixture of experts cost here?
//
//   npx node bench/peers/our-moe.ts --model /tmp/model.bin --connection mhc --threads 2
//
// It has the same protocol as `serve.py moe`. That program draws the same batches, and reads the model's sizes and first
// values from the file that this one writes before it is ready.

import { parseArgs } from "node:util";
import { parameterCount } from "../../src/graph/parameters.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { createStepper, mixture, type MoeConnection, writeModel } from "../lib/moe-step.ts";
import { ourHello } from "../lib/ours.ts";
import { serve, type Work } from "../lib/serve.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    connection: { type: "string", default: "residual" },
    threads: { type: "string", default: "2" },
  },
});

const connections: readonly MoeConnection[] = ["residual", "mhc"];

async function start(): Promise<Work> {
  const threads = Number(values.threads);
  const connection = connections.find((known) => known === values.connection);
  if (!connection) throw new Error(`--connection ${values.connection} is unknown; use ${connections.join(" or ")}.`);
  const runtime = await createWasmRuntime({ threads });
  const { parameters, step } = createStepper(runtime, mixture, connection);
  if (values.model !== undefined) writeModel(values.model, parameters, connection);
  const loss = step();
  return {
    hello: {
      ...ourHello(runtime, threads),
      parameters: parameterCount(parameters),
      loss,
    },
    run: async () => ({ loss: step() }),
  };
}

await serve("moe", start);
