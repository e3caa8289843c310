// Question: what is a task?
//
// A table of data: how its files become examples, how an example becomes a prompt, and what is looked at of what the
// model does. Names, versions and rules are those of lm-evaluation-harness at commit 4e7e0d4 (August 2026, MIT licence).

import type { DataFolder } from "./data-folder.ts";
import type { Filter } from "./filters.ts";

/** A question with its answer. */
interface CommonExample {
  /** The record of the data set, as the file of samples repeats it. */
  readonly doc: Readonly<Record<string, unknown>>;
  readonly question: string;
  /** What follows the question where it is an example of a prompt. */
  readonly answer: string;
}

/** The model chooses between continuations by their likelihood. */
export interface ChoiceExample extends CommonExample {
  readonly choices: readonly string[];
  /** The index of the right one. */
  readonly gold: number;
}

/** The model writes its answer. */
export interface WritingExample extends CommonExample {
  /** The gold answer, as the file of samples says it. */
  readonly target: string | readonly string[];
  /** Each metric of a filtered answer. */
  judge(answer: string): Readonly<Record<string, number>>;
}

/** What the files of a task hold. */
export interface TaskExamples<E> {
  /** Those that are asked, in the order of the file. */
  readonly asked: readonly E[];
  /** Those that prompts show. */
  readonly shown: readonly E[];
  /** Where these come from. If they are those that are asked, a prompt never shows its own question. */
  readonly shownFrom: string;
  /** What every prompt begins with. */
  readonly description?: string;
}

/** How the examples of a prompt are chosen: the first of the list, or at random, from one stream for all prompts of the task. */
export type ShotSampler = "first" | "random";

interface CommonTask {
  /** The harness's name. */
  readonly name: string;
  readonly version: number;
  /** The family's name: what is asked for on the command line, and the folder of the data. */
  readonly family: FamilyName;
  /** Shots where none are asked for. */
  readonly shots: number;
  readonly sampler: ShotSampler;
  /** Whether the harness reads examples from another split than it asks; it then never looks for the question among them. */
  readonly ownShots: boolean;
  /** Between a question and its answer. */
  readonly delimiter: string;
  readonly metrics: readonly string[];
}

/** A task whose answers are chosen: the likeliest of some continuations counts. */
export interface ChoiceTask extends CommonTask {
  readonly kind: "choice";
  read(data: DataFolder): TaskExamples<ChoiceExample>;
}

/** A task whose answers are written. */
export interface WritingTask extends CommonTask {
  readonly kind: "writing";
  /** Each ends an answer, and is not part of it. */
  readonly until: readonly string[];
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  readonly filters: readonly Filter[];
  read(data: DataFolder): TaskExamples<WritingExample>;
}

/** A task of either kind. */
export type Task = ChoiceTask | WritingTask;

/** Tasks whose mean, weighted by their sizes, is a result. */
export interface TaskGroup {
  readonly name: string;
  /** As the harness says it: text, unlike that of a task. */
  readonly version: string;
  /** Names of tasks or of smaller groups. */
  readonly members: readonly string[];
  readonly metric: string;
  readonly filter: string;
}

/** The eight benchmarks of the mHC paper's Table 4, another prompt for MATH, and the tasks that are generated here. */
export type FamilyName =
  | "bbh"
  | "drop"
  | "generated"
  | "gsm8k"
  | "hellaswag"
  | "hendrycks_math"
  | "math"
  | "mmlu"
  | "piqa"
  | "triviaqa";

/** A benchmark. */
export interface Family {
  readonly name: FamilyName;
  readonly title: string;
  readonly tasks: readonly Task[];
  /** The family's own group comes last. */
  readonly groups: readonly TaskGroup[];
  /** Shots of the paper's Table 4. */
  readonly paperShots: number;
  /** The metric and filter that Table 4 gives, or comes nearest to. */
  readonly paperMetric: readonly [metric: string, filter: string];
}
