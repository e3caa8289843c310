// Question: how fast is the product of two float32 matrices here, in this library?
//
//   node bench/peers/our-gemm.ts --size 1024 --threads 1
//
// The same protocol and the same integers as `serve.py gemm`. What is timed is one run of a compiled
// program: B is packed and C = A B computed, as in a training step.

import { parseArgs } from "node:util";
import { input } from "../../src/graph/state.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { slice } from "../../src/ops/slice.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { ourHello } from "../lib/ours.ts";
import { serve, type Work } from "../lib/serve.ts";

/** A matrix [n, n] of small integers: sums of their products are exact in float32. */
function matrix(n: number, entry: (i: number, j: number) => number): Float32Array {
  return Float32Array.from({ length: n * n }, (_, k) => entry(Math.floor(k / n), k % n));
}

/** M v in float64. */
function times(m: Float32Array, v: Float64Array): Float64Array {
  const n = v.length;
  return v.map((_, i) => v.reduce((sum, x, j) => sum + m[i * n + j]! * x, 0));
}

/** Freivalds' check of a product, exact for integers: C v = A (B v). */
function checkProduct(a: Float32Array, b: Float32Array, c: Float32Array, n: number): void {
  const v = new Float64Array(n).map((_, i) => ((i * 7919) % 8191) - 4095);
  const expected = times(a, times(b, v));
  const wrong = times(c, v).findIndex((x, i) => x !== expected[i]);
  if (wrong >= 0) throw new Error(`Row ${wrong} of the ${n} x ${n} product is not what exact arithmetic gives.`);
}

async function start(): Promise<Work> {
  const { values } = parseArgs({
    options: { size: { type: "string", default: "1024" }, threads: { type: "string", default: "1" } },
  });
  const n = Number(values.size);
  const threads = Number(values.threads);
  const runtime = await createWasmRuntime({ threads });

  const a = input("a", [n, n]);
  const b = input("b", [n, n]);
  const c = matmul(a, b);
  const corner = slice(slice(c, 0, n - 1, 1), 1, n - 1, 1);
  const program = runtime.compile({ outputs: { c, corner } });

  const aValues = matrix(n, (i, j) => ((7 * i + 3 * j) % 13) - 6);
  const bValues = matrix(n, (i, j) => ((5 * i + 11 * j) % 17) - 8);
  runtime.write(a, aValues);
  runtime.write(b, bValues);
  program.run();
  checkProduct(aValues, bValues, Float32Array.from(program.readNow("c")), n);

  const run = async (): Promise<{ corner: number }> => {
    program.run();
    return { corner: program.readNow("corner")[0]! };
  };
  return { hello: ourHello(runtime, threads), run };
}

await serve("gemm", start);
