// Question: what is a study?
//
// A study answers a question by measurement. There are two kinds:
//
//   of runs        measures runs that are there, beside each other: robustness, reasoning
//   an experiment  trains runs of its own at one of four sizes, may go on by what they found, may measure each of them,
//                  and writes a page
//
// Each study is one file of this room, named in table.ts. The command line (cli/study.ts) trains, measures, keeps what
// was measured in the run folders, and resumes; a study says only what is trained, measured and shown.

import type { z } from "zod";
import type { PreparedFiles } from "../data/prepared-files.ts";
import type { MemoryNeed } from "../planning/here/memory-limit.ts";
import type { StepRecord } from "../files/json.ts";
import type { PackagePart } from "../files/packages.ts";
import type { Figure } from "../report/figures/figure.ts";
import type { RunData } from "../runs/run-data.ts";
import type { SweepResult } from "../runs/sweep/analysis.ts";
import type { SweepDefinition } from "../runs/sweep/definition.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { TrainerState } from "../training/state.ts";

/** What a study is told of a trained run. */
export interface Subject {
  readonly folder: string;
  readonly config: TrainingConfig;
  readonly data: PreparedFiles;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /** Step and parameters of the last checkpoint. */
  checkpoint(): Pick<TrainerState, "step" | "model">;
  readonly onProgress: (share: number) => void;
}

/** What the command line may say about studies of runs. */
export interface AskedOfRuns {
  readonly draws?: number;
  readonly batches?: number;
  readonly tasks?: string;
  readonly questions?: number;
}

/** A study of runs that are there. */
export interface RunsStudy<M extends StepRecord = StepRecord> {
  readonly kind: "runs";
  /** What it does, in a few words for the help. */
  readonly shows: string;
  /** Options that only this study takes. */
  readonly own: readonly (keyof AskedOfRuns)[];
  /** The file in the run folder that holds the result. */
  readonly file: string;
  /** The memory that it needs for a run. */
  plan(config: TrainingConfig, machine: Machine): MemoryNeed;
  /** What was found; it counts for nothing once the signal is aborted. */
  measure(subject: Subject, options: AskedOfRuns): Promise<M | undefined>;
  /** What `readRunData` read of its file. */
  found(run: RunData): M | undefined;
  text(runs: readonly RunData[], width: number): string;
  notes(runs: readonly RunData[]): readonly string[];
  figure(runs: readonly RunData[]): Figure | undefined;
}

/**
 * The sizes of an experiment: seconds, minutes (each experiment says how many), the models of those minutes trained some
 * times as long, and as long as an answer takes.
 */
export const sizeNames = ["tiny", "small", "medium", "full"] as const;

/** One of the names of `sizeNames`. */
export type SizeName = (typeof sizeNames)[number];

/** The runs of an experiment: those of a sweep, which also names, trains and resumes them. One axis is `seed`. */
export type StudyRuns = Omit<SweepDefinition, "name" | "keepCheckpoints">;

/** How each run of an experiment is measured after its training. */
export interface Measurement<M> {
  /** What is kept in the run folder, as study.json. */
  readonly schema: z.ZodType<M>;
  plan(config: TrainingConfig, machine: Machine): MemoryNeed;
  /** What was found; it counts for nothing once the signal is aborted. */
  of(subject: Subject): Promise<M | undefined>;
}

/** A run of an experiment: how it ended, all its records, and what was measured after it. */
export interface StudiedRun<M> {
  readonly result: SweepResult;
  readonly run: RunData;
  /** Absent where nothing is measured, and where the run diverged. */
  readonly measured?: M;
}

/** A part of a page: a heading, sentences (Markdown), a table with its headings first, a figure. */
export interface PagePart {
  readonly title: string;
  readonly text?: readonly string[];
  readonly table?: readonly (readonly string[])[];
  readonly figure?: Figure | undefined;
}

/** What an experiment found. */
export interface StudyPage {
  /** One honest sentence with its numbers. */
  readonly answer: string;
  readonly parts: readonly PagePart[];
  /** What papers and reports say of the question, and whether this agrees with them; a sentence each. */
  readonly documents?: readonly string[];
  /** What does not follow from it, a sentence each. */
  readonly notShown: readonly string[];
}

/** An experiment: its question, its runs, and the page about them. */
export interface Experiment<M = unknown> {
  readonly kind: "experiment";
  readonly question: string;
  /** What it does, in a few words for the help. */
  readonly shows: string;
  /** Packages that its measurements need, asked for before anything is trained. */
  readonly needs?: readonly PackagePart[];
  readonly sizes: Readonly<Record<SizeName, StudyRuns>>;
  /** About how long the small size takes: minutes on two cores that do nothing else, by the core time of its runs. */
  readonly minutes: number;
  readonly measurement?: Measurement<M>;
  /**
   * Of a study that goes on by what it found: its runs with further values on their axes, when all of these runs have
   * ended. None: it is done. It must answer the same for the same results, so that a study can be resumed.
   */
  next?(studied: readonly StudiedRun<M>[], runs: StudyRuns): StudyRuns | undefined;
  /** @param runs that ended, at least one, in the order of the sweep */
  page(runs: readonly StudiedRun<M>[]): StudyPage;
}

/** A study, whatever it measures. */
export type Study = RunsStudy | Experiment;
