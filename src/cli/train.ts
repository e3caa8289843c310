// birkhoff train: train one model on the user's text, or continue a run.

import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { shellWord, showPlain } from "../basics/show.ts";
import { openPrepared } from "../data/prepare.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { drawCurves, summaryTable } from "../report/summary.ts";
import { lookOf, prose } from "../report/terminal.ts";
import type { PageBeside } from "../report/server/beside.ts";
import { hasEventFiles, recordTensorBoard } from "../interop/tensorboard.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { describeResumable } from "../runs/description.ts";
import { type CheckpointChoice, expectFits, findStart, type StartingPoint } from "../runs/fork.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { expectNoRun, FolderTakenError } from "../runs/run-folder.ts";
import { FolderInUseError } from "../files/lock.ts";
import { expectPackages } from "../files/packages.ts";
import { openRun, type Run } from "../runs/run.ts";
import { type GpuExchange, gpuExchanges } from "../runtime/collective/nccl/join.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { MeshSize } from "../training/parallel/mesh.ts";
import type { PipelinePlan } from "../training/parallel/pipeline/stage.ts";
import { type ScheduleName, scheduleNames } from "../training/parallel/schedules/table.ts";
import { planSpread } from "../training/parallel/spread.ts";
import { acceptConfig, inherit } from "./config-file.ts";
import { fieldsOf } from "./run-config.ts";
import { type ConnectionChoice, writeChoice } from "./connections.ts";
import { changedConfig, checkConfig, configFrom, expectEffect, expectResumable } from "./configuration.ts";
import {
  connectionOption,
  expectUnused,
  isGiven,
  meshSizes,
  sourceName,
  trainingOptions,
  type TrainingOptions,
  wholeNumber,
} from "./options.ts";
import { keepPage, showPage } from "./page.ts";
import { joinRanks, type Leader, threadsHere } from "./ranks.ts";
import { type TrainingRoom, trainingRoom } from "./room.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { prepare, prepareRun, summaryRow, tellOfDefaultText, textOf, trainAll } from "./session.ts";
import { samplePrompt, writeSample } from "../runs/write-sample.ts";
import { printedSample } from "./text.ts";
import { drawTimeline, prepareTimeline } from "./timeline.ts";
import { startOf as startLine, tellJson } from "./events.ts";
import { say, warn } from "./warn.ts";

export interface TrainOptions extends TrainingOptions {
  readonly connection: ConnectionChoice;
  readonly out?: string;
  readonly resume?: string;
  readonly overwrite?: boolean;
  readonly continue?: boolean;
  readonly from?: string;
  readonly fromCheckpoint: CheckpointChoice;
  readonly mesh?: Partial<MeshSize>;
  readonly pipelineSchedule: ScheduleName;
  readonly pipelineChunks: number;
  readonly timeline?: string;
  readonly exchange: GpuExchange;
}

