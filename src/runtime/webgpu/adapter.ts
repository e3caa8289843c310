// Question: which GPU is there?
//
// In a page the browser has WebGPU; in Node the optional package `webgpu` (Dawn) brings it.

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

let found: Promise<GPU> | undefined;

/**
 * The door to WebGPU.
 *
 * @throws Error when this computer has none; it says what to do
 */
export function webgpu(): Promise<GPU> {
  found ??= enter();
  return found;
}

async function enter(): Promise<GPU> {
  const { navigator } = globalThis;
  if (navigator?.gpu) return navigator.gpu;
  if (typeof process === "undefined")
    throw new Error(
      "webgpu: this browser has no WebGPU, or the page is not secure (https or localhost). Take the wasm runtime.",
    );
  let dawn: { create(options: string[]): GPU; globals: object };
  try {
    const name = "webgpu";
    dawn = (await import(name)) as typeof dawn;
  } catch (error) {
    throw new Error(
      "webgpu: the package that brings WebGPU to Node is not installed (132 MiB): npm install webgpu@0.6. Or take the wasm runtime (--runtime wasm), which needs nothing.",
      { cause: error },
    );
  }
  Object.assign(globalThis, dawn.globals);
  try {
    return dawn.create([]);
  } catch (error) {
    throw new Error(
      `webgpu: WebGPU cannot start: ${error instanceof Error ? error.message : showValue(error)}. A driver with Vulkan, Metal or Direct3D 12 is needed.`,
      {
        cause: error,
      },
    );
  }
}

/** The fastest adapter, or undefined. */
export async function findAdapter(): Promise<GPUAdapter | undefined> {
  return (await (await webgpu()).requestAdapter({ powerPreference: "high-performance" })) ?? undefined;
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

/** A device with the adapter's own limits. */
export function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits = Object.fromEntries(raisedLimits.map((name) => [name, adapter.limits[name]]));
  return adapter.requestDevice({ requiredLimits });
}

/** Whether Linux shows a device of a GPU. Without one Dawn need not be loaded, which takes time and warns of Vulkan. */
function showsGpu(): boolean {
  if (typeof process === "undefined" || process.platform !== "linux") return true;
  const fs = process.getBuiltinModule?.("node:fs");
  if (!fs) return true;
  const devices = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/dri"];
  return devices.some((device) => fs.existsSync(device));
}

/** See which GPU there is, for people and for "auto". */
export async function lookForGpu(): Promise<RuntimeFound> {
  if (!showsGpu())
    return {
      available: false,
      remedy: "There is no GPU here: none of its devices is in /dev. Training runs on the processor.",
    };
  let adapter: GPUAdapter | undefined;
  try {
    adapter = await findAdapter();
  } catch (error) {
    return { available: false, remedy: error instanceof Error ? error.message : showValue(error) };
  }
  if (!adapter)
    return { available: false, remedy: "For a GPU, install its driver, with Vulkan, Metal or Direct3D 12." };
  const { vendor, architecture, description, software, features, largestBuffer, buffersOfKernel } =
    describeAdapter(adapter);
  const useful = ["shader-f16", "subgroups", "timestamp-query"].filter((feature) => features.includes(feature));
  const device = `${description || architecture} (${vendor}), buffers of at most ${showBytes(largestBuffer)}, ${buffersOfKernel} a kernel, ${useful.join(", ") || "no optional features"}`;
  if (!software) return { available: true, device };
  return {
    available: false,
    device,
    remedy: "This is no GPU: the processor plays its part, for tests. Only --runtime webgpu takes it.",
  };
}
