// Question: which GPU is there?
//
// In a page the browser has WebGPU; in Node the optional package `webgpu` (Dawn) brings it.

import { showValue } from "../../basics/show.ts";

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
      "webgpu: the package that brings WebGPU to Node is not installed (132 MB): npm install webgpu. Or take the wasm runtime, which needs nothing.",
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

/** Whether there is an adapter that is no software; without WebGPU there is none. */
export async function hasHardware(): Promise<boolean> {
  try {
    const adapter = await findAdapter();
    return adapter !== undefined && !isSoftware(adapter);
  } catch {
    return false;
  }
}
