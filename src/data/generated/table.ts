// Question: which tasks are generated, and how does a user choose among them?
//
//   khop             one task, at its usual difficulties
//   khop:1-4         from difficulty 1 to 4
//   khop:3           difficulty 3 alone
//   khop,recall:2-8  several tasks, each as likely as any other
//   bbh, small, all  groups of tasks

import { showPlain } from "../../basics/show.ts";
import { dyck, dyckLanguages } from "./brackets.ts";
import { deduction } from "./deduction.ts";
import { booleanExpressions, listops, multistepArithmetic, nestedArithmetic, nestedBoolean } from "./formulas.ts";
import { khop, permutationFive, permutationThree, recall, wordSorting } from "./sequences.ts";
import { objectCounting, temporalSequences, webOfLies } from "./stories.ts";
import type { GeneratedTask } from "./task.ts";
import { tracking } from "./tracking.ts";
import { navigate } from "./walks.ts";

/** Every task by its name. Those of BIG-Bench Hard are called after its files, with bbh_ before. */
export const generatedTasks: Readonly<Record<string, GeneratedTask>> = {
  khop,
  recall,
  permutation_three: permutationThree,
  permutation_five: permutationFive,
  listops,
  dyck,
  arithmetic: nestedArithmetic,
  boolean: nestedBoolean,
  bbh_boolean_expressions: booleanExpressions,
  bbh_dyck_languages: dyckLanguages,
  bbh_multistep_arithmetic_two: multistepArithmetic,
  bbh_navigate: navigate,
  bbh_web_of_lies: webOfLies,
  bbh_word_sorting: wordSorting,
  bbh_tracking_shuffled_objects_three_objects: tracking(3),
  bbh_tracking_shuffled_objects_five_objects: tracking(5),
  bbh_tracking_shuffled_objects_seven_objects: tracking(7),
  bbh_logical_deduction_three_objects: deduction(3),
  bbh_logical_deduction_five_objects: deduction(5),
  bbh_logical_deduction_seven_objects: deduction(7),
  bbh_temporal_sequences: temporalSequences,
  bbh_object_counting: objectCounting,
};

const names = Object.keys(generatedTasks);
const ofBbh = (name: string): boolean => name.startsWith("bbh_");

const groups: Readonly<Record<string, readonly string[]>> = {
  bbh: names.filter(ofBbh),
  small: names.filter((name) => !ofBbh(name)),
  all: names,
};

/** A task and the difficulties that are wanted of it. */
export interface ChosenTask {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** No question of such a difficulty fits into a context. */
const HARDEST = 26;

/**
 * Tasks from a text such as "khop:1-4,recall,bbh".
 *
 * @throws RangeError for a task that is not known, one that is named twice, and difficulties that it does not have
 */
export function parseTasks(text: string): ChosenTask[] {
  const chosen = text.split(",").flatMap((part): ChosenTask[] => {
    const [, name = "", from, to = from] = /^([a-z_]+)(?::(\d+)(?:-(\d+))?)?$/.exec(part.trim()) ?? [];
    const meant = Object.hasOwn(groups, name) ? groups[name]! : names.filter((each) => each === name);
    if (meant.length === 0)
      throw new RangeError(
        `generated tasks: "${showPlain(part)}" is given; allowed are ${[...Object.keys(groups), ...names].join(", ")}, each with difficulties after a colon if wished. Give such as khop:1-4,recall.`,
      );
    return meant.map((task) => {
      const { counts, ...usual } = generatedTasks[task]!.difficulty;
      if (from === undefined) return { name: task, ...usual };
      const range = { from: Number(from), to: Number(to) };
      if (range.from < usual.from || range.to < range.from || range.to > HARDEST || isBounded(task, range.to))
        throw new RangeError(
          `generated tasks: "${showPlain(part)}" is given; the difficulty of ${task}, its ${counts}, must be from ${usual.from} to ${bounded.has(task) ? usual.to : HARDEST}. Give such as ${task}:${usual.from}-${usual.to}.`,
        );
      return { name: task, ...range };
    });
  });
  const twice = chosen.find(({ name }, index) => chosen.findIndex((other) => other.name === name) < index);
  if (twice)
    throw new RangeError(`generated tasks: ${twice.name} is named twice in "${showPlain(text)}". Name each once.`);
  return chosen;
}

/** Tasks that have no questions above their usual difficulties. */
const bounded: ReadonlySet<string> = new Set(names.filter((name) => /deduction|temporal|counting/.test(name)));
const isBounded = (name: string, to: number): boolean => bounded.has(name) && to > generatedTasks[name]!.difficulty.to;

/** The tasks as `parseTasks` takes them. */
export const tasksText = (tasks: readonly ChosenTask[]): string =>
  tasks.map(({ name, from, to }) => `${name}:${from}-${to}`).join(",");