export const trainCommand: Command = acceptConfig(trainingOptions(new Command("train")))
  .description("Train one model on files of text, documents or token ids, a folder of them or standard input.")
  .addOption(connectionOption)
  .option("--out <folder>", "the run folder (default: the first free of runs/<data>-<preset>-<connection>, …-2, …-3)")
  .option("--overwrite", "remove the run that the folder already holds")
  .addOption(
    new Option(
      "--continue",
      "go on with the run that --out already holds, if it was begun with these options; else begin it. For schedulers that start a command again",
    ).conflicts(["overwrite", "resume"]),
  )
  .option(
    "--resume <run>",
    "continue a run from its last checkpoint; its options come from the run, but --steps, --learning-rate, --evaluate-every, --checkpoint-every, --sample-every, --precision and --set change it from there on",
  )
  .addOption(
    new Option(
      "--from <run>",
      "begin a new run with the weights and the tokenizer of another; its options are kept where no others are given",
    ).conflicts(["resume", "preset", "vocabulary"]),
  )
  .addOption(
    new Option("--from-checkpoint <step>", "of --from: the step of a checkpoint, best (by validation loss) or last")
      .argParser(checkpointChoice)
      .default("last"),
  )
  .addOption(
    new Option(
      "--mesh <sizes>",
      "how processes share the model, such as data=2,pipeline=2: the product is their number (default: data alone; docs/clusters.md)",
    ).argParser(meshSizes),
  )
  .addOption(
    new Option("--pipeline-schedule <name>", "of a mesh with pipeline: the order of its passes (docs/pipeline.md)")
      .choices(scheduleNames)
      .default("1f1b"),
  )
  .option("--pipeline-chunks <v>", "of the interleaved schedule: pieces of the model in a stage", wholeNumber(1, 64), 2)
  .addOption(
    new Option(
      "--exchange <way>",
      "of several processes: how gradients go from GPU to GPU, by nccl, or by messages through the processors' memory; auto takes NCCL where each process has a GPU of its own (docs/clusters.md)",
    )
      .choices(gpuExchanges)
      .default("auto"),
  )
  .option("--timeline <file>", "of a mesh with pipeline: draw the last step beside what is simulated, as a page")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff train --data my.txt --steps 1000
  birkhoff train --data notes/ --connection hc --streams 2 --out runs/notes
  birkhoff train --data my.txt --connection mhc:residualMap=cayley
  cat *.md | birkhoff train --data - --preset micro
  birkhoff train --data corpus.jsonl.gz --column content
  birkhoff train --data fineweb/*.parquet --tokenizer gpt2/tokenizer.json --preset gpt2-small --learning-rate 6e-4
  birkhoff train --data fineweb/ code.jsonl --weights 3,1
  birkhoff train --data my.txt --alarm gain=100:stop --alarm spike=6:rollback
  birkhoff launch -n 4 -- train --data my.txt --accumulate 8 --mesh data=2,pipeline=2
  birkhoff train --resume runs/notes
  birkhoff train --resume runs/notes --steps 2000           a finished run, trained on
  birkhoff train --data my.txt --out runs/my --continue     begins, or goes on
  birkhoff train --from runs/notes --data more/ --learning-rate 5e-4
  birkhoff train --config my-run.yaml --seed 2`,
  )
  .action(async (asking: TrainOptions, command: Command) => {
    const ranks = await joinRanks(() => openChosen(command.opts<TrainOptions>(), threadsHere()), asking.exchange);
    // Another rank has done its part.
    if (!ranks) return;
    try {
      await train(asking, command, ranks);
    } finally {
      await ranks.end();
    }
  });

/** Train as the options say, with the other ranks where there are any. */
async function train(asking: TrainOptions, command: Command, ranks: Leader): Promise<void> {
  if (asking.continue && asking.out === undefined)
    throw new Error("--continue goes on with the run in --out, which is not given: name the folder with --out.");
  if (asking.resume !== undefined) expectResumable(command, ["connection", "out", "overwrite"]);
  const start = asking.from === undefined ? undefined : startOf(asking.from, asking, command);
  const options = command.opts<TrainOptions>();
  if (options.page !== undefined) expectPackages("page");
  const asked = options.resume === undefined ? undefined : changedConfig(readConfig(options.resume), options, command);
  const resumed = asked?.config;
  await expectChosen(options);
  let folder = options.resume ?? options.out ?? freeFolder(options);
  // Before the text is read.
  if (options.resume === undefined && !options.overwrite && !options.continue) expectNoRun(folder);
  const name = path.basename(folder);
  if (ranks.collective.size === 1) expectUnused(command, ["exchange"], "in one process, whose GPU has no other");
  const runtime = await openChosen(options, threadsHere());
  let data: PreparedFiles | undefined;
  let run: Run | undefined;
  let page: PageBeside | undefined;
  try {
    const spread = spreadOf(options, command, ranks.collective, runtime);
    const room = trainingRoom(runtime, options, {
      resumed: resumed !== undefined,
      connections: (field, [value]) => `--connection ${writeChoice(options.connection, field, value)}`,
      place: ranks.collective,
      ...given({ spread }),
    });
    const begun = resumed
      ? await beginAgain(resumed, options.resume!, options, room)
      : await begin(options, command, name, start, room);
    const { config } = begun;
    data = begun.data;
    const { tokenizer } = data;
    const prompt = samplePrompt(data);
    const plan = spread?.(config);
    const collective = await ranks.begin(config, data, runtime, plan);
    const openIn = (place: string): Promise<Run> =>
      openRun(runtime, { ...config, name: resumed ? config.name : path.basename(place) }, begun.data, place, {
        existing: options.resume || options.continue ? "resume" : options.overwrite ? "overwrite" : "refuse",
        onWarning: warn,
        onNote: say,
        collective,
        ...given({ changed: asked?.changed, spread: plan }),
      });
    const named = (options.resume ?? options.out) !== undefined || options.overwrite;
    // All ranks make the groups of a mesh at once: rank 0 cannot make them again.
    const opened = named || plan ? { run: await openIn(folder), folder } : await openFree(options, folder, openIn);
    ({ run, folder } = opened);
    if (options.tensorboard || (options.resume !== undefined && hasEventFiles(folder)))
      run = recordTensorBoard(run, folder);
    if (options.page !== undefined) page = await showPage([run], folder, options.page);
    const tell = options.json ? tellJson : undefined;
    tell?.("start", startLine([run], folder));
    const { interrupted: stopped } = await trainAll([run], undefined, page, tell);
    const row = summaryRow(run);
    if (tell) {
      tell("result", { folder, stopped, ...row });
      if (stopped) process.stderr.write(`Continue: birkhoff train --resume ${shellWord(folder)}\n`);
    } else {
      const look = lookOf(process.stdout);
      process.stdout.write(
        `\n${drawCurves([{ name: "training loss", values: run.metrics.map(({ loss }) => loss) }], look)}\n\n${summaryTable([row], look.width)}\n`,
      );
      const sample = stopped ? undefined : await writeSample(run, tokenizer, prompt);
      if (sample) process.stdout.write(prose(`\n${printedSample(sample.prompt + sample.text)}\n`, process.stdout));
      process.stdout.write(
        `\n${stopped ? `Continue: birkhoff train --resume ${shellWord(folder)}` : `Saved in: ${showPlain(folder)}`}\n`,
      );
    }
    if (plan && options.timeline !== undefined) say(drawTimeline(options.timeline, run, plan));
    if (stopped) return;
  } finally {
    run?.close();
    try {
      // What the GPUs of all ranks have between them ends before they do.
      await ranks.end();
    } finally {
      runtime.close();
      data?.close();
    }
  }
  await keepPage(page, !options.json);
}

