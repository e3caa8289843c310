// Question: how do kernels become pipelines, all at the same time?
//
// A module that was compiled once is kept for the runtime's life, so programs with the same kernels share it. While
// any is being compiled, orders wait in their turn.

export interface Pipelines {
  /**
   * The pipeline of a module, which is compiled unless it has been.
   *
   * @param bindings how many it has
   * @param table whether the first is only read
   */
  request(label: string, code: string, bindings: number, table: boolean): PipelineSlot;
  layout(bindings: number, table: boolean): GPUBindGroupLayout;
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
  const layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  let waiting = 0;
  let failed: Error | undefined;
  const layoutsFor = (bindings: number, table: boolean): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } => {
    const key = `${bindings} ${table}`;
    const known = layouts.get(key);
    if (known) return known;
    const group = device.createBindGroupLayout({
      entries: Array.from({ length: bindings }, (_, binding) => ({
        binding,
        visibility: 4, // GPUShaderStage.COMPUTE, which is not there before the package is.
        buffer: { type: table && binding === 0 ? ("read-only-storage" as const) : ("storage" as const) },
      })),
    });
    const made = { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) };
    layouts.set(key, made);
    return made;
  };
  return {
    layout: (bindings, table) => layoutsFor(bindings, table).group,
    compiling: () => waiting,
    count: () => slots.size,
    request(label, code, bindings, table) {
      const known = slots.get(code);
      if (known) return known;
      const slot: PipelineSlot = { pipeline: undefined };
      slots.set(code, slot);
      waiting++;
      const { pipeline: layout } = layoutsFor(bindings, table);
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
