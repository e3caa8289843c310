// Question: how fast does this library make 4 x 4 matrices doubly stochastic, forward and backward?
//
//   node bench/peers/our-sinkhorn.ts --matrices 8192 --threads 2
//
// The same protocol and the same numbers as `serve.py sinkhorn`. What is timed is one run of a compiled
// program whose outputs are the matrices and the gradient of the logits.

import { parseArgs } from "node:util";
import { input } from "../../src/graph/state.ts";
import { apply } from "../../src/graph/tensor.ts";
import { sinkhorn, sinkhornBackwardOperation } from "../../src/ops/sinkhorn.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { serve, type Work } from "../lib/serve.ts";

const ITERATIONS = 20;
const N = 4;

async function start(): Promise<Work> {
  const { values } = parseArgs({
    options: { matrices: { type: "string", default: "8192" }, threads: { type: "string", default: "2" } },
  });
  const [matrices, threads] = [Number(values.matrices), Number(values.threads)];
  const runtime = await createWasmRuntime({ threads });
  const logits = input("logits", [matrices, N, N]);
  const upstream = input("upstream", [matrices, N, N]);
  const result = sinkhorn(logits, { iterations: ITERATIONS });
  const gradient = apply(sinkhornBackwardOperation, { logits, g: upstream }, { iterations: ITERATIONS }).dlogits;
  const program = runtime.compile({ outputs: { result, gradient } });

  const size = matrices * N * N;
  const entries = (entry: (k: number, matrix: number) => number): Float32Array =>
    Float32Array.from({ length: size }, (_, k) => entry(k, Math.floor(k / (N * N))));
  runtime.write(
    logits,
    entries((k, matrix) => (((7 * k + 3 * matrix) % 13) - 6) / 4),
  );
  runtime.write(
    upstream,
    entries((k, matrix) => (((5 * k + 11 * matrix) % 17) - 8) / 8),
  );
  program.run();
  const corner = program.readNow("gradient")[size - 1]!;
  return {
    hello: { peer: "birkhoff", versions: { kernels: runtime.build }, threads },
    async run() {
      program.run();
      return { corner };
    },
  };
}

await serve("sinkhorn", start);
