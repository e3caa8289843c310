// Question: what is left and shown of an experiment, once its models are trained?
//
// The report with the figures in the paper's form, or, where the experiment asks questions, with the answers by task and
// difficulty.

import path from "node:path";
import { showMany } from "../basics/show.ts";
import { drawTable } from "../basics/table.ts";
import { tasksText } from "../data/generated/table.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { formatRecord } from "../files/json.ts";
import { findings } from "../report/findings.ts";
import { comparePaper, comparisonColumns } from "../report/paper-comparison.ts";
import { reasoningNotes, reasoningText } from "../report/reasoning-tables.ts";
import { widthOf } from "../report/terminal.ts";
import { writeReport } from "../report/write-report.ts";
import { names } from "../runs/names.ts";
import type { Run } from "../runs/run.ts";
import { readRunData, type RunData } from "../runs/run-data.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { measureReasoning } from "../study/reasoning.ts";
import { type ExperimentName, experiments } from "./experiments.ts";
import { print, say, warn } from "./warn.ts";

/** Ask the trained models the questions of their tasks, and keep what they answer in their folders. */
async function askQuestions(
  runs: readonly Run[],
  runtime: Runtime,
  { tokenizer, generated }: PreparedFiles,
): Promise<void> {
  const tasks = tasksText(generated!);
  for (const { config, trainer, folder } of runs) {
    say(`${config.name} answers questions`);
    try {
      const answers = await measureReasoning(runtime, config, await trainer.save(), tokenizer, { tasks });
      if (answers) writeFileAtomically(path.join(folder.folder, names.reasoning), formatRecord(answers));
    } catch (error) {
      // One that has diverged must not cost the others their report.
      warn(`${config.name} has no answers: ${reason(error)}`);
    }
  }
}

/** Write the report with the paper's figures, and every figure as a file of its own. */
export async function writeExperiment(
  experiment: ExperimentName,
  runs: readonly Run[],
  folder: string,
  runtime: Runtime,
  data: PreparedFiles,
): Promise<{ read: RunData[]; written: string[] }> {
  const { asksQuestions } = experiments[experiment];
  if (asksQuestions) await askQuestions(runs, runtime, data);
  const read = runs.map((run) => readRunData(run.folder.folder));
  const figures = path.join(folder, "figures");
  const places = { out: path.join(folder, "report.html"), svg: figures, png: figures };
  return { read, written: await writeReport(read, places, { paper: !asksQuestions }) };
}

/** Write it, and show what it says in the terminal. */
export async function reportExperiment(...experiment: Parameters<typeof writeExperiment>): Promise<void> {
  const [name, , folder] = experiment;
  const { read, written } = await writeExperiment(...experiment);
  print(`\n${findings(read).join("\n")}\n`);
  if (experiments[name].asksQuestions) {
    process.stdout.write(`\n${reasoningText(read, widthOf(process.stdout))}\n\n`);
    print(`${reasoningNotes(read).join("\n")}\n\n`);
  }
  const rows = experiments[name].asksQuestions ? [] : comparePaper(read);
  if (rows.length > 0) {
    const cells = rows.map(({ quantity, paper, here, verdict }) => [quantity, paper, here, verdict]);
    process.stdout.write(`\n${drawTable([comparisonColumns, ...cells], { width: widthOf(process.stdout) })}\n`);
  }
  process.stdout.write(
    `Report: ${written[0]}; ${showMany(written.length - 1, "picture")} in ${path.join(folder, "figures")}\n`,
  );
}
