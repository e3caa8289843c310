// birkhoff eval: benchmarks with the prompts and rules of lm-evaluation-harness.

import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { given } from "../basics/given.ts";
import { showCount, showMany } from "../basics/show.ts";
import { type AnswerLog, openAnswers } from "../evaluation/answer-log.ts";
import { type DataFolder, noDataFolder, readDataFolder } from "../evaluation/data-folder.ts";
import { type Difference, difference } from "../evaluation/differences.ts";
import { evaluate, type EvaluationReport, type EvaluationProgress } from "../evaluation/evaluate.ts";
import { planTask, type TaskPlan } from "../evaluation/prompts.ts";
import { type EvaluatedRun, openRunModel } from "../evaluation/run-model.ts";
import type { Task } from "../evaluation/task.ts";
import { families, findTasks } from "../evaluation/tasks/table.ts";
import { writeResults } from "../evaluation/write-results.ts";
import { formatJson } from "../files/json.ts";
import { expectFit, leastNeed, memoryLimits } from "../planning/here/memory-limit.ts";
import { planAnswering } from "../planning/here/model-memory.ts";
import { evaluationText, leaves, type NamedEvaluation } from "../report/evaluation-text.ts";
import { widthOf } from "../report/terminal.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { acceptConfig } from "./config-file.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { machineOptions, type MachineOptions, memoryOption, type MemoryOption, seed, wholeNumber } from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { say, warn } from "./warn.ts";

interface EvalCommandOptions extends MachineOptions, MemoryOption {
  readonly tasks: readonly Task[];
  readonly data?: string;
  readonly shots?: number;
  readonly paper?: boolean;
  readonly limit?: number;
  readonly seed: number;
  readonly lanes?: number;
  readonly output?: string;
  readonly each?: boolean;
  readonly json?: boolean;
}

function taskList(text: string): readonly Task[] {
  try {
    return findTasks(text.split(",").map((name) => name.trim()));
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message.replace(/^tasks: /, ""));
  }
}

export const evalCommand: Command = acceptConfig(memoryOption(machineOptions(new Command("eval")), "answering"))
  .description(
    "Ask trained models the questions of benchmarks, by the rules of lm-evaluation-harness, and compare them.",
  )
  .argument("<runs...>", "run folders; each is compared with the first")
  .requiredOption(
    "--tasks <list>",
    `benchmarks, separated by commas: ${Object.keys(families).join(", ")}, or their groups and tasks by the harness's names`,
    taskList,
  )
  .option(
    "--data <folder>",
    "the folder that holds the benchmarks' files; none come with this package, and generated tasks need none",
  )
  .option("--shots <n>", "solved examples in each prompt (default: the harness's of each task)", wholeNumber(0, 1000))
  .option("--paper", "as many shots as the mHC paper's Table 4")
  .option("--limit <n>", "ask only the first n examples of each task", wholeNumber(1))
  .option("--seed <n>", "seed of the examples that prompts show", seed, 1234)
  .option(
    "--lanes <n>",
    "prompts that are read side by side (default: 32, fewer for large models)",
    wholeNumber(1, 1024),
  )
  .option("--output <folder>", "where results go, a folder for each run (default: eval in each run folder)")
  .option("--each", "show the tasks of a group, too")
  .option("--json", "print the results as JSON")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff eval runs/sotu-nano-1/mhc --tasks piqa,hellaswag --data benchmarks --limit 200
  birkhoff eval runs/generated-1/residual runs/generated-1/mhc --tasks generated_khop,generated_bbh_navigate
  birkhoff eval runs/sotu-nano-1/residual runs/sotu-nano-1/mhc --tasks mmlu --data benchmarks --paper
