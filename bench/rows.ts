// Question: where does a step of few rows spend its time, and how far is that from what the machine can do?
//
//   node bench/rows.ts [--rows 1,4,16,32] [--texts N] [--position 64] [--connections residual,mhc] [--rounds 30]
//
// The decoder's program for so many rows, each the next token of a text of its own at one position (with --texts, pieces
// of so many texts), the model of `generate.*`. There is one line for each kernel: milliseconds on one thread (each task's
// best of the rounds), its share, and the roofline: the least time for its FLOPs at the speed of a large product, or for
// its bytes at the speed of a product of one row by a large matrix, whichever is longer. Of a cache only the positions that
// are seen count, of the embeddings only the rows that are read.

import { parseArgs } from "node:util";
import { createParameters } from "../src/graph/parameters.ts";
import { input, parameter } from "../src/graph/state.ts";
import { createDecoder } from "../src/model/decoder.ts";
import { languageModel } from "../src/model/language-model.ts";
import { matmul } from "../src/ops/matmul.ts";
import type { CallTime } from "../src/runtime/runtime.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { initialValues } from "../src/training/initialise.ts";
import { modelOf } from "./lib/sizes.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "1,4,16,32" },
    texts: { type: "string" },
    position: { type: "string", default: "64" },
    connections: { type: "string", default: "residual,mhc" },
    rounds: { type: "string", default: "30" },
  },
});
const SIZES = { layers: "4", channels: "256", heads: "8", tokens: "256", vocabulary: "1024", threads: "1" };
const position = Number(values.position);

/** FLOPs, or bytes of the matrix, of a product a millisecond; the best of some. */
function productSpeed(runtime: WasmRuntime, rows: number, inner: number, columns: number, work: number): number {
  const [a, b] = [input("roof.a", [rows, inner]), parameter("roof.b", [inner, columns])];
  const program = runtime.compile({ outputs: { c: matmul(a, b) }, updates: [], steady: true });
  let best = Infinity;
  for (let turn = 0; turn < 40; turn++) {
    const began = performance.now();
    program.run();
    best = Math.min(best, performance.now() - began);
  }
  program.release();
  for (const tensor of [a, b]) runtime.forget(tensor);
  return work / best;
}

async function profile(connection: string, rows: number): Promise<void> {
  const config = modelOf({ ...SIZES, connection });
  const runtime = await createWasmRuntime({ threads: 1 });
  const flopsSpeed = productSpeed(runtime, 480, 768, 768, 2 * 480 * 768 * 768);
  const byteSpeed = productSpeed(runtime, 1, 1024, 4096, 4 * 1024 * 4096);
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  for (const each of parameters.all) runtime.write(each.tensor, initialValues(each, 1));
  let latest: { profile(rounds?: number): CallTime[] } | undefined;
  const watched = new Proxy(runtime, {
    get(of, name) {
      if (name !== "compile") return Reflect.get(of, name) as unknown;
      return (...given: Parameters<WasmRuntime["compile"]>) => (latest = of.compile(...given));
    },
  });
  const texts = Number(values.texts ?? rows);
  const decoder = createDecoder(watched, model, texts);
  const piece = Math.ceil(rows / texts);
  const read = Array.from({ length: rows }, (_, row) => ({
    slot: Math.floor(row / piece),
    position: position + (row % piece),
    token: (7 * row + 3) % config.vocabulary,
  }));
  for (let turn = 0; turn < 20; turn++) await decoder.read(read, rows);
  latest!.profile(20);
  const times = latest!.profile(Number(values.rounds));

  const seen = read.reduce((sum, row) => sum + row.position + 1, 0) / rows;
  /** Of a cache and of a table: what is read. */
  const usedShare: Readonly<Record<string, number>> = {
    cachedAttention: seen / config.context,
    gather: rows / config.vocabulary,
  };
  const groups = Map.groupBy(times, ({ call }) => call.kernel);
  const lines = [...groups].map(([kernel, calls]) => {
    const share = usedShare[kernel] ?? 1;
    const flops = share * calls.reduce((sum, { call }) => sum + call.flops, 0);
    const bytes = share * calls.reduce((sum, { call }) => sum + operandBytes(call.operands), 0);
    const ms = calls.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    return { kernel, ms, roof: Math.max(flops / flopsSpeed, bytes / byteSpeed) };
  });
  const all = lines.reduce((sum, { ms }) => sum + ms, 0);
  process.stdout.write(
    `\n${connection}, ${rows} rows of ${texts} texts at ${position}: ${all.toFixed(3)} ms; roof of ${(flopsSpeed / 1e6).toFixed(0)} GFLOP/s and ${(byteSpeed / 1e6).toFixed(0)} GB/s\n`,
  );
  for (const { kernel, ms, roof } of lines.sort((a, b) => b.ms - a.ms).slice(0, 8))
    process.stdout.write(
      `${kernel.padEnd(22)} ${ms.toFixed(4)} ms  ${((100 * ms) / all).toFixed(1).padStart(5)} %  roofline ${roof.toFixed(4)} ms\n`,
    );
  runtime.close();
}

/** Bytes of every buffer that a call touches, each counted once. */
function operandBytes(operands: CallTime["call"]["operands"]): number {
  const buffers = new Set(operands.flatMap((operand) => operand?.buffer ?? []));
  return [...buffers].reduce((sum, { bytes }) => sum + bytes, 0);
}

for (const connection of values.connections.split(","))
  for (const rows of values.rows.split(",")) await profile(connection, Number(rows));
