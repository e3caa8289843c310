// Question: how does a run live on disk while it trains?
//
// A run joins a trainer to its folder. Each advance is one step: train, look whether all is finite,
// measure, evaluate when due, record, ask the alarms, save when due. It can be killed between any two
// instructions: what it repeats after resuming gives the same bits, rollbacks included.

import path from "node:path";
import { createBatches } from "../data/batches.ts";
import { type PreparedFiles, writeTokenizer } from "../data/prepare.ts";
import type { WasmRuntime } from "../runtime/wasm/runtime.ts";
import { latestCheckpoint, loadCheckpoint } from "./checkpoint.ts";
import { isMixed } from "../model/config.ts";
import { DIVERGED_STEPS, type Excursion, type Observation, watchAlarms } from "../stability/alarms.ts";
import {
  type AlarmAction,
  describeEvent,
  mayRollBack,
  planAlarms,
  rateFactorAt,
  shortFactor,
} from "../training/alarms.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { createRunFolder, outlives, readEvents, readGains, readMetrics, type RunFolder } from "./run-folder.ts";
import { rounded } from "../stability/instruments.ts";
import { createTrainer, type Trainer } from "../training/trainer.ts";

/** A training run with its folder open and locked; `close` it when done. */
export interface Run {
  readonly config: TrainingConfig;
  readonly trainer: Trainer;
  readonly folder: RunFolder;
  readonly finished: boolean;
  /** Records of all steps so far, those of before a resume included. */
  readonly metrics: readonly MetricRecord[];
  readonly gains: readonly GainRecord[];
  /** Alarms so far, with all rollbacks. */
  readonly events: readonly EventRecord[];
  /**
   * Do the next step, and return its record; after it an alarm may have sent the run back to an earlier one.
   * Throws a DivergenceError, with the last good checkpoint kept, when the run went wrong, and an AlarmError when
   * an alarm was to stop it (the step is then saved) or would have it go back once too often.
   */
  advance(): MetricRecord;
  /** Save a checkpoint now, unless this step has one. */
  checkpoint(): void;
  /** Unlock the folder, and give the trainer's memory back to the runtime. */
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

/** A run that an alarm has stopped, as its configuration asks, or after its last rollback. */
export class AlarmError extends DivergenceError {
  override name = "AlarmError";
}

/** Of the alarms of one step, the gravest decides. */
const gravity: Readonly<Record<AlarmAction, number>> = { continue: 0, rollback: 1, stop: 2 };

/** Of the programs that decide a run's bits, for its config.json. */
export function programVersions({ build, device: { panelWidth } }: WasmRuntime): Record<string, string> {
  return { node: process.versions.node, v8: process.versions.v8, kernels: `${build} ${panelWidth}` };
}

/**
 * Begin a run in a folder, or resume the one that is there from its newest sound checkpoint.
 *
 * @param folderPath made if missing; see the run folder's files in src/runs/run-folder.ts
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
  let folder: RunFolder;
  try {
    folder = createRunFolder(folderPath, config, {
      existing: options.existing ?? "refuse",
      versions: programVersions(runtime),
      keepCheckpoints: config.keepCheckpoints,
      checkpointBytes: 12 * trainer.parameterCount,
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
    });
  } catch (error) {
    trainer.release();
    throw error;
  }
  try {
    startFrom(trainer, folder, config, data, options);
  } catch (error) {
    folder.close();
    trainer.release();
    throw error;
  }

  const metrics: MetricRecord[] = folder.resumeFrom ? readMetrics(folderPath) : [];
  const gains: GainRecord[] = folder.resumeFrom ? readGains(folderPath) : [];
  const alarms = planAlarms(model, config.alarms);
  const { chance } = alarms.subject;
  let events = readEvents(folderPath);
  let watch = watchRecords();
  let savedStep = folder.resumeFrom?.step;

  /** A watch that has seen all records so far. */
  function watchRecords(): ReturnType<typeof watchAlarms> {
    const watch = watchAlarms(alarms.bounds, alarms.subject);
    const measured = new Map(gains.map((record) => [record.step, record]));
    for (const record of metrics) watch.see(observation(record, measured.get(record.step)));
    return watch;
  }
  const due = (every: number): boolean => trainer.step % every === 0 || trainer.step === config.steps;
  const lastGood = (): string => {
    const place = latestCheckpoint(folderPath, () => undefined);
    return place ? `The last good checkpoint is step ${place.step} in ${place.folder}.` : "There is no checkpoint yet.";
  };
  /** Save this step, unless it is saved; returns the name of a tensor that is not finite, and then saves nothing. */
  const trySave = (): string | undefined => {
    if (savedStep === trainer.step) return undefined;
    const saved = trainer.view();
    const bad = [...saved.model, ...saved.optimizer].find(({ data }) => !data.every(Number.isFinite));
    if (bad) return bad.name;
    folder.saveCheckpoint({ ...saved, state: { seed: config.seed } });
    savedStep = trainer.step;
    return undefined;
  };
  const notSaved = (name: string): string =>
    `step ${trainer.step} made ${name} not finite, so it is not saved. ${lastGood()} Lower the learning rate.`;
  const save = (): void => {
    const bad = trySave();
    if (bad) throw new DivergenceError(`${config.name}: ${notSaved(bad)}`);
  };