The folder has a folder for each benchmark; docs/evaluation.md says which files. What is answered is kept: the same
command again goes on where it was stopped.`,
  )
  .action(async (folders: readonly string[], options: EvalCommandOptions) => {
    if (options.paper && options.shots !== undefined)
      throw new Error("--paper and --shots are both given; they set the same; leave one of them out.");
    await expectChosen(options);
    const runs = folders.map((folder) => openRunModel(folder, warn));
    const names = shortNames(folders);
    const plans: TaskPlan[] = [];
    const opened = new Map<string, Promise<DataFolder>>();
    for (const task of options.tasks)
      plans.push(
        planTask(task, await dataOf(task, options.data, opened), {
          shots: options.paper ? families[task.family].paperShots : options.shots,
          ...given({ limit: options.limit, seed: options.seed }),
        }),
      );
    sayShots(plans);
    const interrupt = listenForInterrupt();
    const found: NamedEvaluation[] = [];
    try {
      for (const [index, run] of runs.entries()) {
        const place =
          options.output === undefined ? path.join(run.folder, "eval") : path.join(options.output, names[index]!);
        const evaluation = await evaluateRun(run, names[index]!, place, plans, options, interrupt.signal);
        if (!evaluation) {
          say(`Stopped; the answers so far are in ${path.join(place, "answers.jsonl")}, and the same command goes on.`);
          return;
        }
        found.push({ name: names[index]!, evaluation });
      }
    } finally {
      interrupt.close();
    }
    process.stdout.write(
      options.json
        ? `${formatJson(asJson(found))}\n`
        : `${evaluationText(found, plans, { width: widthOf(process.stdout), ...given({ each: options.each }) })}\n`,
    );
  });

/** The files of a task; those that are generated need none. The tasks of a benchmark have them in common. */
async function dataOf(
  task: Task,
  folder: string | undefined,
  opened: Map<string, Promise<DataFolder>>,
): Promise<DataFolder> {
  if (task.family === "generated") return noDataFolder;
  if (folder !== undefined) {
    const name = dataName(task);
    const data = opened.get(name) ?? readDataFolder(folder, name);
    opened.set(name, data);
    return data;
  }
  throw new Error(
    `eval: --data is not given, and ${task.name} is read from files; name the folder that holds them, such as --data benchmarks.`,
  );
}

/** MATH's two prompts read the same files. */
const dataName = ({ family }: Task): string => (family === "hendrycks_math" ? "math" : family);

async function evaluateRun(
  run: EvaluatedRun,
  name: string,
  place: string,
  plans: readonly TaskPlan[],
  options: EvalCommandOptions,
  signal: AbortSignal,
): Promise<EvaluationReport | undefined> {
  const began = Date.now();
  const runtime = await openChosen(options);
  let store: AnswerLog | undefined;
  try {
    if (runtime.machine) expectRoom(run, runtime.machine, options);
    store = openAnswers(place, { ...run.identity, window: run.config.model.context, runtime: runtime.name });
    const model = run.open(runtime, { lanes: options.lanes });
    const progress = progressLine(name);
    const evaluation = await evaluate(model, plans, { store, onProgress: progress.show, signal });
    progress.end();
    if (!evaluation) return undefined;
    const requests = plans.flatMap(({ prompts }) => prompts.map(({ request }) => request));
    const cut = requests.filter((request) => store!.cut.has(request)).length;
    if (cut > 0)
      warn(
        `${name}: ${showMany(cut, "prompt")} of ${showCount(requests.length)} did not fit into the window of ${run.config.model.context} tokens; what stood at the beginning was left out.`,
      );
    writeResults(place, evaluation, {
      model_name: run.config.name,
      config: {
        model: "birkhoff",
        model_args: run.folder,
        step: run.step,
        ...run.identity,
        ...given({ limit: options.limit }),
        max_length: run.config.model.context,
        fewshot_seed: options.seed,
        cut_prompts: cut,
      },
      date: began / 1000,
      total_evaluation_time_seconds: (Date.now() - began) / 1000,
    });
    say(`${name}: results and samples are in ${place}`);
    return evaluation;
  } finally {
    store?.close();
    runtime.close();
  }
}

/** Throw if memory does not suffice. */
function expectRoom({ config }: EvaluatedRun, machine: Machine, { memory, lanes }: EvalCommandOptions): void {
  expectFit(
    `${config.name}: answering`,
    memoryLimits(machine.device, memory),
    (made) => {
      const { threads, lanes: fewer = lanes } = Object.assign({}, ...made) as { threads?: number; lanes?: number };
      return planAnswering(config, threads ? machine.withThreads(threads) : machine, fewer);
    },
    [
      ...(lanes === 1 ? [] : [{ option: "--lanes 1", lanes: 1 }]),
      ...(machine.device.threads > 1 ? [{ option: "--threads 1", threads: 1 }] : []),
    ],
    "Most of it is the model: free some memory, or use a smaller model.",
    leastNeed([config.model], 4),
  );
}

/** Say where examples come from that are not of the split that the harness takes. */
function sayShots(plans: readonly TaskPlan[]): void {
  for (const { task, shots, shownFrom } of plans)
    if (shots > 0 && (shownFrom === "validation" || shownFrom === "test"))
      say(`${task.name}: its shots are other ${shownFrom} examples, because the folder has no training examples.`);
}

/** What distinguishes the folders: their last part, or as much as is needed. */
function shortNames(folders: readonly string[]): string[] {
  const parts = folders.map((folder) => path.resolve(folder).split(path.sep));
  for (let length = 1; length <= Math.max(...parts.map((each) => each.length)); length++) {
    const names = parts.map((each) => each.slice(-length).join("-"));
    if (new Set(names).size === names.length) return names;
  }
  return folders.map((folder, index) => `${path.basename(path.resolve(folder))}-${index + 1}`);
}

/** One line, overwritten each time; into a pipe a line each half minute. */
function progressLine(name: string): { show(progress: EvaluationProgress): void; end(): void } {
  const terminal = process.stderr.isTTY;
  const interval = terminal ? 200 : 30_000;
  const began = performance.now();
  let said = terminal ? 0 : began;
  let first: number | undefined;
  return {
    show({ task, done, total, tokens }) {
      first ??= done - 1;
      const now = performance.now();
      if (now - said < interval) return;
      said = now;
      const seconds = (now - began) / 1000;
      const left = ((total - done) * seconds) / (done - first);
      const line = `${name}, ${task}: ${showCount(done)} of ${showCount(total)}, ${showCount(Math.round(tokens / seconds))} tokens/s, ${showTime(left)} left`;
      process.stderr.write(terminal ? `\r\u001B[K${line.slice(0, widthOf(process.stderr) - 1)}` : `${line}\n`);
    },
    end: () => void (terminal && process.stderr.write("\r\u001B[K")),
  };
}

const showTime = (seconds: number): string =>
  seconds < 90
    ? `${Math.ceil(seconds)} s`
    : seconds < 5400
      ? `${Math.ceil(seconds / 60)} min`
      : `${Math.ceil(seconds / 3600)} h`;

/** The results of each run, and its differences from the first. */
function asJson(found: readonly NamedEvaluation[]): unknown {
  const [first] = found;
  return found.map(({ name, evaluation }) => {
    const { verdicts: _, samples: __, ...results } = evaluation;
    const differences = Object.fromEntries(
      Object.entries(results.results).map(([task, entry]) => {
        const verdictsOf = (from: EvaluationReport) => leaves(task).flatMap((leaf) => from.verdicts[leaf]!);
        const keys = Object.keys(entry).filter((key) => key.includes(",") && !key.includes("_stderr"));
        const pairs = keys.map((key) => [key, difference(key, verdictsOf(evaluation), verdictsOf(first!.evaluation))]);
        return [task, Object.fromEntries(pairs) as Record<string, Difference>];
      }),
    );
    return { run: name, ...results, ...(evaluation !== first!.evaluation && { differences }) };
  });
}
