import { describe, expect, it } from "vitest";
import { startPeer } from "../../bench/lib/peer.ts";
import { stream, streamInputs, streamKernels, trafficBytes } from "../../bench/stream.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram } from "../../src/runtime/wasm/runtime.ts";

const sizes = { tokens: 50, streams: 4, channels: 24 };

/** Bytes of all state that a program reads and all outputs it leaves. */
function bytesOf({ plan }: WasmProgram): number {
  const buffers = new Set(
    plan.phases
      .flat()
      .flatMap(({ calls }) => calls.flatMap(({ operands }) => operands.flatMap((o) => o?.buffer ?? []))),
  );
  const outputs = new Set(plan.outputs.values());
  return [...buffers]
    .filter((buffer) => buffer.state || outputs.has(buffer))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

describe("stream kernels", () => {
  it.each([
    ["read", "streamRead"],
    ["write", "streamWrite"],
    ["read backward", "streamReadBackward"],
    ["write backward", "streamWrite"], // in two calls
  ] as const)("measures %s alone, and counts each byte it touches once", async (name, prefix) => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const { traffic, outputs } = streamKernels.find((kernel) => kernel.name === name)!;
    const program = runtime.compile({ outputs: outputs(streamInputs(runtime, sizes)) });
    const kernels = program.plan.calls.map(({ kernel }) => kernel);
    expect(kernels.filter((kernel) => !kernel.startsWith(prefix))).toEqual([]);
    expect(kernels.length).toBeGreaterThan(0);
    expect(bytesOf(program)).toBe(trafficBytes(traffic, sizes));
    runtime.close();
  });

  it.each(["seam", "seam and its backward"])("counts no bytes for %s that it could do without", async (name) => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const { traffic, outputs } = streamKernels.find((kernel) => kernel.name === name)!;
    const inputs = streamInputs(runtime, sizes);
    const program = runtime.compile({ outputs: outputs(inputs) });
    program.run();
    for (const output of Object.keys(outputs(inputs)))
      expect(program.readNow(output).every(Number.isFinite)).toBe(true);
    // The weights are small and stay in the cache; what the backward pass must read again is at most everything once more.
    const [touched, counted] = [bytesOf(program), trafficBytes(traffic, sizes)];
    expect(counted).toBeLessThanOrEqual(2 * touched);
    expect(counted).toBeGreaterThan(0.5 * touched);
    runtime.close();
  });

  it("has a figure for each kernel", () => {
    expect(stream.names).toContain("stream.bandwidth_share");
    expect(stream.names).toContain("stream.bandwidth_share.write_backward");
  });
});

it("gives Sinkhorn's gradient to the peer protocol", async () => {
  const script = new URL("../../bench/peers/our-sinkhorn.ts", import.meta.url);
  const peer = await startPeer(script, ["--matrices", "33", "--threads", "1"]);
  if ("skipped" in peer) throw new Error(peer.skipped);
  const reply = await peer.run({ op: "sinkhorn", count: 2 });
  expect(reply.ms).toHaveLength(2);
  expect(reply.corner).toBeCloseTo(lastOfGradient(33), 5);
  await peer.close();
});

/** Central differences of <g, Sinkhorn(L)> with respect to the last logit of the last matrix, in float64. */
function lastOfGradient(matrices: number): number {
  const first = 16 * (matrices - 1);
  const entries = (of: (k: number) => number): number[] => Array.from({ length: 16 }, (_, k) => of(first + k));
  const logits = entries((k) => (((7 * k + 3 * (matrices - 1)) % 13) - 6) / 4);
  const upstream = entries((k) => (((5 * k + 11 * (matrices - 1)) % 17) - 8) / 8);
  const value = (change: number): number => {
    const m = logits.map((l, k) => Math.exp(k === 15 ? l + change : l));
    for (let t = 0; t < 20; t++) {
      for (const index of [(line: number, k: number) => 4 * k + line, (line: number, k: number) => 4 * line + k]) {
        for (let line = 0; line < 4; line++) {
          const places = [0, 1, 2, 3].map((k) => index(line, k));
          const sum = places.reduce((total, at) => total + m[at]!, 0);
          for (const at of places) m[at]! /= sum;
        }
      }
    }
    return m.reduce((sum, entry, k) => sum + entry * upstream[k]!, 0);
  };
  return (value(1e-5) - value(-1e-5)) / 2e-5;
}
