import { cases } from "/work/wt/gpu/test/ops/cases/all.ts";
import { buildCase, relativeError, runCase } from "/work/wt/gpu/test/ops/harness.ts";
import { createReferenceRuntime } from "/work/wt/gpu/src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "/work/wt/gpu/src/runtime/webgpu/runtime.ts";
const only = process.argv[2];
const gpu = await createWebgpuRuntime();
console.log(gpu.adapter);
let bad = 0, n = 0; const t0 = performance.now();
for (const c of cases) {
  if (only && !new RegExp(only).test(c.name)) continue;
  n++;
  const t = performance.now();
  try {
    const built = buildCase(c);
    const expected = runCase(createReferenceRuntime(), built);
    const program = gpu.compile({ outputs: built.outputs });
    for (const [tensor, values] of built.inputs) gpu.write(tensor, values);
    program.run();
    for (const [name, values] of Object.entries(expected)) {
      const actual = await program.read(name);
      const tol = name.startsWith("gradient") ? c.tolerance?.gradient ?? 1e-4 : c.tolerance?.forward ?? 1e-5;
      const e = relativeError(actual as any, values);
      if (!(e < tol)) { bad++; console.log("BAD", c.name, name, e); }
    }
    program.release();
  } catch (error) { bad++; console.log("ERR", c.name, (error as Error).message.slice(0, 400)); }
  const ms = performance.now() - t; if (ms > 2000) console.log("slow", c.name, ms | 0);
}
console.log(n, "cases", bad, "bad", ((performance.now() - t0) / 1000).toFixed(1), "s");
gpu.close();
