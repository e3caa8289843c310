// Question: with which GPU does the benchmark of WebGPU work, and how fast does that copy?
//
// The GPU is that of the package `webgpu`, or of the file that DAWN_NODE names, on a machine without npm. Dawn's null
// backend computes nothing at all: on it only JavaScript is left to be timed.

import { createRequire } from "node:module";
import type { WebgpuDoor } from "../../src/runtime/webgpu/adapter.ts";
import { type Timing, timing } from "./interleave.ts";

type Dawn = { create(options: string[]): GPU; globals: object };

async function dawn(): Promise<Dawn> {
  const file = process.env.DAWN_NODE;
  const found = file ? (createRequire(import.meta.url)(file) as Dawn) : ((await import("webgpu")) as unknown as Dawn);
  Object.assign(globalThis, found.globals);
  return found;
}

/** Kept as long as the process: devices do not outlive what they came from. */
const entered = new Map<string, GPU>();

/** The door to WebGPU with Dawn's options; its clock is not rounded. */
export function doorWith(...options: string[]): WebgpuDoor {
  const key = options.join(" ");
  return {
    async enter() {
      const { create } = await dawn();
      const known = entered.get(key) ?? create(["disable-dawn-features=timestamp_quantization", ...options]);
      entered.set(key, known);
      return known;
    },
    remedy: "Install the driver of your GPU, with Vulkan, Metal or Direct3D 12.",
  };
}

/** Bytes a second, read and written together, of the fastest plain copy of a buffer: by a kernel of 16 bytes a thread, or by the GPU's own. */
export async function timeCopies(
  adapter: GPUAdapter,
  bytes: number,
  { rounds, repetitions }: { readonly rounds: number; readonly repetitions: number },
): Promise<readonly Timing[]> {
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: bytes / 2, usage })) as [GPUBuffer, GPUBuffer];
  const WIDTH = 256;
  const vectors = bytes / 32;
  const groups = Math.ceil(vectors / WIDTH);
  const across = Math.min(groups, 65535);
  const code = `
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> copy: array<vec4<f32>>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * ${across}u + group.x) * ${WIDTH}u + lane;
  if (i < ${vectors}u) { copy[i] = source[i]; }
}`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [from, to].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const copies: Readonly<Record<string, (encoder: GPUCommandEncoder) => void>> = {
    "plain copy, 16 bytes a thread": (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(across, Math.ceil(groups / across));
      pass.end();
    },
    "plain copy, the GPU's own": (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, bytes / 2),
  };
  const results: Timing[] = [];
  for (const [label, copy] of Object.entries(copies)) {
    const times: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const started = performance.now();
      const encoder = device.createCommandEncoder();
      for (let k = 0; k < repetitions; k++) copy(encoder);
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      if (round >= 0) times.push((performance.now() - started) / repetitions);
    }
    results.push(timing(label, times));
  }
  device.destroy();
  return results;
}
