// Question: how much more memory does training with mHC take than training with plain residuals?
//
// The bytes of a training step are those of parameters, moments, inputs, and the part that a run writes of the memory
// for computed values. mHC stores the streams every few sublayers and each block's result, and computes the rest of the
// connection again, norms included. The residual model stores everything or, in the stricter comparison, computes its
// norms again as well. 12 layers are 24 sublayers.

import { given } from "../src/basics/given.ts";
import { presets } from "../src/model/config.ts";
import { stepConfig } from "../src/planning/step-time.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { measureExtraMemory, measureStepMemory } from "../src/planning/step-memory.ts";
import { predictStepMemory, type StepMemory } from "../src/training/recomputation.ts";
import type { StepConfig } from "../src/training/step.ts";
import type { Group } from "./lib/group.ts";
import { type Measured, ratio, type Side } from "./lib/report.ts";

const THREADS = 2;
const LAYERS = 12;
const VOCABULARY = 1024;
const BATCH = 8;

const FIGURE = "mhc.memory.recompute";
const STRICT = "mhc.memory.recompute_both";
const STORED = "mhc.memory.stored";
const PREDICTION = "mhc.memory.prediction";

/** The preset "micro" with more layers. */
const configOf = (kind: "residual" | "mhc"): StepConfig =>
  stepConfig({ ...presets.micro, layers: LAYERS, vocabulary: VOCABULARY }, { kind }, BATCH);

function side(label: string, { stateBytes, arenaBytes }: StepMemory): Side {
  return { label, value: (stateBytes + arenaBytes) / 2 ** 20, unit: "MiB" };
}

/** How much larger our side is, as a fraction of the other. */
function extra(name: string, ours: Side, theirs: Side, bar?: number): Measured {
  const figure = ratio(name, ours, theirs, { higher_is_better: false, ...given({ bar }) });
  return { ...figure, value: figure.value - 1, unit: "extra" };
}

export const memory: Group = {
  names: [FIGURE, STRICT, STORED, PREDICTION],
  async *measure(names, { note }) {
    note(`measuring the memory of a training step with ${2 * LAYERS} sublayers`);
    const [config, plain] = [configOf("mhc"), configOf("residual")];
    const { storeEvery, recomputed, stored, baseline } = await measureExtraMemory(config, plain, () =>
      createWasmRuntime({ threads: THREADS }),
    );
    const residual = side("residual, everything stored", baseline);
    const mhc = side(`mHC n = 4, streams stored every ${storeEvery} sublayers`, recomputed);
    if (names.includes(FIGURE)) yield extra(FIGURE, mhc, residual, 0.35);
    if (names.includes(STORED)) yield extra(STORED, side("mHC n = 4, everything stored", stored), residual);
    if (!names.includes(STRICT) && !names.includes(PREDICTION)) return;
    const runtime = await createWasmRuntime({ threads: THREADS });
    try {
      if (names.includes(STRICT)) {
        yield extra(STRICT, mhc, side("residual, norms computed again", await measureStepMemory(runtime, plain, 1)));
      }
      if (names.includes(PREDICTION)) {
        const predicted = side("predicted", predictStepMemory(config, runtime.machine).of(storeEvery));
        const figure = extra(PREDICTION, predicted, { ...mhc, label: `measured: ${mhc.label}` }, 0.02);
        yield { ...figure, value: Math.abs(figure.value), unit: "off" };
      }
    } finally {
      runtime.close();
    }
  },
};
