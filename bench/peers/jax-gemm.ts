// Question: how fast is the product of two float32 matrices in jax-js, on its WebAssembly backend?
//
//   node bench/peers/jax-gemm.ts --size 1024
//
// The same protocol and the same integers as `serve.py gemm`. In Node it uses one thread.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Skip, serve, type Work } from "../lib/serve.ts";

async function load(): Promise<typeof import("@jax-js/jax")> {
  try {
    return await import("@jax-js/jax");
  } catch (error) {
    throw new Skip(`@jax-js/jax cannot be imported (${(error as Error).message.split("\n")[0]}); run npm ci`);
  }
}

function version(): string {
  const file = new URL("../package.json", import.meta.resolve("@jax-js/jax"));
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

async function start(): Promise<Work> {
  const { values } = parseArgs({ options: { size: { type: "string", default: "1024" } } });
  const n = Number(values.size);
  const jax = await load();
  if (!(await jax.init("wasm")).includes("wasm")) throw new Skip("@jax-js/jax has no WebAssembly backend here");
  jax.defaultDevice("wasm");

  const matrix = (entry: (i: number, j: number) => number) =>
    jax.numpy.array(Float32Array.from({ length: n * n }, (_, k) => entry(Math.floor(k / n), k % n))).reshape([n, n]);
  const a = matrix((i, j) => ((7 * i + 3 * j) % 13) - 6);
  const b = matrix((i, j) => ((5 * i + 11 * j) % 17) - 8);

  const product = async () => jax.numpy.matmul(a.ref, b.ref).blockUntilReady();
  const corner = ((await (await product()).data()) as Float32Array)[n * n - 1]!;
  const run = async (): Promise<{ corner: number }> => {
    (await product()).dispose();
    return { corner };
  };
  return { hello: { peer: "jax-js", versions: { "jax-js": version() }, threads: 1 }, run };
}

await serve("gemm", start);
