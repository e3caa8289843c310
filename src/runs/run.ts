// Question: how does a run live on disk while it trains?
//
// A run joins a trainer to its folder. Each advance is one step: train, look whether all is finite, measure,
// evaluate when due, record, do what the alarms ask for (training/reactions.ts decides), save when due. It can be
// killed between any two instructions: what it repeats after resuming gives the same bits, rollbacks included.
//
// On an asynchronous runtime the next step is begun before the loss of this one is known, unless somebody looks at the
// model between the two. Whoever wants it as it is, such as a save, ends the step that was begun, which is recorded.
// Where an alarm sends the run back or ends it unsaved, that step is lost with the others.

import { expectTrainingConfig } from "../training/config.ts";
import fs from "node:fs";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { reason } from "../files/errors.ts";
import { alone } from "../runtime/collective/alone.ts";
import type { Collective } from "../runtime/collective/collective.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Excursion } from "../stability/alarms.ts";
import { mayRollBack, planAlarms, rateFactorAt } from "../training/alarms.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { Evaluation } from "../training/evaluation.ts";
import { followTrainer, type LeadingTrainer, leadTrainer } from "../training/parallel/lead.ts";
import {
  type Alarm,
  DivergenceError,
  divergedAlarm,
  notFiniteAlarm,
  notSavedAlarm,
  reactTo,
  type RollbackEvent,
  type SavedStep,
} from "../training/reactions.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { evaluationFields, gainRecord, metricRecord } from "../training/step-records.ts";
import { createStragglerTeller } from "../training/stragglers.ts";
import type { PipelinePlan } from "../training/parallel/pipeline/stage.ts";
import { createSpreadTrainer } from "../training/parallel/spread.ts";
import type { StepResult, Trainer } from "../training/trainer.ts";
import { runBatches } from "./batches.ts";
import { warnOfStep, warnOfWarmup } from "./begin-warnings.ts";
import { latestCheckpoint, loadCheckpoint, loadState } from "./checkpoint.ts";
import { openHistory } from "./history.ts";
import { createRunFolder, type RunFolder } from "./run-folder.ts";
import { createSaver } from "./saver.ts";
import { keepPieces } from "./shared-checkpoint.ts";
import { noteStart, originOf, startFrom } from "./start.ts";
import { samplePrompt, writeSample } from "./write-sample.ts";

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
   * Do the next step, and return its record; after it an alarm may have sent the run back to an earlier one. On an
   * asynchronous runtime the step after it may have been begun: `checkpoint` ends and records it.
   * Rejects with a DivergenceError, with the last good checkpoint kept, when the run went wrong, and an AlarmError when
   * an alarm was to stop it (the step is then saved) or would have it go back once too often.
   *
   * With a signal that is aborted between two microbatches of the step, the step is dropped, nothing of it is applied,
   * and the promise rejects with the signal's reason. A long evaluation ends too: its step is done and saved without,
   * and the next call, also of a run that was resumed from there, does nothing but make up for it.
   */
  advance(signal?: AbortSignal): Promise<MetricRecord>;
  /** Save a checkpoint now, unless this step has one. */
  checkpoint(): Promise<void>;
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
  /**
   * Fields of the configuration, by their paths, that may differ from those of the run that is resumed, such as
   * ["steps", "optimizer.learningRate"]: the steps from here on have the new values, and config.json notes the change.
   */
  readonly changed?: readonly string[];
  /** Hears of what is wrong with a run that goes on all the same: damaged files, other kernels. */
  readonly onWarning?: (message: string) => void;
  /** Hears where a resumed run stands when that is not where it was left: at its beginning, or at its end. */
  readonly onNote?: (message: string) => void;
  /**
   * Rank 0's way to other processes that share the training; each of these has called `followRun`. By default the run is
   * this process's alone.
   */
  readonly collective?: Collective;
  /** How the training is spread over these processes. By default each has the whole model. */
  readonly spread?: PipelinePlan;
}

const optionRules: FieldRules<RunOptions> = {
  existing: ["refuse", "resume", "overwrite"],
  changed: "list",
  onWarning: "function",
  onNote: "function",
  collective: "group",
  spread: "group",
};

/** Of the programs that decide a run's bits, for its config.json. */
export function programVersions({ kernels }: Runtime): Record<string, string> {
  return { node: process.versions.node, v8: process.versions.v8, kernels };
}

/**
 * Begin a run in a folder, or resume the one that is there from its newest sound checkpoint. A new run whose
 * configuration has `startedFrom` begins with the weights of that checkpoint, and with moments of zero.
 *
 * @param folderPath made if missing; see the run folder's files in src/runs/run-folder.ts
 * @throws RangeError when the tokenizer's vocabulary is not the model's; Error when the folder holds a run and
 *   `existing` refuses it, is locked by another process or cannot be written to
 */
