// birkhoff study: measure trained runs beside each other.

import path from "node:path";
import { Argument, Command } from "commander";
import { given } from "../basics/given.ts";
import { showMany, showPlain } from "../basics/show.ts";
import { tasksText } from "../data/generated/table.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { formatJson, formatRecord } from "../files/json.ts";
import { expectPackages } from "../files/packages.ts";
import { expectFit, leastNeed, memoryLimits, type MemoryNeed } from "../planning/here/memory-limit.ts";
import { planAnswering, planDisturbing } from "../planning/here/model-memory.ts";
import type { Figure } from "../report/figures/figure.ts";
import { inOrder } from "../report/figures/series.ts";
import { reasoningFigures } from "../report/figures/reasoning.ts";
import { robustnessFigure } from "../report/figures/robustness.ts";
import { reasoningNotes, reasoningText } from "../report/reasoning-tables.ts";
import { renderSvg } from "../report/render.ts";
import { robustnessNotes, robustnessText } from "../report/robustness-tables.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { runBatches } from "../runs/batches.ts";
import { latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { findRuns } from "../runs/find-runs.ts";
import { names } from "../runs/names.ts";
import { readRunData, type RunData } from "../runs/run-data.ts";
import type { ReasoningData } from "../runs/reasoning-data.ts";
import type { RobustnessData } from "../runs/robustness-data.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { measureReasoning } from "../study/reasoning.ts";
import { measureRobustness } from "../study/robustness.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { type Interrupt, listenForInterrupt } from "./interrupt.ts";
import {
  isGiven,
  machineOptions,
  type MachineOptions,
  memoryOption,
  type MemoryOption,
  wholeNumber,
} from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { prepareRun } from "./session.ts";
import { warn } from "./warn.ts";

interface StudyOptions extends MachineOptions, MemoryOption {
  readonly draws?: number;
  readonly batches?: number;
  readonly tasks?: string;
  readonly questions?: number;
  readonly svg?: string;
  readonly cache?: string;
  readonly json?: boolean;
}

/** What a study is told of a run. */
interface Subject {
  readonly folder: string;
  readonly config: TrainingConfig;
  readonly data: PreparedFiles;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  readonly onProgress: (share: number) => void;
}

/** One study: what it measures of a run, and how the runs are shown together. */
interface Study {
  /** Options that only this study takes. */
  readonly own: readonly (keyof StudyOptions)[];
  /** The file in the run folder that holds the result. */
  readonly file: string;
  /** The memory that it needs for a run. */
  plan(config: TrainingConfig, machine: Machine): MemoryNeed;
  /** What was found; it counts for nothing once the signal is aborted. */
  measure(subject: Subject, options: StudyOptions): Promise<RobustnessData | ReasoningData | undefined>;
  text(runs: readonly RunData[], width: number): string;
  notes(runs: readonly RunData[]): readonly string[];
  figure(runs: readonly RunData[]): Figure | undefined;
}

/** Logits of all validation batches are kept, twice: no more than so many numbers, unless --batches asks for more. */
const MOST_LOGITS = 2 ** 26;

function batchesOf({ batch, model, evaluateBatches }: TrainingConfig, asked: number | undefined): number {
  const fitting = Math.max(1, Math.floor(MOST_LOGITS / (batch * model.context * model.vocabulary)));
  return asked ?? Math.min(evaluateBatches, fitting);
}

const checkpointOf = (folder: string): ReturnType<typeof loadModel> => {
  const place = latestCheckpoint(folder, warn);
  if (place) return loadModel(place.folder);
  throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
};

type StudyName = "robustness" | "reasoning";

const studies: Readonly<Record<StudyName, Study>> = {
  robustness: {
    own: ["draws", "batches"],
    file: names.robustness,
    plan: planDisturbing,
    async measure({ folder, config, data, runtime, signal, onProgress }, options) {
      const batches = runBatches(config, data, batchesOf(config, options.batches));
      try {
        return await measureRobustness(runtime, config, checkpointOf(folder), batches, {
          ...given({ draws: options.draws }),
          onRow: (_, done, total) => onProgress(done / total),
          signal,
        });
      } finally {
        batches.close();
      }
    },
    text: robustnessText,
    notes: robustnessNotes,
    figure: robustnessFigure,
  },
  reasoning: {
    own: ["tasks", "questions"],
    file: names.reasoning,
    plan: (config, machine) => planAnswering(config, machine),
    async measure({ folder, config, data, runtime, signal, onProgress }, options) {
      const tasks = options.tasks ?? (data.generated && tasksText(data.generated));
      if (tasks === undefined)
        throw new Error(
          `${folder} was not trained on generated tasks, so there is nothing to ask by default. Name tasks: --tasks khop:1-4,recall`,
        );
      return await measureReasoning(runtime, config, checkpointOf(folder), data.tokenizer, {
        tasks,
        ...given({ questions: options.questions }),
        onProgress,
        signal,
      });
    },
    text: reasoningText,
    notes: reasoningNotes,
    figure: (runs) => reasoningFigures(runs)[0],
  },
};

export const studyCommand: Command = memoryOption(machineOptions(new Command("study")), "studying")
  .description(
    "Measure trained runs beside each other: robustness disturbs their weights, inputs, streams and layers; reasoning asks them generated questions by difficulty.",
  )
  .addArgument(new Argument("<study>", "what to measure").choices(Object.keys(studies)))
  .argument("<runs...>", "run folders, or folders of run folders such as a comparison")
  .option("--draws <n>", "robustness: draws of each random disturbance (default: 3)", wholeNumber(1))
  .option("--batches <n>", "robustness: validation batches (default: as many as the run used)", wholeNumber(1))
  .option("--tasks <list>", "reasoning: tasks and difficulties, such as khop:1-4,recall (default: the run's own)")
  .option("--questions <n>", "reasoning: questions of each task and difficulty (default: 100)", wholeNumber(1))
  .option("--svg <file>", "draw the results as one chart")
  .option("--cache <folder>", "where tokenizers and tokens are kept (default: ~/.cache/birkhoff)")
  .option("--json", "print the results of all runs as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff study robustness runs/sotu-nano-1            all runs of a comparison
  birkhoff study robustness runs/a runs/b --draws 8 --svg robustness.svg
  birkhoff study reasoning runs/generated-reasoning-1 --questions 400
  birkhoff study reasoning runs/mine/mhc --tasks khop:1-6,bbh_web_of_lies
The results are also kept in the run folders, as robustness.json and reasoning.json, and birkhoff report shows them.`,
  )
  .action(async (name: StudyName, paths: readonly string[], options: StudyOptions, command: Command) => {
    const study: Study = studies[name];
    for (const [other, { own }] of Object.entries(studies))
      for (const option of own)
        if (other !== name && isGiven(command, option))
          throw new Error(`--${option} is for birkhoff study ${other}. Leave it out.`);
    await expectChosen(options);
    if (options.svg !== undefined) expectPackages("charts");
    const folders = findRuns(paths);
    const interrupt = listenForInterrupt();
    try {
      await studyRuns(study, folders, options, interrupt);
    } finally {
      interrupt.close();
    }
    if (interrupt.signal.aborted) return;
    const runs = inOrder(paths, folders.map(readRunData));
    const width = widthOf(process.stdout);
    const results = Object.fromEntries(runs.map((run) => [run.folder, run[name]]));
    process.stdout.write(options.json ? `${formatJson(results)}\n` : `${study.text(runs, width)}\n\n`);
    if (!options.json) process.stdout.write(`${prose(study.notes(runs).join("\n"), process.stdout)}\n`);
    if (options.svg !== undefined) await writeFigure(options.svg, study.figure(runs));
    process.stderr.write(`Saved in the run folders, as ${study.file}.\n`);
  });

/** Measure every run, and keep what was measured in its folder. */
async function studyRuns(
  study: Study,
  folders: readonly string[],
  options: StudyOptions,
  { signal }: Pick<Interrupt, "signal">,
): Promise<void> {
  const { measure, file, plan } = study;
  const runtime = await openChosen(options);
  try {
    for (const [index, folder] of folders.entries()) {
      const run = openRunFolder(folder);
      const config = parseTrainingConfig(run.config, path.join(folder, "config.json"));
      const data = await prepareRun(config, folder, options);
      try {
        expectRoom(runtime, config, plan, options);
        const onProgress = (share: number): void => sayProgress(config.name, index, folders.length, share);
        const result = await measure({ folder, config, data, runtime, signal, onProgress }, options);
        if (signal.aborted || !result) {
          process.stderr.write(`Stopped at ${showPlain(config.name)}; ${showMany(index, "run")} measured and saved.\n`);
          return;
        }
        writeFileAtomically(path.join(folder, file), formatRecord(result));
      } finally {
        data.close();
      }
    }
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
    runtime.close();
  }
}

function expectRoom({ machine }: Runtime, config: TrainingConfig, plan: Study["plan"], { memory }: MemoryOption): void {
  if (!machine) return;
  expectFit(
    `${config.name}: studying it`,
    memoryLimits(machine.device, memory),
    (made) => plan(config, made[0] ? machine.withThreads(made[0].threads) : machine),
    machine.device.threads > 1 ? [{ option: "--threads 1", threads: 1 }] : [],
    "It is measured on batches as large as in training: free some memory, or use a run with smaller batches.",
    leastNeed([config.model], 4),
  );
}

/** One line, overwritten each time; a pipe gets one for every run. */
function sayProgress(name: string, index: number, runs: number, share: number): void {
  const line = `${index + 1} of ${runs}: ${showPlain(name)}, ${Math.floor(100 * share)} %`;
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${line.slice(0, widthOf(process.stderr) - 1)}`);
  else if (share === 1) process.stderr.write(`${line}\n`);
}

async function writeFigure(file: string, figure: Figure | undefined): Promise<void> {
  if (!figure)
    throw new Error("study: there is no chart, because no result is a finite number; the run folders hold all.");
  const svg = await renderSvg(figure.spec, { background: "white" });
  try {
    writeFileAtomically(file, `${svg}\n`);
  } catch (error) {
    throw new Error(
      `study: the chart cannot be written to ${file}: ${reason(error)}. Name a file in an existing folder.`,
      { cause: error },
    );
  }
  process.stderr.write(`Chart: ${file}\n`);
}
