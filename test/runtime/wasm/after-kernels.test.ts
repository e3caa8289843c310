// What a host does when kernels have run on the calling thread.

import { expect, test } from "vitest";
import { input } from "../../../src/graph/state.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";
import { startWasmRuntime } from "../../../src/runtime/wasm/runtime.ts";

test("the host is called after every run and every profile, and once before the first", async () => {
  let turns = 0;
  const runtime = await startWasmRuntime({ ...nodeHost, afterKernels: () => turns++ }, { threads: 1 });
  expect(turns).toBe(1);
  const x = input("x", [3]);
  const program = runtime.compile({ outputs: { y: add(x, x) } });
  runtime.write(x, new Float32Array([1, 2, 3]));
  const before = turns;
  program.run();
  program.run();
  expect(turns).toBe(before + 2);
  // Not within: its times are those of the kernels.
  program.profile(3);
  expect(turns).toBe(before + 3);
  runtime.close();
});