  const note = (step: number, { rule, message, value, bound, sublayer }: Alarm, action: AlarmAction): EventRecord => ({
    step,
    rule,
    message,
    ...(value === undefined ? {} : { value }),
    ...(bound === undefined ? {} : { bound }),
    ...(sublayer === undefined ? {} : { sublayer }),
    action,
  });
  const append = (event: EventRecord): void => {
    folder.appendEvent(event);
    events.push(event);
  };
  const actionOf = ({ rule }: Alarm): AlarmAction => alarms.actions.get(rule)!;

  /** Do what the alarms of a step ask for. Throws when the run is to stop. */
  const react = (step: number, found: readonly Alarm[]): void => {
    const [gravest, ...others] = [...found].sort((a, b) => gravity[actionOf(b)] - gravity[actionOf(a)]);
    if (!gravest) return;
    if (actionOf(gravest) === "rollback") return goBack(step, gravest);
    for (const alarm of others.filter((other) => actionOf(other) === "continue")) append(note(step, alarm, "continue"));
    append(note(step, gravest, actionOf(gravest)));
    if (actionOf(gravest) === "stop") stop(gravest);
  };
  const stop = ({ rule, error }: Alarm): never => {
    if (error) throw new DivergenceError(`${config.name}: ${error}`);
    save();
    throw new AlarmError(
      `${config.name}: ${describeEvent(events.at(-1)!)} It is saved in ${folderPath}; resumed, it goes on past this alarm (${rule}).`,
    );
  };
  /**
   * Back to the newest checkpoint that is at least one update before what was seen: the loss, the gradients
   * and the gains of a step are those of the parameters that the step before left. When the run went back to
   * that one already and has saved none since, to the one before it.
   */
  const goBack = (step: number, alarm: Alarm): void => {
    const before = (limit: number): ReturnType<typeof latestCheckpoint> =>
      latestCheckpoint(folderPath, () => undefined, limit);
    const done = events.flatMap(({ rollback }) => rollback ?? []);
    const newest = before(step - 1) ?? before(step);
    const place = newest?.step === done.at(-1)?.step ? ((newest && before(newest.step)) ?? newest) : newest;
    const factor = rateFactorAt(events, step);
    if (!place || done.length >= alarms.rollbacks) {
      append(note(step, alarm, "stop"));
      // Unsaved, a resumed run would repeat the steps up to this alarm for ever.
      if (!alarm.error) save();
      const Failure = alarm.error ? DivergenceError : AlarmError;
      throw new Failure(
        `${config.name}: ${describeEvent(events.at(-1)!)} ${
          place
            ? `It has gone back ${done.length} time${done.length === 1 ? "" : "s"}, and ${alarms.rollbacks} is the limit (alarms.rollbacks); the learning rate was ${shortFactor(factor)} × the configured one.`
            : "There is no checkpoint to go back to."
        } ${alarm.error ? lastGood() : `It is saved in ${folderPath}; resumed, it goes on past this alarm (${alarm.rule}).`}`,
      );
    }
    const event = {
      ...note(step, alarm, "rollback"),
      rollback: { step: place.step, rateFactor: factor * alarms.rateFactor },
    };
    const state = loadCheckpoint(place.folder);
    folder.rollBack(event);
    trainer.restore(state);
    savedStep = place.step;
    for (const records of [metrics, gains]) {
      const given = records.findIndex((record) => record.step > place.step);
      if (given >= 0) records.length = given;
    }
    events = [...events.filter((past) => outlives(past, place.step)), event];
    watch = watchRecords();
  };

  // Something to go back to, whenever the first alarm comes.
  if (!folder.resumeFrom && mayRollBack(config.alarms)) save();

