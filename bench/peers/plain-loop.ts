// Question: how evenly does the machine itself run?
//
//   npx node bench/peers/plain-loop.ts --written 2048
//
// The same protocol as `our-generate.ts`: for each "token" a fixed loop of arithmetic on one thread, over
// numbers that stay in its first-level cache. It waits for no other thread and for no memory, so its times differ only
// because of other programs and a hypervisor.

import { parseArgs } from "node:util";
import { serve, type Work } from "../lib/serve.ts";

const { values } = parseArgs({
  options: { written: { type: "string", default: "2048" }, op: { type: "string", default: "generate" } },
});

/** Iterations for about half a millisecond, like one token. */
const PASSES = 25;
const numbers = new Float64Array(2048).fill(1.0001);
let sum = 1;

function loop(): void {
  for (let pass = 0; pass < PASSES; pass++) for (let i = 0; i < numbers.length; i++) sum = 0.999 * sum + numbers[i]!;
}

async function start(): Promise<Work> {
  const run = (count: number): number[] =>
    Array.from({ length: count }, () => {
      const began = performance.now();
      loop();
      return performance.now() - began;
    });
  run(500);
  return {
    hello: { peer: "plain loop", versions: { passes: String(PASSES) }, threads: 1 },
    run: async () => ({ token_ms: run(Number(values.written)) }),
  };
}

await serve(values.op, start);
