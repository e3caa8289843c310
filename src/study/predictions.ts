// Question: what does a trained model say comes next, for every token of some batches, and how right is it?
//
//   bits per byte   the sum of −log2 p(target), divided by the bytes that the targets stand for
//   accuracy        the share of targets that were the most likely token
//   calibration     the expected calibration error: targets are put into BINS by the probability of the most likely
//                   token; the mean over bins of |accuracy − mean probability|, weighted by their targets
//                   (Guo et al. 2017, arXiv 1706.04599)
//
// Shapes: N tokens of a batch, V tokens of the vocabulary; logs [N, V].

import { createParameters } from "../graph/parameters.ts";
import { languageModel } from "../model/language-model.ts";
import type { Batch } from "../data/batches.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import { batchInputs, writeBatch } from "../training/inputs.ts";
import type { TrainerState } from "../training/state.ts";
import { restoreTensors } from "../training/restore.ts";

/** Says log p of each token of the vocabulary after each token of a batch, [N, V]. `release` it when done. */
export interface Predictor {
  predict(batch: Batch): Promise<Float32Array>;
  release(): void;
}

/** A trained model that predicts whole batches of the configuration's size. */
export function createPredictor(
  runtime: Runtime,
  config: TrainingConfig,
  checkpoint: Pick<TrainerState, "model">,
): Predictor {
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  const inputs = batchInputs(config);
  const { hidden_NC } = model.hidden(inputs.tokens);
  // The loss keeps the inputs of targets, so that batches are written as in training.
  const outputs = { loss: model.loss(hidden_NC, inputs.targets, inputs.weights), logits: model.logits(hidden_NC) };
  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const program = inPrecision(runtime, config.precision).compile({ outputs });
  return {
    async predict(batch) {
      writeBatch(runtime, inputs, batch);
      program.run();
      return logSoftmax(await program.read("logits"), config.model.vocabulary);
    },
    release() {
      program.release();
      for (const { tensor } of parameters.all) runtime.forget(tensor);
    },
  };
}

/** Rows of logits [N, V] as logarithms of probabilities. */
export function logSoftmax(logits: ArrayLike<number>, V: number): Float32Array {
  const logs = Float32Array.from(logits);
  for (let from = 0; from < logs.length; from += V) {
    const row = logs.subarray(from, from + V);
    let largest = -Infinity;
    for (const value of row) if (value > largest) largest = value;
    let total = 0;
    for (const value of row) total += Math.exp(value - largest);
    const shift = largest + Math.log(total);
    for (let v = 0; v < V; v++) row[v]! -= shift;
  }
  return logs;
}

/** The most likely token of a row; of equal ones the first. */
export function mostLikely(logs: Float32Array, row: number, V: number): number {
  let best = 0;
  for (let v = 1; v < V; v++) if (logs[row * V + v]! > logs[row * V + best]!) best = v;
  return best;
}

/** How right a model was over some batches. */
export interface Judgement {
  readonly bitsPerByte: number;
  readonly accuracy: number;
  readonly calibration: number;
}

const BINS = 15;

/** Adds up how right predictions are. */
export interface Judge {
  /** @param bytes of text that the targets of the batch stand for */
  add(logs: Float32Array, targets: Int32Array, bytes: number): void;
  /** Over all that was added; NaN where nothing was. */
  judgement(): Judgement;
}

export function createJudge(V: number): Judge {
  const bins = Array.from({ length: BINS }, () => ({ count: 0, right: 0, confidence: 0 }));
  let [nats, bytes, count, right] = [0, 0, 0, 0];
  return {
    add(logs, targets, more) {
      bytes += more;
      for (const [row, target] of targets.entries()) {
        const best = mostLikely(logs, row, V);
        const confidence = Math.exp(logs[row * V + best]!);
        const bin = bins[Math.min(BINS - 1, Math.floor(BINS * confidence))]!;
        const isRight = best === target ? 1 : 0;
        nats -= logs[row * V + target]!;
        count++;
        right += isRight;
        bin.count++;
        bin.right += isRight;
        bin.confidence += confidence;
      }
    },
    judgement: () => ({
      bitsPerByte: nats / Math.LN2 / bytes,
      accuracy: right / count,
      calibration: bins.reduce((sum, bin) => sum + Math.abs(bin.right - bin.confidence), 0) / count,
    }),
  };
}
