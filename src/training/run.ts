// Question: how does a run live on disk while it trains?
//
// A run joins a trainer to its folder. Each advance is one step: train, look whether all is finite,
// measure, record, evaluate and save when due. It can be killed between any two instructions: what it
// repeats after resuming gives the same bits.

import path from "node:path";
import { createBatches } from "../data/batches.ts";
import { type PreparedFiles, writeTokenizer } from "../data/prepare.ts";
import type { WasmRuntime } from "../runtime/wasm/runtime.ts";
import { latestCheckpoint, loadCheckpoint } from "./checkpoint.ts";
import { isMixed } from "../model/config.ts";
import type { TrainingConfig } from "./config.ts";
import {
  createRunFolder,
  type GainRecord,
  type MetricRecord,
  readGains,
  readMetrics,
  type RunFolder,
} from "./run-folder.ts";
import { rounded } from "../stability/instruments.ts";
import { createTrainer, type Trainer } from "./trainer.ts";

/** A training run with its folder open and locked; `close` it when done. */
export interface Run {
  readonly config: TrainingConfig;
  readonly trainer: Trainer;
  readonly folder: RunFolder;
  readonly finished: boolean;
  /** Records of all steps so far, those of before a resume included. */
  readonly metrics: readonly MetricRecord[];
  readonly gains: readonly GainRecord[];
  /** Do the next step. Throws a DivergenceError, with the last good checkpoint kept, when it went wrong. */
  advance(): MetricRecord;
  /** Save a checkpoint now, unless this step has one. */
  checkpoint(): void;
  close(): void;
}

/** How a run begins. */
export interface RunOptions {
  /**
   * When there is a run in the folder already: refuse (the default), go on with it (its configuration must
   * be the same), or remove its files and start anew.
   */
  readonly existing?: "refuse" | "resume" | "overwrite";
  readonly onWarning?: (message: string) => void;
}

/** A run that cannot go on: its loss or gradient is not finite, or its loss grew far beyond chance. */
export class DivergenceError extends Error {
  override name = "DivergenceError";
}

/** A run diverges when for this many steps in a row its loss lies this many nats above chance. */
const DIVERGED_STEPS = 20;
const DIVERGED_NATS = 2;

/** Of the programs that decide a run's bits, for its config.json. */
export function programVersions({ build, panelWidth }: WasmRuntime): Record<string, string> {
  return { node: process.versions.node, v8: process.versions.v8, kernels: `${build} ${panelWidth}` };
}

/**
 * Begin a run in a folder, or resume the one that is there from its newest sound checkpoint.
 *
 * @param folderPath made if missing; see the run folder's files in src/training/run-folder.ts
 * @throws RangeError when the tokenizer's vocabulary is not the model's; Error when the folder holds a run and
 *   `existing` refuses it, is locked by another process or cannot be written to
 */
