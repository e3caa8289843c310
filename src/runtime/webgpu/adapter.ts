// Question: which GPU is there?
//
// A page has WebGPU from its browser, Node from a package: page/ and node/ each have a door to it.

import { showBytes, showValue } from "../../basics/show.ts";
import type { RuntimeFound } from "../runtime.ts";

/** What is worth saying of an adapter. */
export interface AdapterListing {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Computed by the processor: right, and slow. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly largestBuffer: number;
  readonly largestBinding: number;
  readonly buffersOfKernel: number;
}

/** The limits that programs are planned with; as large as the adapter has them. */
const raisedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/** The way to WebGPU. */
export interface WebgpuDoor {
  /** Throws an Error that says what to do where there is no WebGPU. */
  enter(): Promise<GPU>;
  /** What to do where there is WebGPU, and no GPU. */
  readonly remedy: string;
}

/** The fastest adapter, or undefined. */
export async function findAdapter(door: WebgpuDoor): Promise<GPUAdapter | undefined> {
  return (await (await door.enter()).requestAdapter({ powerPreference: "high-performance" })) ?? undefined;
}

/** The fastest adapter; throws an Error that says what to do where there is none. */
export async function expectAdapter(door: WebgpuDoor): Promise<GPUAdapter> {
  const adapter = await findAdapter(door);
  if (adapter) return adapter;
  throw new Error(
    `webgpu: there is no GPU that WebGPU can use. ${door.remedy} Or take the wasm runtime, which needs none.`,
  );
}

/** Whether the processor plays the part of the GPU. */
export function isSoftware({ info }: GPUAdapter): boolean {
  const fallback = "isFallbackAdapter" in info && info.isFallbackAdapter;
  return (
    fallback ||
    /swiftshader|llvmpipe|lavapipe|warp|basic render/i.test(`${info.architecture} ${info.device} ${info.description}`)
  );
}

export function describeAdapter(adapter: GPUAdapter): AdapterListing {
  const { vendor, architecture, description, device } = adapter.info;
  return {
    vendor,
    architecture,
    description: description || device,
    software: isSoftware(adapter),
    features: [...adapter.features].sort(),
    largestBuffer: adapter.limits.maxBufferSize,
    largestBinding: adapter.limits.maxStorageBufferBindingSize,
    buffersOfKernel: adapter.limits.maxStorageBuffersPerShaderStage,
  };
}

/** What a device is asked to have where the adapter has it. */
const wishedFeatures = ["timestamp-query"] as const;

/** A device with the adapter's own limits. */
export function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits = Object.fromEntries(raisedLimits.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = wishedFeatures.filter((feature) => adapter.features.has(feature));
  return adapter.requestDevice({ requiredLimits, requiredFeatures });
}

/** See which GPU there is, for people and for "auto". */
export async function lookForGpu(door: WebgpuDoor): Promise<RuntimeFound> {
  let adapter: GPUAdapter | undefined;
  try {
    adapter = await findAdapter(door);
  } catch (error) {
    return { available: false, remedy: error instanceof Error ? error.message : showValue(error) };
  }
  if (!adapter) return { available: false, remedy: door.remedy };
  const { vendor, architecture, description, software, features, largestBuffer, buffersOfKernel } =
    describeAdapter(adapter);
  const useful = ["shader-f16", "subgroups", "timestamp-query"].filter((feature) => features.includes(feature));
  const device = `${description || architecture} (${vendor}), buffers of at most ${showBytes(largestBuffer)}, ${buffersOfKernel} a kernel, ${useful.join(", ") || "no optional features"}`;
  if (!software) return { available: true, device };
  return {
    available: false,
    device,
    remedy: "This is no GPU: the processor plays its part, for tests. It is taken only if webgpu is asked for by name.",
  };
}