/** What is trained, and on which text; there is memory for it. */
interface Begun {
  readonly data: PreparedFiles;
  readonly config: TrainingConfig;
}

/** Whether a text is written while training or after it. */
const writes = ({ json }: TrainOptions, { sampleEvery }: TrainingConfig): boolean => !json || sampleEvery !== undefined;

async function beginAgain(
  config: TrainingConfig,
  run: string,
  options: TrainOptions,
  room: TrainingRoom,
): Promise<Begun> {
  room.before([config], writes(options, config), true);
  return { data: await prepareRun(config, run, options), config };
}

async function begin(
  options: TrainOptions,
  command: Command,
  name: string,
  start: StartingPoint | undefined,
  room: TrainingRoom,
): Promise<Begun> {
  const text = textOf(options);
  const tokenizer = start?.tokenizer ?? text.tokenizer;
  const checked = checkConfig(options, options.connection, name, tokenizer?.vocabularySize);
  if (start) expectFits(start, checked.model);
  expectEffect(command, options, [options.connection], [checked]);
  room.before([checked], writes(options, checked), tokenizer !== undefined);
  if (!start && !isGiven(command, "data")) tellOfDefaultText();
  const data = (start && storedText(start, command)) ?? (await prepare({ ...text, tokenizer }));
  const config = configFrom(options, options.connection, name, data);
  room.after([config], writes(options, config));
  if (!start) return { data, config };
  const { run, checkpoint } = start;
  say(`begins with the weights of ${run}, step ${checkpoint.step}`);
  return { data, config: { ...config, startedFrom: { run, step: checkpoint.step } } };
}

