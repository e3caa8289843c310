// Question: what is the result of an evaluation?
//
//   value of a task   mean of its examples
//   standard error    s / √n,  s² = Σ (x − mean)² / (n − 1)
//   value of a group  Σ size · value / Σ size,  its error pooled: √(Σ (size − 1) size · error² / (Σ size − groups) / Σ size)
//
// These are the harness's formulas, and the object is the one that it writes as results_….json.

import type { Family, Task, TaskGroup } from "./task.ts";
import type { TaskPlan } from "./prompts.ts";
import type { ExampleVerdict } from "./samples.ts";

/** A result: alias, sample_len, and for each metric and filter the value "acc,none" and its error "acc_stderr,none". */
export interface ResultEntry {
  readonly alias: string;
  readonly name: string;
  readonly sample_len: number;
  readonly [value: string]: number | string;
}

/** What an evaluation found, in the harness's form. */
export interface EvaluationResults {
  readonly results: Readonly<Record<string, ResultEntry>>;
  readonly groups: Readonly<Record<string, ResultEntry>>;
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>;
  readonly configs: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, number | string>>;
  readonly "n-shot": Readonly<Record<string, number>>;
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly "n-samples": Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard error of a mean; undefined of a single value. */
export function meanError(values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined;
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1)) / Math.sqrt(values.length);
}

const MISSING = "N/A";

/** Values of each metric and filter, such as "acc,none", in the order of the examples. */
export function valuesOf(verdicts: readonly ExampleVerdict[]): Map<string, number[]> {
  const values = new Map<string, number[]>();
  for (const { filter, metrics } of verdicts)
    for (const [metric, value] of Object.entries(metrics)) {
      const key = `${metric},${filter}`;
      const list = values.get(key);
      if (list) list.push(value);
      else values.set(key, [value]);
    }
  return values;
}

const errorKey = (key: string): string => key.replace(",", "_stderr,");

function taskEntry({ task, prompts }: TaskPlan, verdicts: readonly ExampleVerdict[]): ResultEntry {
  const entries = [...valuesOf(verdicts)].flatMap(([key, values]) => [
    [key, mean(values)] as const,
    [errorKey(key), meanError(values) ?? MISSING] as const,
  ]);
  return { alias: task.name, name: task.name, sample_len: prompts.length, ...Object.fromEntries(entries) };
}

function groupEntry({ name, metric, filter }: TaskGroup, members: readonly ResultEntry[]): ResultEntry {
  const key = `${metric},${filter}`;
  const total = members.reduce((sum, { sample_len: size }) => sum + size, 0);
  const value = members.reduce((sum, entry) => sum + (entry[key] as number) * entry.sample_len, 0) / total;
  const errors = members.map((entry) => entry[errorKey(key)]!);
  let pooled = 0;
  for (const [index, { sample_len: size }] of members.entries())
    pooled += (size - 1) * Number(errors[index]) ** 2 * size;
  const error = errors.includes(MISSING) ? MISSING : Math.sqrt(pooled / (total - members.length) / total);
  return { alias: name, name, sample_len: total, [key]: value, [errorKey(key)]: error };
}

/** The tasks of a group, those of smaller groups included. */
export function leavesOf(group: TaskGroup, groups: readonly TaskGroup[]): readonly string[] {
  return group.members.flatMap((member) => {
    const inner = groups.find(({ name }) => name === member);
    return inner ? leavesOf(inner, groups) : [member];
  });
}

/** Groups of which all tasks were done. */
export function wholeGroups(plans: readonly TaskPlan[], families: readonly Family[]): TaskGroup[] {
  const done = new Set(plans.map(({ task }) => task.name));
  return families.flatMap(({ groups }) =>
    groups.filter((group) => leavesOf(group, groups).every((name) => done.has(name))),
  );
}

/** What was found, from the verdicts of each plan in order. */
export function resultsOf(
  plans: readonly TaskPlan[],
  verdicts: readonly (readonly ExampleVerdict[])[],
  families: readonly Family[],
): EvaluationResults {
  const results = Object.fromEntries(plans.map((plan, index) => [plan.task.name, taskEntry(plan, verdicts[index]!)]));
  const groups = wholeGroups(plans, families);
  const all = families.flatMap((family) => family.groups);
  const leaves = (group: TaskGroup) => leavesOf(group, all).map((name) => results[name]!);
  const groupResults = Object.fromEntries(groups.map((group) => [group.name, groupEntry(group, leaves(group))]));
  const byTask = <T>(of: (plan: TaskPlan) => T): Record<string, T> =>
    Object.fromEntries(plans.map((plan) => [plan.task.name, of(plan)]));
  return {
    results: { ...results, ...groupResults },
    groups: groupResults,
    group_subtasks: Object.fromEntries(groups.map(({ name, members }) => [name, members])),
    configs: byTask(configOf),
    versions: {
      ...byTask(({ task }) => task.version),
      ...Object.fromEntries(groups.map(({ name, version }) => [name, version])),
    },
    "n-shot": byTask(({ shots }) => shots),
    higher_is_better: byTask(({ task }) => Object.fromEntries(task.metrics.map((metric) => [metric, true]))),
    "n-samples": byTask(({ examples, prompts }) => ({ original: examples, effective: prompts.length })),
  };
}

function configOf({ task, shots, shownFrom }: TaskPlan): unknown {
  return {
    task: task.name,
    output_type: task.kind === "choice" ? "multiple_choice" : "generate_until",
    target_delimiter: task.delimiter,
    fewshot_delimiter: "\n\n",
    num_fewshot: shots,
    fewshot_config: { sampler: samplerName[task.sampler], split: shownFrom },
    metric_list: task.metrics.map((metric) => ({ metric, aggregation: "mean", higher_is_better: true })),
    ...(task.kind === "writing" && {
      generation_kwargs: { until: task.until, max_gen_toks: task.maxTokens, do_sample: false, temperature: 0 },
      filter_list: task.filters.map(({ name }) => ({ name })),
    }),
    metadata: { version: task.version },
  };
}

const samplerName: Readonly<Record<Task["sampler"], string>> = { first: "first_n", random: "default" };
