// Question: how does an experiment become runs, measurements and a page?
//
//   FOLDER/<point>/            the runs, trained as a sweep trains them: stopped or killed, the same command goes on
//   FOLDER/<point>/study.json  what was measured of a run after its training
//   PAGE/<name>.md             the page, its figures beside it; PAGE is the folder, or --page
//   PAGE/README.md             with --page: every page there, its question and its answer

import fs from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { z } from "zod";
import { given } from "../basics/given.ts";
import { shellWord, showMany } from "../basics/show.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { hasCode, reason } from "../files/errors.ts";
import { parseJson } from "../files/json.ts";
import { expectPackages, MissingPackages } from "../files/packages.ts";
import { readText } from "../files/read.ts";
import { ensureWritableFolder } from "../files/space.ts";
import { renderSvg } from "../report/render.ts";
import { prose } from "../report/terminal.ts";
import { names } from "../runs/names.ts";
import { readRunData } from "../runs/run-data.ts";
import { fieldOf, parseSweep, type SweepDefinition, sweepPoints } from "../runs/sweep/definition.ts";
import { isSweepFolder, readOutcome, readResults, readSweepPlan } from "../runs/sweep/folder.ts";
import { writeStudyPage, writeStudySummary, type PageFigure } from "../studies/page.ts";
import {
  type Experiment,
  type Measurement,
  type PagePart,
  type SizeName,
  sizeNames,
  type StudiedRun,
  type StudyRuns,
  type Subject,
} from "../studies/study.ts";
import { studyNames } from "../studies/table.ts";
import { tellJson } from "./events.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { measureRuns } from "./study-runs.ts";
import { type SweepTraining, trainSweep } from "./sweep-train.ts";
import { say, warn } from "./warn.ts";

/** What the command line says of an experiment. */
export interface ExperimentOptions extends Omit<SweepTraining, "threads"> {
  readonly threads?: number;
  readonly tiny?: boolean;
  readonly small?: boolean;
  readonly medium?: boolean;
  readonly seeds?: number;
  readonly data?: string;
  readonly out?: string;
  /** Where the page goes; its folder gets a summary too. */
  readonly page?: string;
}

/** Train what has not been trained, measure what has not been measured, and write the page. */
export async function runExperiment(name: string, study: Experiment, options: ExperimentOptions): Promise<void> {
  for (const part of study.needs ?? []) expectPackages(part);
  const size = sizeOf(options);
  const sweepOf = (runs: StudyRuns): SweepDefinition =>
    parseSweep({ name: `study-${name}-${size}`, ...runs, keepCheckpoints: true }, `study ${name}`);
  const folder = options.out ?? path.join("runs", `study-${name}-${size}`);
  const command = commandOf(name, options);
  let runs = asked(study.sizes[size], options);
  if (study.next) runs = withKnown(runs, folder);
  let stopped = false;
  for (let more: StudyRuns | undefined = runs; more && !stopped;) {
    runs = more;
    stopped = await trainSweep(sweepOf(runs), folder, { ...options, threads: options.threads ?? 1 });
    if (!stopped) more = study.next?.(readStudied(undefined, sweepOf(runs), folder), runs);
  }
  const sweep = sweepOf(runs);
  const ended = stopped ? false : await measureAll(study.measurement, sweep, folder, options);
  const studied = readStudied(study.measurement, sweep, folder);
  if (studied.length === 0) throw new Error(`No run of the study has ended yet. Go on: ${command}`);
  const page = study.page(studied);
  const missing = sweepPoints(sweep).length - studied.length;
  const written = writeStudyPage(study, page, studied, { name, size, command, runs, machine: machineText(), missing });
  const place = options.page ?? folder;
  ensureWritableFolder(place);
  await drawFigures(place, written.figures, command);
  writeFileAtomically(path.join(place, `${name}.md`), written.text);
  if (options.page !== undefined) writeFileAtomically(path.join(place, "README.md"), summaryOf(place));
  if (options.json) tellJson("result", { study: name, size, folder, ...page, parts: page.parts.map(withoutSpec) });
  else process.stdout.write(`\n${prose(page.answer, process.stdout)}\n`);
  say(`Page: ${path.join(place, `${name}.md`)}`);
  if (!ended) say(`Go on: ${command}`);
}

const withoutSpec = ({ figure, ...part }: PagePart): object => ({
  ...part,
  ...given({ figure: figure && { name: figure.name, caption: figure.caption } }),
});

/** The full size has no option. */
function sizeOf(options: ExperimentOptions): SizeName {
  const [size = "full", other] = sizeNames.filter((name) => name !== "full" && options[name]);
  if (other) throw new Error(`--${size} and --${other} are two sizes of one study. Leave one of them out.`);
  return size;
}