/** What --from names, with its configuration given to the command where that has no other. */
function startOf(run: string, { fromCheckpoint }: TrainOptions, command: Command): StartingPoint {
  const start = findStart(run, fromCheckpoint, warn);
  inherit(command, fieldsOf(start.config, command), `--from ${run}`);
  return start;
}

/** The prepared text of the run that a new one begins with, where no other is asked for and it is still there. */
function storedText({ config }: StartingPoint, command: Command): TextFacts | undefined {
  const { prepared, source } = config.data;
  if (
    ["data", "extensions", "skipUnreadable", "column", "weights", "tokenizer", "splitSeed"].some((name) =>
      isGiven(command, name),
    )
  )
    return undefined;
  try {
    if (prepared) return { ...openPrepared(prepared.folder, { text: prepared.text }), summary: prepared };
  } catch {
    // It is prepared again.
  }
  if (source !== "-") return undefined;
  throw new Error("The run read standard input, and its tokens are not there any more: give a text with --data.");
}

type TextFacts = PreparedFiles & { readonly summary: { readonly folder: string } };

/** How the processes share the model, as far as it is asked for. */
function spreadOf(
  { mesh, pipelineSchedule: schedule, pipelineChunks: chunks, timeline }: TrainOptions,
  command: Command,
  { size }: Leader["collective"],
  { machine }: Runtime,
): ((config: TrainingConfig) => PipelinePlan) | undefined {
  const ofPipelines = ["pipelineSchedule", "pipelineChunks", "timeline"];
  if ((mesh?.pipeline ?? 1) === 1) expectUnused(command, ofPipelines, "without --mesh pipeline=N of at least 2 stages");
  if (schedule !== "interleaved") expectUnused(command, ["pipelineChunks"], "without --pipeline-schedule interleaved");
  if (!mesh) return undefined;
  if (timeline !== undefined) prepareTimeline(timeline);
  return (config) => ({
    ...planSpread(config, machine, size, { mesh, schedule, chunks }),
    ...(timeline === undefined ? {} : { watched: true }),
  });
}

function checkpointChoice(text: string): CheckpointChoice {
  if (text === "last" || text === "best") return text;
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be the step of a checkpoint, best or last.");
}

const readConfig = (folder: string): TrainingConfig =>
  parseTrainingConfig(describeResumable(folder).config, path.join(folder, "config.json"));

/** runs/NAME, or the first of runs/NAME-2, runs/NAME-3 … that holds no run; with --overwrite the name itself. */
export function freeFolder(options: TrainOptions, taken: ReadonlySet<string> = new Set()): string {
  const first = path.join("runs", defaultName(options));
  const isTaken = (folder: string): boolean => taken.has(folder) || isRunFolder(folder);
  let folder = first;
  for (let number = 2; !options.overwrite && isTaken(folder); number++) folder = `${first}-${number}`;
  if (folder !== first) say(`${first} holds a run already; this one goes to ${folder}`);
  return folder;
}

/** Open a run in a free folder: where another process takes it at the same instant, in the next one. */
async function openFree(
  options: TrainOptions,
  folder: string,
  open: (folder: string) => Promise<Run>,
): Promise<{ run: Run; folder: string }> {
  const taken = new Set<string>();
  for (let place = folder; ; place = freeFolder(options, taken)) {
    try {
      return { run: await open(place), folder: place };
    } catch (error) {
      if (!(error instanceof FolderInUseError || error instanceof FolderTakenError)) throw error;
      taken.add(place);
    }
  }
}

function defaultName({ data, preset, connection, from }: TrainOptions): string {
  const source = sourceName(data);
  if (from !== undefined) return `${source}-from-${path.basename(path.resolve(from))}`;
  return `${source}-${preset.name}-${connection.name}`;
}
