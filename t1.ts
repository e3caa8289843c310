import { createWebgpuRuntime } from "/work/wt/gpu/src/runtime/webgpu/runtime.ts";
import { input } from "./src/graph/state.ts";
import { matmul } from "./src/ops/matmul.ts";
import { add, multiply } from "./src/ops/elementwise.ts";
import { sumLast } from "./src/ops/reductions.ts";
const gpu = await createWebgpuRuntime();
async function time(name, outputs) {
  const t = performance.now();
  const p = gpu.compile({ outputs: { y: outputs } });
  const t1 = performance.now();
  p.run(); await p.read("y");
  const t2 = performance.now();
  p.run(); await p.read("y");
  console.log(name, "plan", (t1 - t) | 0, "first", (t2 - t1) | 0, "second", (performance.now() - t2) | 0);
}
const a = input("a", [50, 70]), b = input("b", [70, 33]), c = input("c", [50, 70]);
await time("add", add(a, c));
await time("mul", multiply(a, c));
await time("sumLast", sumLast(a));
await time("matmul", matmul(a, b));
await time("matmul2", matmul(b, a, { transposeA: true, transposeB: true }));
gpu.close();