export function openRun(
  runtime: WasmRuntime,
  config: TrainingConfig,
  data: PreparedFiles,
  folderPath: string,
  options: RunOptions = {},
): Run {
  const { batch, model } = config;
  if (data.tokenizer.vocabularySize !== model.vocabulary) {
    throw new RangeError(
      `The model has a vocabulary of ${model.vocabulary} and the tokenizer one of ${data.tokenizer.vocabularySize}; ` +
        "set model.vocabulary to the tokenizer's size.",
    );
  }
  const batches = createBatches({
    train: data.train,
    validation: data.validation,
    byteLengths: data.tokenizer.byteLengths,
    batchSize: batch,
    contextLength: model.context,
    seed: config.seed,
    validationLimit: config.evaluateBatches,
  });
  const trainer = createTrainer(runtime, config, batches);
  const folder = createRunFolder(folderPath, config, {
    existing: options.existing ?? "refuse",
    versions: programVersions(runtime),
    keepCheckpoints: config.keepCheckpoints,
    checkpointBytes: 12 * trainer.parameterCount,
    ...(options.onWarning ? { onWarning: options.onWarning } : {}),
  });
  if (!folder.resumeFrom && options.existing === "resume" && config.upcycledFrom) {
    folder.close();
    throw new Error(
      `${folderPath} was to start from ${config.upcycledFrom.run} but has no checkpoint; make it again: birkhoff convert ${config.upcycledFrom.run} ${folderPath} --from residual --to ${isMixed(model.connection) ? "manifold" : model.connection.kind} --overwrite`,
    );
  }
  if (folder.resumeFrom) trainer.restore(loadCheckpoint(folder.resumeFrom.folder));
  else writeTokenizer(path.join(folderPath, "tokenizer.json"), data.tokenizer);

  const metrics: MetricRecord[] = folder.resumeFrom ? readMetrics(folderPath) : [];
  const gains: GainRecord[] = folder.resumeFrom ? readGains(folderPath) : [];
  const chance = Math.log(model.vocabulary);
  let savedStep = folder.resumeFrom?.step;
  let high = 0;

  const due = (every: number): boolean => trainer.step % every === 0 || trainer.step === config.steps;
  const lastGood = (): string => {
    const place = latestCheckpoint(folderPath, () => undefined);
    return place ? `The last good checkpoint is step ${place.step} in ${place.folder}.` : "There is no checkpoint yet.";
  };
  const save = (): void => {
    if (savedStep === trainer.step) return;
    const saved = trainer.save();
    const bad = [...saved.model, ...saved.optimizer].find(({ data }) => !data.every(Number.isFinite));
    if (bad) {
      throw new DivergenceError(
        `${config.name}: step ${trainer.step} made ${bad.name} not finite, so it is not saved. ${lastGood()} Lower the learning rate.`,
      );
    }
    folder.saveCheckpoint({ ...saved, state: { seed: config.seed } });
    savedStep = trainer.step;
  };

  return {
    config,
    trainer,
    folder,
    metrics,
    gains,
    get finished() {
      return trainer.step >= config.steps;
    },
    advance() {
      const next = trainer.step + 1;
      const measures = next % config.gainsEvery === 0 || next === config.steps;
      const result = trainer.trainStep({ instruments: measures });
      if (!Number.isFinite(result.loss) || !Number.isFinite(result.gradientNorm)) {
        const what = Number.isFinite(result.loss) ? "gradient" : "loss";
        throw new DivergenceError(
          `${config.name}: the ${what} of step ${result.step} is not finite; the first tensor that went wrong is ` +
            `${trainer.findNotFinite() ?? "not found in a repetition"}. The step was not applied. ${lastGood()} ` +
            "Lower the learning rate or the clipping norm.",
        );
      }
      high = result.loss > chance + DIVERGED_NATS ? high + 1 : 0;
      if (high >= DIVERGED_STEPS) {
        throw new DivergenceError(
          `${config.name}: the run diverges: at step ${result.step} the loss (${result.loss.toFixed(2)}) has been more than ` +
            `${DIVERGED_NATS} nats above chance (${chance.toFixed(2)}) for ${DIVERGED_STEPS} steps. ${lastGood()} Lower the learning rate.`,
        );
      }
      if (result.instruments) {
        const record = { step: result.step, ...rounded(result.instruments) };
        folder.appendGains(record);
        gains.push(record);
      }
      const evaluation = due(config.evaluateEvery) ? trainer.evaluate() : undefined;
      const record: MetricRecord = {
        step: result.step,
        loss: result.loss,
        gradientNorm: result.gradientNorm,
        learningRate: result.learningRate,
        tokensPerSecond: result.tokens / result.seconds,
        seconds: (metrics.at(-1)?.seconds ?? 0) + result.seconds,
        ...(result.expertLoad ? { expertLoad: result.expertLoad } : {}),
        ...(evaluation ? { validationLoss: evaluation.loss, bitsPerByte: evaluation.bitsPerByte } : {}),
      };
      folder.appendMetrics(record);
      metrics.push(record);
      // While the loss is far too high the earlier checkpoints are the good ones; saving would push them out.
      if (due(config.checkpointEvery) && high === 0) save();
      return record;
    },
    checkpoint: save,
    close: () => folder.close(),
  };
}