export async function openRun(
  runtime: Runtime,
  config: TrainingConfig,
  data: PreparedFiles,
  folderPath: string,
  options: RunOptions = {},
): Promise<Run> {
  expectFields("openRun", options, optionRules);
  expectTrainingConfig("openRun", config);
  const batches = runBatches(config, data);
  const { collective = alone() } = options;
  let trainer: LeadingTrainer | undefined;
  let folder: RunFolder | undefined;
  try {
    trainer = leadTrainer(
      collective,
      createSpreadTrainer(runtime, config, batches, collective, options.spread),
      keepPieces(collective),
    );
    const resumes = options.existing === "resume" && fs.existsSync(folderPath);
    folder = createRunFolder(folderPath, config, {
      existing: options.existing ?? "refuse",
      origin: originOf(runtime, data),
      versions: programVersions(runtime),
      keepCheckpoints: config.keepCheckpoints,
      checkpointBytes: 12 * trainer.parameterCount,
      ...given({ onWarning: options.onWarning, changed: options.changed }),
    });
    warnOfWarmup(config, options.onWarning);
    warnOfStep(config, data.train, options.onWarning);
    await startFrom(trainer, folder, config, data, {
      resumes: options.existing === "resume",
      onWarning: options.onWarning,
    });
    if (resumes) noteStart(folder, config, options.onNote);
    return await trainIn(folder, trainer, batches, data, options.onWarning);
  } catch (error) {
    batches.close();
    folder?.close();
    trainer?.release();
    throw error;
  }
}

/**
 * Share a run that rank 0 opens, until it lets this rank go. All that is decided, written and shown is rank 0's.
 *
 * @param data as rank 0 has it, opened here
 * @param spread as rank 0 gives it to `openRun`
 * @throws what a step throws, and Error when rank 0 does not answer
 */
export async function followRun(
  runtime: Runtime,
  config: TrainingConfig,
  data: PreparedFiles,
  collective: Collective,
  spread?: PipelinePlan,
): Promise<void> {
  expectTrainingConfig("followRun", config);
  const batches = runBatches(config, data);
  let trainer: Trainer | undefined;
  try {
    trainer = createSpreadTrainer(runtime, config, batches, collective, spread);
    await followTrainer(collective, trainer, keepPieces(collective));
  } finally {
    trainer?.release();
    batches.close();
  }
}