/** The runs of a size, with as many seeds and the data that were asked for. */
function asked(runs: StudyRuns, { seeds, data }: ExperimentOptions): StudyRuns {
  const axes =
    seeds === undefined ? runs.axes : { ...runs.axes, seed: Array.from({ length: seeds }, (_, at) => at + 1) };
  return { ...runs, axes, base: data === undefined ? runs.base : { ...runs.base, data } };
}

/** The runs with the values that a study which goes on by what it found has added to its axes in a folder. */
function withKnown(runs: StudyRuns, folder: string): StudyRuns {
  if (!isSweepFolder(folder)) return runs;
  const known = readSweepPlan(folder).sweep.axes;
  const axes = Object.entries(runs.axes).map(([axis, values]) => {
    const added = fieldOf(axis) === "seed" ? [] : (known[axis] ?? []).filter((value) => !values.includes(value));
    return [axis, [...values, ...added]] as const;
  });
  return { ...runs, axes: Object.fromEntries(axes) };
}

/** The command that makes this study again, and goes on with it. */
function commandOf(name: string, options: ExperimentOptions): string {
  const { seeds, data, out, page } = options;
  const size = sizeOf(options);
  const runtime = options.runtime === "auto" ? undefined : options.runtime;
  const words = [
    ...(size === "full" ? [] : [`--${size}`]),
    ...Object.entries(given({ seeds, data, out, page, runtime })).flatMap(([option, value]) => [
      `--${option}`,
      shellWord(String(value)),
    ]),
  ];
  return ["birkhoff study", name, ...words].join(" ");
}

/** Measure the runs that finished and were not measured yet. Returns false when it was stopped. */
async function measureAll(
  measurement: Measurement<unknown> | undefined,
  sweep: SweepDefinition,
  folder: string,
  options: ExperimentOptions,
): Promise<boolean> {
  if (!measurement) return true;
  const left = sweepPoints(sweep)
    .map((point) => path.join(folder, point.name))
    .filter((run) => readOutcome(run)?.outcome === "finished" && readMeasured(measurement, run) === undefined);
  if (left.length === 0) return true;
  const interrupt = listenForInterrupt();
  try {
    say(`${showMany(left.length, "run")} to measure`);
    const measuring = {
      file: names.study,
      plan: measurement.plan,
      measure: async (subject: Subject) => {
        const found = await measurement.of(subject);
        return found === undefined ? undefined : { step: subject.config.steps, found };
      },
    };
    return await measureRuns(measuring, left, { ...options, threads: options.threads ?? 1 }, interrupt.signal);
  } finally {
    interrupt.close();
  }
}

/** What was measured of a run; undefined where nothing was, or by another version of the study. */
function readMeasured<M>({ schema }: Measurement<M>, run: string): M | undefined {
  try {
    const file = z.object({ found: schema }).safeParse(parseJson(readText(path.join(run, names.study))));
    return file.data?.found;
  } catch (error) {
    if (hasCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw new Error(`cannot read ${path.join(run, names.study)}: ${reason(error)}`, { cause: error });
  }
}

function readStudied(
  measurement: Measurement<unknown> | undefined,
  sweep: SweepDefinition,
  folder: string,
): StudiedRun<unknown>[] {
  return readResults(folder, sweep).map((result) => {
    const run = path.join(folder, result.name);
    return { result, run: readRunData(run), ...given({ measured: measurement && readMeasured(measurement, run) }) };
  });
}

function machineText(): string {
  const processor = cpus()[0]?.model.trim() ?? process.arch;
  const date = new Date().toISOString().slice(0, 10);
  return `${showMany(availableParallelism(), "core")} of ${processor}, Node ${process.versions.node}, ${date}`;
}

/** The page stands without its figures, so what draws them need not be installed. */
async function drawFigures(place: string, figures: readonly PageFigure[], command: string): Promise<void> {
  try {
    for (const { file, figure } of figures)
      writeFileAtomically(path.join(place, file), `${await renderSvg(figure.spec, { background: "white" })}\n`);
  } catch (error) {
    if (!(error instanceof MissingPackages)) throw error;
    warn(`${error.message}. Then ${command} draws the figures.`);
  }
}

/** Every page of a folder, in the order of the table. */
function summaryOf(place: string): string {
  const pages = studyNames.flatMap((name) => {
    const file = path.join(place, `${name}.md`);
    return fs.existsSync(file) ? [[`${name}.md`, readText(file)] as const] : [];
  });
  return writeStudySummary(Object.fromEntries(pages));
}
