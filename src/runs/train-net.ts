// Question: how is a network of one's own trained to its end, with a run folder that the report and the page read?
//
// The folder is that of any run: config.json (of kind "net": it says how the network is trained, and cannot build it),
// metrics.jsonl, gains.jsonl, checkpoints. The same program continues it.

import path from "node:path";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { expectWhole } from "../basics/ranges.ts";
import { MOST_COUNT } from "../basics/bounds.ts";
import { showValue } from "../basics/show.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Instruments } from "../stability/instruments.ts";
import { optimizerEntry } from "../training/optimizers/table.ts";
import { expectOptimizer } from "../training/optimizers/updates.ts";
import {
  createNetTrainer,
  type Net,
  type NetTrainer,
  type NetTraining,
  netTrainingRules,
  netOptimizer,
  scheduleOf,
} from "../training/net-trainer.ts";
import { type NetConfig, parseNetConfig } from "../training/net-config.ts";
import { DivergenceError } from "../training/reactions.ts";
import { gainRecord } from "../training/step-records.ts";
import { metricFields, type GainRecord, type MetricRecord } from "../training/records.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import { describeResumable } from "./description.ts";
import { programVersions } from "./run.ts";
import {
  createRunFolder,
  expectNoRun,
  FolderTakenError,
  readGains,
  readMetrics,
  type RunFolder,
} from "./run-folder.ts";

/** What was measured besides the loss: "validationLoss" is drawn by the page and the report, other names are kept. */
export type NetEvaluation = Readonly<Record<string, number>>;

/** How a network is trained, and what of it is recorded. */
export interface TrainNetOptions extends NetTraining {
  /** The run folder, such as "runs/vit"; absent: nothing is written. */
  readonly out?: string;
  /** When there is a run in the folder already: refuse (the default), go on from its last checkpoint, or begin anew. */
  readonly existing?: "refuse" | "resume" | "overwrite";
  /** Which connection joins the blocks, such as connection.name: for the colours and names of figures. */
  readonly connection?: string;
  /** Measure the network as it is after a step; programs may be run and inputs written. */
  readonly evaluate?: (step: number) => NetEvaluation | Promise<NetEvaluation>;
  /** Steps between evaluations; the last step always has one. Default: a tenth of the steps. */
  readonly evaluateEvery?: number;
  /** Steps between checkpoints; the last step always has one. Default: a fifth of the steps. */
  readonly checkpointEvery?: number;
  /** How many checkpoints stay. Default 2. */
  readonly keepCheckpoints?: number;
  /** Steps between measurements of the gains, if the network has `mixing`; the last step always has one. Default 10. */
  readonly gainsEvery?: number;
  /** After every step; on an asynchronous runtime the next may have been begun, so look at the network in `evaluate`. */
  readonly onStep?: (record: NetRecord) => void;
  /** Ends the training after the step in progress, with a checkpoint if there is a folder. */
  readonly signal?: AbortSignal;
}

/** What is recorded of a step: a line of metrics.jsonl. */
export interface NetRecord extends Pick<MetricRecord, "step" | "loss" | "gradientNorm" | "learningRate" | "seconds"> {
  /** Where the network has `mixing`: tokens of a batch, a second. */
  readonly tokensPerSecond?: number;
  readonly validationLoss?: number;
  /** What else `evaluate` gives. */
  readonly [name: string]: number | undefined;
}

/** How a training went: of a resumed one with the records of before. */
export interface TrainedNet {
  readonly metrics: readonly NetRecord[];
  /** What was measured of the connections, in order of steps; the last one is of the last step. */
  readonly gains: readonly GainRecord[];
  /** Whether the signal ended it before its last step. */
  readonly interrupted: boolean;
}

const optionRules: FieldRules<TrainNetOptions> = {
  ...netTrainingRules,
  out: "text",
  existing: ["refuse", "resume", "overwrite"],
  connection: "text",
  evaluate: "function",
  evaluateEvery: "number",
  checkpointEvery: "number",
  keepCheckpoints: "number",
  gainsEvery: "number",
  onStep: "function",
  signal: "anything",
};

