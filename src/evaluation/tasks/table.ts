// Question: which benchmarks are there?

import { didYouMean } from "../../basics/names.ts";
import type { Family, FamilyName, Task } from "../task.ts";
import { bbh } from "./bbh.ts";
import { drop } from "./drop.ts";
import { generated } from "./generated.ts";
import { gsm8k } from "./gsm8k.ts";
import { hellaswag } from "./hellaswag.ts";
import { hendrycksMath, math } from "./math.ts";
import { mmlu } from "./mmlu.ts";
import { piqa } from "./piqa.ts";
import { triviaqa } from "./triviaqa.ts";

/** In the order of the paper's Table 4. */
export const families: Readonly<Record<FamilyName, Family>> = {
  bbh,
  drop,
  gsm8k,
  hellaswag,
  math,
  mmlu,
  piqa,
  triviaqa,
  hendrycks_math: hendrycksMath,
  generated,
};

const all = Object.values(families);
const groups = new Map(all.flatMap((family) => family.groups.map((group) => [group.name, group] as const)));
const tasks = new Map(all.flatMap((family) => family.tasks.map((task) => [task.name, task] as const)));

/** The names that `findTasks` knows: benchmarks, their groups, and single tasks. */
export const taskNames: readonly string[] = [...new Set([...Object.keys(families), ...groups.keys(), ...tasks.keys()])];

/**
 * The tasks of some names, each once, in the order of the names.
 *
 * @throws RangeError for a name that is none of `taskNames`
 */
export function findTasks(names: readonly string[]): Task[] {
  const found = (name: string): readonly Task[] => {
    const family = all.find((each) => each.name === name);
    if (family) return family.tasks;
    const task = tasks.get(name);
    if (task) return [task];
    const group = groups.get(name);
    if (group) return group.members.flatMap(found);
    throw new RangeError(
      `tasks: "${name}" is given; allowed are ${Object.keys(families).join(", ")}, and the names of their groups and tasks, such as mmlu_stem or bbh_cot_fewshot_navigate.${didYouMean(name, taskNames)}`,
    );
  };
  return [...new Set(names.flatMap(found))];
}
