// Question: when a training run does not fit, what would make it fit?
//
// This tries twice the GPUs, half the sequences or tokens of a micro-batch, moments in bfloat16, and, where the
// user fixed P or E, a free choice of them; each with the layout that is then best.

import type { PlannedModel } from "./architecture.ts";
import type { LayoutWishes } from "./layout.ts";
import { chooseLayout, type PrecisionName, precisions } from "./gpu-memory.ts";

/** One change, and the memory of the fullest GPU with it. */
export interface Reduction {
  readonly change: string;
  readonly bytes: number;
  readonly fits: boolean;
}

/** What reduces the memory of mHC with recomputation the most, the best first. */
export function reductions(
  model: PlannedModel,
  wishes: LayoutWishes,
  precision: PrecisionName,
  memoryBytes: number,
): Reduction[] {
  const { gpus, sharded, microBatch, pipeline, expert } = wishes;
  const free = { gpus, sharded, microBatch };
  const half = Math.ceil(model.context / 2);
  const tried: readonly (
    | readonly [change: string, model: PlannedModel, wishes: LayoutWishes, PrecisionName]
    | false
  )[] = [
    [`--gpus ${2 * gpus}`, model, { ...wishes, gpus: 2 * gpus }, precision],
    microBatch > 1 && [
      `--micro-batch ${Math.ceil(microBatch / 2)}`,
      model,
      { ...wishes, microBatch: Math.ceil(microBatch / 2) },
      precision,
    ],
    microBatch === 1 && [`--context ${half}`, { ...model, context: half }, wishes, precision],
    precision === "mixed" && ["--precision mixed-bf16-moments", model, wishes, "mixed-bf16-moments"],
    precision === "float32" && ["--precision mixed", model, wishes, "mixed"],
    !sharded && ["without --no-sharded", model, { ...wishes, sharded: true }, precision],
    (pipeline !== undefined || expert !== undefined) && ["without --pipeline and --expert", model, free, precision],
  ];
  return tried
    .filter((each) => each !== false)
    .map(([change, changed, wishes, name]) => {
      const { bytes } = chooseLayout(changed, wishes, precisions[name], memoryBytes);
      return { change, bytes, fits: bytes <= memoryBytes };
    })
    .sort((a, b) => a.bytes - b.bytes);
}