/**
 * Train a network of one's own: batches, AdamW with clipping and a schedule, metrics, and with `out` a run folder that
 * `birkhoff report` and `birkhoff serve` show while it grows. The parameters must have values: call
 * `initialise(runtime, parameters)` or `loadParameters` first. Afterwards the runtime holds those that were learned. An
 * error in the program's own functions goes up after a checkpoint, if there is a folder.
 *
 * @param runtime computes, and keeps the parameters
 * @param net a loss over a set of parameters; with `mixing` the gains of its connections are recorded, too
 * @throws TypeError for an unknown or missing option; RangeError for a setting that makes no sense; DivergenceError when
 *   a loss or a gradient is not finite (with such a gradient the parameters are those of the step before; on an
 *   asynchronous runtime they may be those of the step after, which was begun before it was known); Error when `initialise` was
 *   forgotten, when a batch does not give the inputs of the loss, or when the folder holds a run, is in use or cannot be
 *   written to
 */
export async function trainNet(runtime: Runtime, net: Net, options: TrainNetOptions): Promise<TrainedNet> {
  expectFields("trainNet", options, optionRules);
  const { out, existing, connection, evaluate, onStep, signal, ...timed } = options;
  const { evaluateEvery, checkpointEvery, keepCheckpoints, gainsEvery, ...training } = timed;
  if (out === undefined && existing !== undefined)
    throw new TypeError(
      `trainNet: existing is ${showValue(existing)}, but there is no folder; give out, or leave it out.`,
    );
  const { steps } = training;
  const every = {
    evaluateEvery: evaluateEvery ?? Math.ceil(steps / 10),
    checkpointEvery: checkpointEvery ?? Math.ceil(steps / 5),
    gainsEvery: gainsEvery ?? 10,
    keepCheckpoints: keepCheckpoints ?? 2,
  };
  const trainer = createNetTrainer(runtime, net, training);
  let folder: RunFolder | undefined;
  try {
    for (const [name, value] of Object.entries(every)) expectWhole("trainNet", name, value, 1, MOST_COUNT);
    if (out !== undefined) {
      const config = configOf(nameOf(out, existing === "resume"), trainer, {
        ...training,
        ...every,
        ...given({ connection }),
      });
      if (existing === undefined || existing === "refuse") expectFree(out);
      folder = createRunFolder(out, config, {
        existing: existing ?? "refuse",
        versions: programVersions(runtime),
        keepCheckpoints: every.keepCheckpoints,
        checkpointBytes: 12 * trainer.parameterCount,
        // The program is what decides; the folder notes what it has changed.
        changed: ["steps", "optimizer", ...Object.keys(every)],
      });
      if (folder.resumeFrom) trainer.restore(loadCheckpoint(folder.resumeFrom.folder));
    }
    const tokens = net.mixing?.[0]?.shape[0];
    return await trainOn(trainer, folder, { ...every, steps, ...given({ tokens, evaluate, onStep, signal }) });
  } finally {
    folder?.close();
    trainer.release();
  }
}

interface Wishes
  extends
    Pick<TrainNetOptions, "evaluate" | "onStep" | "signal">,
    Pick<NetConfig, "steps" | "evaluateEvery" | "checkpointEvery" | "gainsEvery"> {
  /** Tokens of a batch, where the network says how many. */
  readonly tokens?: number;
}

async function trainOn(trainer: NetTrainer, folder: RunFolder | undefined, wishes: Wishes): Promise<TrainedNet> {
  const { steps, evaluateEvery, checkpointEvery, gainsEvery, tokens, evaluate, onStep, signal } = wishes;
  const metrics: NetRecord[] = folder ? (readMetrics(folder.folder) as NetRecord[]) : [];
  const gains: GainRecord[] = folder ? readGains(folder.folder) : [];
  let savedStep = folder?.resumeFrom?.step ?? 0;
  const due = (step: number, every: number): boolean => step % every === 0 || step === steps;
  const save = async (): Promise<void> => {
    if (savedStep === trainer.step) return;
    folder?.saveCheckpoint({ ...(await trainer.save()), state: {} });
    savedStep = trainer.step;
  };
  const pause = pauses();
  const isAborted = (): boolean => signal?.aborted ?? false;
  const add = (record: NetRecord, instruments: Instruments | undefined): void => {
    if (instruments) {
      const gain = gainRecord(record.step, instruments);
      gains.push(gain);
      folder?.appendGains(gain);
    }
    metrics.push(record);
    folder?.appendMetrics(record as MetricRecord);
  };
  /** Whether nobody looks at the network as the step leaves it, nor at what it mixes before. */
  const isPlain = (step: number): boolean =>
    !due(step, checkpointEvery) && !due(step, gainsEvery) && !(evaluate && due(step, evaluateEvery));
  const advance = async (goesOn: boolean): Promise<void> => {
    const next = trainer.step + 1;
    const { instruments, seconds, ...result } = await trainer.trainStep(due(next, gainsEvery), goesOn);
    if (!Number.isFinite(result.loss) || !Number.isFinite(result.gradientNorm))
      throw diverged(result, savedStep, folder);
    let record: NetRecord = {
      ...result,
      ...(tokens === undefined ? {} : { tokensPerSecond: tokens / seconds }),
      seconds: (metrics.at(-1)?.seconds ?? 0) + seconds,
    };
    try {
      if (evaluate && due(next, evaluateEvery)) record = { ...record, ...expectEvaluation(await evaluate(next)) };
    } finally {
      // The step is done, also where the program fails to evaluate it.
      add(record, instruments);
    }
    onStep?.(record);
    if (due(next, checkpointEvery)) await save();
  };
  const saveAll = async (): Promise<void> => {
    if (trainer.begun) await advance(false).catch(() => undefined);
    await save();
  };
  try {
    while (trainer.step < steps && !isAborted()) {
      await advance(isPlain(trainer.step + 1) && isPlain(trainer.step + 2));
      await pause();
    }
    if (trainer.begun) await advance(false);
  } catch (error) {
    // What the program throws loses no step; whether it can be saved is not what went wrong.
    if (!(error instanceof DivergenceError)) await saveAll().catch(() => undefined);
    throw error;
  }
  await save();
  return { metrics, gains, interrupted: trainer.step < steps };
}

