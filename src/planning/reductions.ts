// Question: when a training run does not fit, what would make it fit?
//
// This tries twice the GPUs, half the sequences or tokens of a micro-batch, moments in bfloat16, further stages of ZeRO,
// the next cuts by tensor and context parallelism, and, where the user fixed P or E, a free choice of them; each with the
// layout that is then best. Where none of these is enough, it looks for the fewest GPUs that are, with ZeRO-3 and up to
// eight tensor parts.

import type { PlannedModel } from "./architecture.ts";
import type { LayoutWishes } from "./layout.ts";
import { chooseLayout, type PrecisionName, precisions } from "./gpu-memory.ts";

/** One change, and the memory of the fullest GPU with it. */
export interface Reduction {
  readonly change: string;
  readonly bytes: number;
  readonly fits: boolean;
}

/** So many times are the GPUs doubled. */
const DOUBLINGS = 16;

/** So many parts are tried for the next cut. */
const MOST_PARTS = 64;

/** What reduces the memory of mHC with recomputation the most, the best first. */
export function reductions(
  model: PlannedModel,
  asked: LayoutWishes,
  precision: PrecisionName,
  memoryBytes: number,
): Reduction[] {
  const { batch, ...others } = asked;
  // A batch that was asked for need not come out exactly with another layout.
  const wishes: LayoutWishes = batch === undefined ? others : { ...others, usualBatch: batch };
  const { gpus, zero, microBatch, pipeline, expert, tensor = 1, contextParallel = 1 } = wishes;
  const { pipeline: _p, expert: _e, ...free } = wishes;
  const fixed = [...(pipeline === undefined ? [] : ["--pipeline"]), ...(expert === undefined ? [] : ["--expert"])];
  const freed = fixed.length === 0 ? undefined : `without ${fixed.join(" and ")}`;
  const half = Math.ceil(model.context / 2);
  type Trial = readonly [change: string, model: PlannedModel, wishes: LayoutWishes, PrecisionName];
  const attempt = ([change, changed, wished, name]: Trial): Reduction | undefined => {
    try {
      const { bytes } = chooseLayout(changed, wished, precisions[name], memoryBytes);
      return { change, bytes, fits: bytes <= memoryBytes };
    } catch (error) {
      // What such a change cannot be made to is no advice.
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  };
  /** The next number of parts that the model can be cut into. */
  const cut = (option: string, from: number, to: (parts: number) => LayoutWishes): Trial | undefined => {
    for (let parts = from + 1; parts <= Math.min(MOST_PARTS, gpus); parts++) {
      const trial: Trial = [`${option} ${parts}`, model, to(parts), precision];
      if (gpus % parts === 0 && attempt(trial)) return trial;
    }
    return undefined;
  };
  const tried: readonly (Trial | false | undefined)[] = [
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
    zero === 0 && ["--zero 1", model, { ...wishes, zero: 1 }, precision],
    zero < 2 && gpus > 1 && ["--zero 2", model, { ...wishes, zero: 2 }, precision],
    zero < 3 && gpus > 1 && ["--zero 3", model, { ...wishes, zero: 3 }, precision],
    cut("--tensor", tensor, (parts) => ({ ...wishes, tensor: parts })),
    cut("--context-parallel", contextParallel, (parts) => ({ ...wishes, contextParallel: parts })),
    freed !== undefined && [freed, model, free, precision],
  ];
  const found = tried
    .filter((each) => each !== false && each !== undefined)
    .flatMap((trial) => attempt(trial) ?? [])
    .sort((a, b) => a.bytes - b.bytes);
  if (found.some(({ fits }) => fits)) return found;
  for (let doubled = 0; doubled <= DOUBLINGS; doubled++) {
    const many = gpus * 2 ** doubled;
    for (const parts of [1, 2, 4, 8].filter((each) => each >= tensor)) {
      const change = [`--gpus ${many} --zero 3`, parts > 1 && `--tensor ${parts}`, freed].filter(Boolean).join(" ");
      const more = attempt([change, model, { ...free, gpus: many, zero: 3, tensor: parts }, precision]);
      if (more?.fits) return [more, ...found];
    }
  }
  return found;
}
