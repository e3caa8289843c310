// Question: how do kernels become pipelines, all at the same time?
//
// A module that was compiled once is kept for the runtime's life, so programs with the same kernels share it. While
// any is being compiled, orders wait in their turn.

import type { Dispatch } from "../gpu/fuse.ts";
import { shaderText } from "./shader.ts";

export interface Pipelines {
  /** The pipeline of a kernel; it is there when `ready` says so. */
  request(dispatch: Dispatch, bindings: readonly number[]): PipelineSlot;
  layout(bindings: number): GPUBindGroupLayout;
  /** How many are being compiled. */
  compiling(): number;
  count(): number;
}

/** A pipeline that is being compiled, and then is there. */
export interface PipelineSlot {
  pipeline: GPUComputePipeline | undefined;
}

/**
 * @param settled called when nothing is being compiled any more, with what went wrong
 */
export function createPipelines(device: GPUDevice, settled: (error: Error | undefined) => void): Pipelines {
  const slots = new Map<string, PipelineSlot>();
  const layouts = new Map<number, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  let waiting = 0;
  let failed: Error | undefined;
  const layoutsFor = (bindings: number): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } => {
    const known = layouts.get(bindings);
    if (known) return known;
    const group = device.createBindGroupLayout({
      entries: Array.from({ length: bindings }, (_, binding) => ({
        binding,
        visibility: 4, // GPUShaderStage.COMPUTE, which is not there before the package is.
        buffer: { type: "storage" as const },
      })),
    });
    const made = { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) };
    layouts.set(bindings, made);
    return made;
  };
  return {
    layout: (bindings) => layoutsFor(bindings).group,
    compiling: () => waiting,
    count: () => slots.size,
    request({ label, kernel }, bindings) {
      const code = shaderText(kernel, bindings);
      const known = slots.get(code);
      if (known) return known;
      const slot: PipelineSlot = { pipeline: undefined };
      slots.set(code, slot);
      waiting++;
      const { pipeline: layout } = layoutsFor(new Set(bindings).size);
      const compile = async (): Promise<void> => {
        try {
          const module = device.createShaderModule({ code, label });
          slot.pipeline = await device.createComputePipelineAsync({
            label,
            layout,
            compute: { module, entryPoint: "main" },
          });
        } catch (error) {
          slots.delete(code);
          failed ??= new Error(
            `webgpu: the kernel of ${label} does not compile on this GPU: ${error instanceof Error ? error.message : "no reason is given"}. ` +
              "Please report it with the output of birkhoff doctor; the wasm runtime computes the same.",
            { cause: error },
          );
        }
        if (--waiting === 0) {
          const error = failed;
          failed = undefined;
          settled(error);
        }
      };
      void compile();
      return slot;
    },
  };
}