/** A run keeps the name with which it began, also in a folder that was moved since. */
function nameOf(out: string, resumes: boolean): string {
  const name = path.basename(path.resolve(out));
  if (!resumes) return name;
  try {
    return parseNetConfig(describeResumable(out).config).name;
  } catch {
    // There is no such run yet.
    return name;
  }
}

function expectFree(out: string): void {
  try {
    expectNoRun(out);
  } catch (error) {
    if (!(error instanceof FolderTakenError)) throw error;
    throw new FolderTakenError(
      `trainNet: ${out} holds a run already, or files of one; give existing: "resume" to go on with it, existing: "overwrite" to replace it, or another out.`,
    );
  }
}

/** Lets signals and other work of the process in, several times a second; steps may be synchronous. */
function pauses(): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < 50) return undefined;
    last = performance.now();
    return new Promise((resolve) => setImmediate(resolve));
  };
}

function diverged(
  { step, loss, gradientNorm }: Pick<NetRecord, "step" | "loss" | "gradientNorm">,
  savedStep: number,
  folder: RunFolder | undefined,
): DivergenceError {
  const kept = folder && savedStep > 0 ? ` The last checkpoint is that of step ${savedStep}.` : "";
  return new DivergenceError(
    `trainNet: at step ${step} the loss is ${loss} and the norm of the gradients ${gradientNorm}; both must be finite. Give a lower learningRate, a longer warmup or a smaller clip, and look for values in the batch that are not finite.${kept}`,
  );
}

/** Names that mean something else in a record. */
const taken: ReadonlySet<string> = new Set(
  ["step", ...Object.keys(metricFields)].filter((name) => name !== "validationLoss" && name !== "bitsPerByte"),
);

function expectEvaluation(values: NetEvaluation): NetEvaluation {
  for (const [name, value] of Object.entries(values)) {
    if (taken.has(name))
      throw new Error(`trainNet: evaluate gives "${name}", which every step records already; give it another name.`);
    if (typeof value !== "number")
      throw new TypeError(`trainNet: evaluate gives ${showValue(value)} for ${name}; it must be a number.`);
  }
  return values;
}

function configOf(
  name: string,
  { parameterCount }: NetTrainer,
  {
    connection,
    ...options
  }: NetTraining &
    Pick<NetConfig, "evaluateEvery" | "checkpointEvery" | "keepCheckpoints" | "gainsEvery"> & { connection?: string },
): NetConfig {
  const { steps, batch: _, learningRate, warmup = 0, schedule = "constant", ...others } = options;
  const { evaluateEvery, checkpointEvery, keepCheckpoints, gainsEvery, ...settings } = others;
  const chosen = netOptimizer(settings);
  const rate = learningRate ?? (chosen ? optimizerEntry(chosen.kind).usual.learningRate : 3e-3);
  return {
    kind: "net",
    name,
    steps,
    model: { parameters: parameterCount, ...(connection === undefined ? {} : { connection: { kind: connection } }) },
    optimizer: {
      learningRate: typeof rate === "number" ? rate : "by step",
      warmup,
      schedule: scheduleOf(schedule),
      ...expectOptimizer("trainNet", chosen ?? given(settings)),
    },
    evaluateEvery,
    checkpointEvery,
    keepCheckpoints,
    gainsEvery,
  };
}
