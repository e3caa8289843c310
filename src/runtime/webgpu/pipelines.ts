// Question: how do kernels become pipelines, all at the same time?
//
// A module that was compiled once is kept for the runtime's life, so programs with the same kernels share it. One that
// does not compile is the concern of the programs that need it, and is tried again for the next.

export interface Pipelines {
  /**
   * The pipeline of a module, which is compiled unless it has been.
   *
   * @param sizes of what it works on, in words
   * @param bindings how many it has
   * @param table whether the first is only read
   */
  request(label: string, sizes: () => string, code: string, bindings: number, table: boolean): PipelineSlot;
  layout(bindings: number, table: boolean): GPUBindGroupLayout;
  /** How many there are. */
  count(): number;
}

/** A pipeline that is being compiled, and then is there. */
export interface PipelineSlot {
  pipeline?: GPUComputePipeline;
  /** Why there is none. */
  error?: Error;
  /** Settles when there is the one or the other; does not reject. */
  readonly settled: Promise<void>;
}

export function createPipelines(device: GPUDevice): Pipelines {
  const slots = new Map<string, PipelineSlot>();
  const layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
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
    count: () => slots.size,
    request(label, sizes, code, bindings, table) {
      const known = slots.get(code);
      if (known) return known;
      const { pipeline: layout } = layoutsFor(bindings, table);
      const compile = async (): Promise<void> => {
        device.pushErrorScope("validation");
        const module = device.createShaderModule({ code, label });
        const scope = device.popErrorScope();
        try {
          slot.pipeline = await device.createComputePipelineAsync({
            label,
            layout,
            compute: { module, entryPoint: "main" },
          });
        } catch (error) {
          slots.delete(code);
          // What is wrong with its text says more than that a pipeline cannot be made of it.
          const told = (await scope.catch(() => undefined)) ?? error;
          const why = told instanceof Error || told instanceof GPUError ? told.message.trim() : "no reason is given";
          slot.error = new Error(
            `webgpu: the kernel of ${label} (${sizes()}) does not compile on this GPU: ${why}. ` +
              "Please report it with the output of birkhoff doctor; the wasm runtime computes the same.",
            { cause: error },
          );
        }
      };
      const slot: PipelineSlot = { settled: Promise.resolve().then(compile) };
      slots.set(code, slot);
      return slot;
    },
  };
}
