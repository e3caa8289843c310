// Question: how much do disturbances change what trained runs say?

import { given } from "../basics/given.ts";
import { planDisturbing } from "../planning/here/model-memory.ts";
import { robustnessFigure } from "../report/figures/robustness.ts";
import { robustnessNotes, robustnessText } from "../report/robustness-tables.ts";
import { runBatches } from "../runs/batches.ts";
import { names } from "../runs/names.ts";
import type { RobustnessData } from "../runs/robustness-data.ts";
import { measureRobustness } from "../study/robustness.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { RunsStudy } from "./study.ts";

/** Logits of all validation batches are kept, twice: no more than so many numbers, unless --batches asks for more. */
const MOST_LOGITS = 2 ** 26;

function batchesOf({ batch, model, evaluateBatches }: TrainingConfig, asked: number | undefined): number {
  const fitting = Math.max(1, Math.floor(MOST_LOGITS / (batch * model.context * model.vocabulary)));
  return asked ?? Math.min(evaluateBatches, fitting);
}

export const robustness: RunsStudy<RobustnessData> = {
  kind: "runs",
  shows: "disturbs weights, inputs, streams and layers of trained runs",
  own: ["draws", "batches"],
  file: names.robustness,
  plan: planDisturbing,
  async measure({ config, data, runtime, signal, checkpoint, onProgress }, options) {
    const batches = runBatches(config, data, batchesOf(config, options.batches));
    try {
      return await measureRobustness(runtime, config, checkpoint(), batches, {
        ...given({ draws: options.draws }),
        onRow: (_, done, total) => onProgress(done / total),
        signal,
      });
    } finally {
      batches.close();
    }
  },
  found: (run) => run.robustness,
  text: robustnessText,
  notes: robustnessNotes,
  figure: robustnessFigure,
};