  return {
    config,
    trainer,
    folder,
    metrics,
    gains,
    get events() {
      return events;
    },
    get finished() {
      return trainer.step >= config.steps;
    },
    advance() {
      const next = trainer.step + 1;
      const result = trainer.trainStep({
        instruments: next % config.gainsEvery === 0 || next === config.steps,
        rateFactor: rateFactorAt(events, next),
      });
      const { step, loss, gradientNorm } = result;
      const finite = Number.isFinite(loss) && Number.isFinite(gradientNorm);
      const evaluation = finite && due(config.evaluateEvery) ? trainer.evaluate() : undefined;
      const record: MetricRecord = {
        step,
        loss,
        gradientNorm,
        learningRate: result.learningRate,
        tokensPerSecond: result.tokens / result.seconds,
        seconds: (metrics.at(-1)?.seconds ?? 0) + result.seconds,
        ...(result.expertLoad ? { expertLoad: result.expertLoad } : {}),
        ...(evaluation ? { validationLoss: evaluation.loss, bitsPerByte: evaluation.bitsPerByte } : {}),
      };
      if (!finite) {
        const what = Number.isFinite(loss) ? "gradient" : "loss";
        const seen =
          `the ${what} of step ${step} is not finite; the first tensor that went wrong is ` +
          `${trainer.findNotFinite() ?? "not found in a repetition"}. The step was not applied.`;
        const remedy = "Lower the learning rate or the clipping norm.";
        react(step, [{ rule: "not-finite", message: `${seen} ${remedy}`, error: `${seen} ${lastGood()} ${remedy}` }]);
        return record;
      }
      // Rounded before the alarms see it: a resumed run replays what is in the file.
      const gain = result.instruments && { step, ...rounded(result.instruments) };
      if (gain) {
        folder.appendGains(gain);
        gains.push(gain);
      }
      folder.appendMetrics(record);
      metrics.push(record);
      const found = watch
        .see(observation(record, gain))
        .map((excursion) =>
          excursion.rule === "diverged" ? { ...excursion, error: diverges(record, excursion) } : excursion,
        );
      react(step, found);
      // While the loss is far too high the earlier checkpoints are the good ones; saving would push them out.
      if (
        trainer.step === step &&
        due(config.checkpointEvery) &&
        loss <= chance + (alarms.bounds.get("diverged") ?? Number.POSITIVE_INFINITY)
      ) {
        const bad = trySave();
        if (bad) react(step, [{ rule: "not-finite", message: notSaved(bad), error: notSaved(bad) }]);
      }
      return record;
    },
    checkpoint: save,
    close() {
      folder.close();
      trainer.release();
    },
  };

  function diverges({ step, loss }: MetricRecord, { bound }: Excursion): string {
    return (
      `the run diverges: at step ${step} the loss (${loss.toFixed(2)}) has been more than ${bound} nats above chance ` +
      `(${chance.toFixed(2)}) for ${DIVERGED_STEPS} steps. ${lastGood()} Lower the learning rate.`
    );
  }
}

/** An excursion as the run tells of it: `error` in place of the message when it stops the run for good. */
type Alarm = Pick<Excursion, "rule" | "message"> & Partial<Excursion> & { readonly error?: string };

const observation = (record: MetricRecord, instruments: GainRecord | undefined): Observation => ({
  ...record,
  ...(instruments ? { instruments } : {}),
});

/** Restore the newest checkpoint, or write what a new run needs. */
function startFrom(
  trainer: Trainer,
  { folder, resumeFrom }: RunFolder,
  { upcycledFrom, importedFrom, model }: TrainingConfig,
  { tokenizer }: PreparedFiles,
  { existing }: RunOptions,
): void {
  if (resumeFrom) {
    trainer.restore(loadCheckpoint(resumeFrom.folder));
    return;
  }
  if (existing === "resume" && upcycledFrom) {
    const { run } = upcycledFrom;
    const to = isMixed(model.connection) ? "manifold" : model.connection.kind;
    throw new Error(
      `${folder} was to start from ${run} but has no checkpoint; make it again: birkhoff convert ${run} ${folder} --from residual --to ${to} --overwrite`,
    );
  }
  if (existing === "resume" && importedFrom !== undefined) {
    throw new Error(
      `${folder} was to start from ${importedFrom} but has no checkpoint; make it again: birkhoff import ${importedFrom} ${folder} --overwrite`,
    );
  }
  writeTokenizer(path.join(folder, "tokenizer.json"), tokenizer);
}
