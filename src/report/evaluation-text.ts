// Question: how are the results of evaluations shown in a terminal?
//
// A row for each benchmark, metric and filter, the models side by side, with standard errors; beside every model but the
// first its difference from the first, with a 95 % interval over the same examples.

import { drawTable } from "../basics/table.ts";
import { type Difference, difference } from "../evaluation/differences.ts";
import type { EvaluationReport } from "../evaluation/evaluate.ts";
import type { TaskPlan } from "../evaluation/prompts.ts";
import { leavesOf } from "../evaluation/results.ts";
import { families } from "../evaluation/tasks/table.ts";

/** A model's results under the name that the table gives it. */
export interface NamedEvaluation {
  readonly name: string;
  readonly evaluation: EvaluationReport;
}

const MINUS = "\u2212";
const show = (value: number): string => value.toFixed(4).replace("-", MINUS);
const showSigned = (value: number): string => (value < 0 ? show(value) : `+${show(value)}`);

/**
 * The table.
 *
 * @param each whether the tasks of a group that is shown have rows of their own
 */
export function evaluationText(
  models: readonly NamedEvaluation[],
  plans: readonly TaskPlan[],
  { width, each = false }: { readonly width: number; readonly each?: boolean },
): string {
  const [first, ...others] = models as [NamedEvaluation, ...NamedEvaluation[]];
  const { results, versions, groups, "n-shot": shots } = first.evaluation;
  const inGroups = new Set(Object.keys(groups).flatMap((name) => leaves(name)));
  const outer = (name: string): boolean =>
    !Object.entries(first.evaluation.group_subtasks).some(([, members]) => members.includes(name));
  const shown = Object.keys(results).filter((name) => each || (!inGroups.has(name) && outer(name)));
  const titles = [
    "Task",
    "Version",
    "Shots",
    "Examples",
    "Chance",
    first.name,
    ...others.flatMap(({ name }) => [name, `${name} ${MINUS} ${first.name}`]),
  ];
  const rows = shown.flatMap((name) => {
    const entry = results[name]!;
    const tasks = leaves(name);
    const keys = Object.keys(entry).filter((key) => key.includes(",") && !key.includes("_stderr"));
    return keys.map((key) => {
      const [metric = "", filter = ""] = key.split(",");
      const value = ({ evaluation }: NamedEvaluation): string => {
        const found = evaluation.results[name]!;
        const error = found[`${metric}_stderr,${filter}`];
        return `${show(found[key] as number)}${typeof error === "number" ? ` ± ${show(error)}` : ""}`;
      };
      const verdicts = ({ evaluation }: NamedEvaluation) => tasks.flatMap((task) => evaluation.verdicts[task]!);
      return [
        [name, metric, ...(filter === "none" ? [] : [filter])].join(", "),
        showVersion(versions[name]!),
        `${shots[tasks[0]!]!}`,
        `${entry.sample_len}`,
        chance(tasks, plans),
        value(first),
        ...others.flatMap((model) => [value(model), showDifference(difference(key, verdicts(model), verdicts(first)))]),
      ];
    });
  });
  return drawTable([titles, ...rows], { width, labels: 1 });
}

const showVersion = (version: number | string): string => (typeof version === "number" ? version.toFixed(1) : version);

function showDifference({ mean, low, high }: Difference): string {
  return low === undefined || high === undefined
    ? showSigned(mean)
    : `${showSigned(mean)} (${showSigned(low)} to ${showSigned(high)})`;
}

/** All tasks of a group; of a task itself. */
export function leaves(name: string): readonly string[] {
  const groups = Object.values(families).flatMap((family) => family.groups);
  const group = groups.find((one) => one.name === name);
  return group ? leavesOf(group, groups) : [name];
}

/** What guessing gives: of choices one by their number, else nothing. */
function chance(tasks: readonly string[], plans: readonly TaskPlan[]): string {
  const examples = plans
    .filter(({ task }) => tasks.includes(task.name))
    .flatMap(({ prompts }) => prompts.map(({ example }) => ("choices" in example ? 1 / example.choices.length : 0)));
  return show(examples.reduce((sum, share) => sum + share, 0) / examples.length);
}