/** The run of a trainer that stands where its folder does. */
async function trainIn(
  folder: RunFolder,
  trainer: LeadingTrainer,
  batches: ReturnType<typeof runBatches>,
  data: PreparedFiles,
  onWarning: RunOptions["onWarning"],
): Promise<Run> {
  const { config } = trainer;
  const alarms = planAlarms(config.model, config.alarms);
  const { chance } = alarms.subject;
  const history = openHistory(folder, alarms);
  let savedStep = folder.resumeFrom?.step;
  let owed = withoutEvaluation(folder, history.metrics.at(-1));

  const checkpointBefore = (step?: number): SavedStep | undefined =>
    latestCheckpoint(folder.folder, () => undefined, step);

  const tellOfStragglers = createStragglerTeller((message) => onWarning?.(`${config.name}: ${message}`));
  const saveTrainer = createSaver(trainer, folder, onWarning);
  /** Save this step, unless it is saved. When a tensor is not finite nothing is saved and its name returned. */
  const trySave = async (): Promise<string | undefined> => {
    if (savedStep === trainer.step) return undefined;
    const bad = await saveTrainer({ seed: config.seed, ...(owed ? { [OWED]: true } : {}) });
    if (bad === undefined) savedStep = trainer.step;
    return bad;
  };
  const save = async (): Promise<void> => {
    const bad = await trySave();
    if (bad === undefined) return;
    throw new DivergenceError(
      `${config.name}: ${notSavedAlarm(trainer.step, bad, checkpointBefore(), config.optimizer).failure}`,
    );
  };

  const goBack = (event: RollbackEvent, checkpoint: SavedStep): void => {
    const state = loadCheckpoint(checkpoint.folder);
    history.rollBack(event);
    trainer.restore(state);
    savedStep = checkpoint.step;
    owed = undefined;
  };
  /** Do what the alarms of a step ask for. Throws when the run is to stop. */
  const react = async (step: number, seen: readonly Alarm[]): Promise<void> => {
    const { events } = history;
    const place = { name: config.name, folder: folder.folder };
    const reaction = reactTo(alarms, { ...place, step, alarms: seen, events, checkpointBefore });
    if (reaction.kind === "rollback") return goBack(reaction.event, reaction.checkpoint);
    reaction.notes.forEach(history.note);
    if (reaction.kind === "continue") return;
    if (reaction.save) await checkpoint();
    throw reaction.error;
  };
  const alarmOf = (excursion: Excursion, record: MetricRecord): Alarm =>
    excursion.rule === "diverged" ? divergedAlarm(excursion, record, chance, checkpointBefore()) : excursion;

  const due = (step: number, every = Number.POSITIVE_INFINITY): boolean => step % every === 0 || step === config.steps;
  /** Whether all that is wanted of a step are its loss and norm. */
  const isPlain = (step: number): boolean =>
    ![config.gainsEvery, config.evaluateEvery, config.checkpointEvery, config.sampleEvery].some((every) =>
      due(step, every),
    );
  const secondsBefore = (): number => history.metrics.at(-1)?.seconds ?? 0;
  // While the loss is far too high the earlier checkpoints are the good ones; saving would push them out.
  const highestSaved = chance + (alarms.bounds.get("diverged") ?? Number.POSITIVE_INFINITY);

  /** Undefined where it was interrupted. */
  const evaluate = async (step: number, signal: AbortSignal | undefined): Promise<Evaluation | undefined> => {
    try {
      return await trainer.evaluate({ signal });
    } catch (error) {
      if (!signal?.aborted || error !== signal.reason) throw error;
      onWarning?.(`${config.name}: the evaluation of step ${step} was interrupted; it is made when the run goes on.`);
      return undefined;
    }
  };
  const makeUpFor = async (record: MetricRecord, signal: AbortSignal | undefined): Promise<MetricRecord> => {
    const whole = { ...record, ...evaluationFields(await trainer.evaluate({ signal })) };
    history.complete(whole);
    owed = undefined;
    return whole;
  };

  const prompt = samplePrompt(data);
  const sample = async (signal: AbortSignal | undefined): Promise<void> => {
    try {
      await writeSample({ config, trainer, folder }, data.tokenizer, prompt, signal);
    } catch (error) {
      onWarning?.(`${config.name}: no sample of step ${trainer.step}: ${reason(error)}`);
    }
  };

  /** All that comes after a step. */
  const conclude = async (result: StepResult, signal: AbortSignal | undefined): Promise<MetricRecord> => {
    const { step, loss, gradientNorm } = result;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const record = recordOf(result, secondsBefore());
      await react(step, [notFiniteAlarm(record, await trainer.findNotFinite(), checkpointBefore())]);
      return record;
    }
    const evaluates = due(step, config.evaluateEvery);
    const evaluation = evaluates ? await evaluate(step, signal) : undefined;
    const record = recordOf(result, secondsBefore(), evaluation);
    owed = evaluates && !evaluation ? record : undefined;
    // Rounded before the alarms see it: a resumed run replays what is in the file.
    const gain = result.instruments && gainRecord(step, result.instruments);
    const excursions = history.add(record, gain, { whole: !owed });
    tellOfStragglers(history.metrics);
    await react(
      step,
      excursions.map((excursion) => alarmOf(excursion, record)),
    );
    if (trainer.step === step && due(step, config.checkpointEvery) && loss <= highestSaved) {
      const bad = await trySave();
      if (bad !== undefined) await react(step, [notSavedAlarm(step, bad, checkpointBefore(), config.optimizer)]);
    }
    if (trainer.step === step && config.sampleEvery && due(step, config.sampleEvery)) await sample(signal);
    return record;
  };
  const advance = async (signal?: AbortSignal): Promise<MetricRecord> => {
    if (owed) return await makeUpFor(owed, signal);
    const next = trainer.step + 1;
    const goesOn = isPlain(next) && isPlain(next + 1) && !signal?.aborted;
    const result = await trainer.trainStep({
      instruments: due(next, config.gainsEvery),
      rateFactor: rateFactorAt(history.events, next),
      signal,
      ahead: goesOn ? { rateFactor: rateFactorAt(history.events, next + 1) } : undefined,
    });
    return await conclude(result, signal);
  };
  const checkpoint = async (): Promise<void> => {
    if (trainer.begun) {
      const result = await trainer.trainStep();
      // One that is not finite changed nothing: it is as if it had not been begun.
      if (Number.isFinite(result.gradientNorm)) await conclude(result, undefined);
    }
    await save();
  };

  // Something to go back to, whenever the first alarm comes.
  if (!folder.resumeFrom && mayRollBack(config.alarms)) await save();

  return {
    config,
    trainer,
    folder,
    metrics: history.metrics,
    gains: history.gains,
    get events() {
      return history.events;
    },
    get finished() {
      return trainer.step >= config.steps && !owed;
    },
    advance,
    checkpoint,
    close() {
      folder.close();
      trainer.release();
      batches.close();
    },
  };
}

/** What metrics.jsonl says of a step. */
const recordOf = (result: StepResult, secondsBefore: number, evaluation?: Evaluation): MetricRecord =>
  metricRecord(result, { secondsBefore, evaluation, memory: Math.round(process.memoryUsage.rss() / 2 ** 20) });

/** What the state of a checkpoint has whose step is to be evaluated when the run goes on. */
const OWED = "evaluationOwed";

/** The last record, if its step lacks the evaluation that was interrupted. */
function withoutEvaluation({ resumeFrom }: RunFolder, last: MetricRecord | undefined): MetricRecord | undefined {
  if (!resumeFrom || last?.step !== resumeFrom.step || last.validationLoss !== undefined) return undefined;
  return loadState(resumeFrom.folder)[OWED] === true ? last : undefined;
}
