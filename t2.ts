import { dispatchesOf } from "./src/runtime/gpu/fuse.ts";
import { gpuMachine } from "./src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "./src/runtime/plan/compile.ts";
import { makeStep } from "./src/training/step.ts";
import { shaderText } from "./src/runtime/webgpu/shader.ts";
import { parseTrainingConfig } from "./src/training.ts";
import { readFileSync } from "node:fs";
const base = JSON.parse(readFileSync("/tmp/gw/runs/wasm/config.json", "utf8"));
const mk = (connection: any, layers: number) => ({ ...(base.config ?? base), model: { ...(base.config ?? base).model, layers, connection: connection.kind==="residual" ? connection : {...connection, streams: 4} } });
console.log(JSON.stringify(base).slice(0,600)); for (const kind of ["residual","mhc","hc"]) for (const layers of [2, 4]) {
  const { graph } = makeStep(mk({ kind }, layers));
  const machine = gpuMachine({ name: "webgpu", largestMemory: 2 ** 30, alignment: 256 });
  const memory = withoutMemory();
  const t = performance.now();
  const plan = compilePlan(graph.programs.micro, machine, memory);
  const d = dispatchesOf(plan, 12);
  const texts = new Map<string, number>();
  const labels = new Map<string, number>();
  for (const x of d) { const code = shaderText(x.kernel, x.buffers.map((_, i) => i)); texts.set(code, (texts.get(code) ?? 0) + 1); const l = x.calls.map(c => c.kernel).join("+"); labels.set(l, (labels.get(l) ?? 0) + 1); }
  console.log(kind, layers, "calls", plan.calls.length, "dispatches", d.length, "texts", texts.size, "ms", (performance.now() - t) | 0);
  if (layers === 2 && kind !== "hyper") console.log([...labels].sort((a, b) => b[1] - a[1]).map(([k, n]) => n + " " + k).join("\n"));
}
