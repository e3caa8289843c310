// birkhoff study: answer a question by measurement, of trained runs or by training runs of its own.

import { Argument, Command } from "commander";
import { showMany } from "../basics/show.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { formatJson } from "../files/json.ts";
import { expectPackages } from "../files/packages.ts";
import type { Figure } from "../report/figures/figure.ts";
import { inOrder } from "../report/figures/series.ts";
import { renderSvg } from "../report/render.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { findRuns } from "../runs/find-runs.ts";
import { readRunData } from "../runs/run-data.ts";
import type { AskedOfRuns, RunsStudy, Study, Subject } from "../studies/study.ts";
import { type StudyName, studies, studyNames } from "../studies/table.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { isGiven, machineOptions, memoryOption, wholeNumber } from "./options.ts";
import { expectChosen } from "./runtime.ts";
import { type ExperimentOptions, runExperiment } from "./study-experiment.ts";
import { type MeasuringOptions, measureRuns } from "./study-runs.ts";

interface RunsOptions extends MeasuringOptions, AskedOfRuns {
  readonly svg?: string;
  readonly json?: boolean;
}
type StudyOptions = RunsOptions & ExperimentOptions;

/** Options that only one kind of study takes. */
const ofKind: Readonly<Record<Study["kind"], readonly (keyof StudyOptions)[]>> = {
  runs: ["svg"],
  experiment: ["tiny", "small", "medium", "seeds", "data", "out", "page", "workers"],
};

const ofRuns = studyNames
  .filter((name) => studies[name].kind === "runs")
  .map((name) => `${name} ${studies[name].shows}`)
  .join("; ");
const longest = Math.max(...studyNames.map(({ length }) => length));
const questions = studyNames.flatMap((name) => {
  const study: Study = studies[name];
  return study.kind === "experiment"
    ? [`  ${name.padEnd(longest + 2)}${study.question} (--small: about ${showMany(study.minutes, "minute")})`]
    : [];
});

export const studyCommand: Command = memoryOption(
  machineOptions(new Command("study"), "all cores; for each run of an experiment 1"),
  "studying",
)
  .description(
    "Answer a question by measurement: of trained runs beside each other, or by an experiment that trains its own and writes a page.",
  )
  .addArgument(new Argument("<study>", "what to measure").choices(studyNames))
  .argument("[runs...]", "run folders, or folders of run folders such as a comparison; none for an experiment")
  .option("--draws <n>", "robustness: draws of each random disturbance (default: 3)", wholeNumber(1))
  .option("--batches <n>", "robustness: validation batches (default: as many as the run used)", wholeNumber(1))
  .option("--tasks <list>", "reasoning: tasks and difficulties, such as khop:1-4,recall (default: the run's own)")
  .option("--questions <n>", "reasoning: questions of each task and difficulty (default: 100)", wholeNumber(1))
  .option("--svg <file>", "of runs: draw the results as one chart")
  .option("--small", "experiments: a size that takes minutes on two cores, said below")
  .option("--medium", "experiments: small models trained for longer, over more seeds: about ten times those minutes")
  .option("--tiny", "experiments: a size that takes seconds, and shows only that everything works")
  .option("--seeds <n>", "experiments: how many seeds (default: the study's own)", wholeNumber(1, 1000))
  .option("--data <source>", "experiments: train on this text (default: the study's own)")
  .option("--out <folder>", "experiments: folder of the runs (default: runs/study-<name>-<size>)")
  .option("--page <folder>", "experiments: folder of the page, with a summary of all pages there (default: --out)")
  .option("--workers <n>", "experiments: most runs at a time (default: cores / threads)", wholeNumber(1, 1024))
  .option("--cache <folder>", "where tokenizers and tokens are kept (default: ~/.cache/birkhoff)")
  .option("--json", "print the results as JSON; of an experiment as JSON lines, as birkhoff sweep does")
  .addHelpText(
    "after",
    `
Of runs: ${ofRuns}.
Experiments train runs of their own; stopped or killed, the same command goes on:
${questions.join("\n")}

Examples:
  birkhoff study robustness runs/sotu-nano-1            all runs of a comparison
  birkhoff study robustness runs/a runs/b --draws 8 --svg robustness.svg
  birkhoff study reasoning runs/generated-reasoning-1 --questions 400
  birkhoff study reasoning runs/mine/mhc --tasks khop:1-6,bbh_web_of_lies
  birkhoff study constraints --small                    train, measure, and write a page
  birkhoff study constraints --seeds 8 --page docs/studies
What is measured of runs is also kept in their folders, as robustness.json and reasoning.json, and birkhoff report shows it.`,
  )
  .action(async (name: StudyName, paths: readonly string[], options: StudyOptions, command: Command) => {
    const study: Study = studies[name];
    expectOwn(name, study, command);
    await expectChosen(options);
    if (study.kind === "experiment") {
      if (paths.length > 0)
        throw new Error(
          `birkhoff study ${name} trains its own runs. Leave out ${paths.join(" ")}; --out names their folder.`,
        );
      return await runExperiment(name, study, options);
    }
    if (paths.length === 0)
      throw new Error(
        `birkhoff study ${name} measures trained runs. Give their folders, such as: birkhoff study ${name} runs/mine`,
      );
    await studyRuns(study, paths, options);
  });

/** Refuse options that are for other studies. */
function expectOwn(name: StudyName, study: Study, command: Command): void {
  for (const other of studyNames) {
    const its: Study = studies[other];
    if (other === name || its.kind !== "runs") continue;
    for (const option of its.own)
      if (isGiven(command, option)) throw new Error(`--${option} is for birkhoff study ${other}. Leave it out.`);
  }
  const [others, what] =
    study.kind === "runs" ? ([ofKind.experiment, "experiments"] as const) : ([ofKind.runs, "studies of runs"] as const);
  for (const option of others)
    if (isGiven(command, option)) throw new Error(`--${option} is for ${what}, and ${name} is none. Leave it out.`);
}

/** Measure runs, and show what was found. */
async function studyRuns(study: RunsStudy, paths: readonly string[], options: RunsOptions): Promise<void> {
  if (options.svg !== undefined) expectPackages("charts");
  const folders = findRuns(paths);
  const interrupt = listenForInterrupt();
  try {
    const measuring = {
      ...study,
      measure: (subject: Subject) => study.measure(subject, options),
    };
    if (!(await measureRuns(measuring, folders, options, interrupt.signal))) return;
  } finally {
    interrupt.close();
  }
  const runs = inOrder(paths, folders.map(readRunData));
  const results = Object.fromEntries(runs.map((run) => [run.folder, study.found(run)]));
  process.stdout.write(options.json ? `${formatJson(results)}\n` : `${study.text(runs, widthOf(process.stdout))}\n\n`);
  if (!options.json) process.stdout.write(`${prose(study.notes(runs).join("\n"), process.stdout)}\n`);
  if (options.svg !== undefined) await writeFigure(options.svg, study.figure(runs));
  process.stderr.write(`Saved in the run folders, as ${study.file}.\n`);
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
