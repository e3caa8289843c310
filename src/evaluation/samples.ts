// Question: what is kept of every example?
//
// The harness's form: the record, the prompt, the model's answer, what the filter made of it, and each metric. There is a
// sample per filter. Numbers of the model are written as Python writes them.

import { sha256 } from "../files/hash.ts";
import { type Answer, judgeChoices } from "./answers.ts";
import type { Prompt, TaskPlan } from "./prompts.ts";
import { showFloat } from "./python.ts";
import type { ChoiceExample, WritingExample, WritingTask } from "./task.ts";

/** An example, and what the model made of it. */
interface UnjudgedSample {
  readonly doc_id: number;
  readonly doc: Readonly<Record<string, unknown>>;
  readonly target: string;
  readonly arguments: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly resps: unknown;
  readonly filtered_resps: unknown;
  readonly filter: string;
  readonly doc_hash: string;
  readonly prompt_hash: string;
  readonly target_hash: string;
}

/** The same with the verdict. */
export interface Sample extends UnjudgedSample {
  readonly metrics: readonly string[];
  /** Each metric, by its name. */
  readonly [metric: string]: unknown;
}

/** A metric of an example, by the name of its filter. */
export interface ExampleVerdict {
  readonly index: number;
  readonly filter: string;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Judge all answers of a task: by filter, then in the order of the examples. */
export function judge(plan: TaskPlan, answers: ReadonlyMap<string, Answer>): ExampleVerdict[] {
  if (plan.task.kind === "choice") {
    const { metrics: wanted } = plan.task;
    return (plan.prompts as readonly Prompt<ChoiceExample>[]).map((prompt) => {
      const scores = choicesOf(answers, prompt).map(([score]) => score);
      const found: Readonly<Record<string, number>> = {
        ...judgeChoices(scores, prompt.example.choices, prompt.example.gold),
      };
      const metrics = Object.fromEntries(wanted.map((name) => [name, found[name]!]));
      return { index: prompt.index, filter: "none", metrics };
    });
  }
  const prompts = plan.prompts as readonly Prompt<WritingExample>[];
  return plan.task.filters.flatMap(({ name, apply }) =>
    prompts.map((prompt) => ({
      index: prompt.index,
      filter: name,
      metrics: prompt.example.judge(apply(textOf(answers, prompt))),
    })),
  );
}

/** The samples of a task, in the order of `judge`. */
export function samplesOf(plan: TaskPlan, answers: ReadonlyMap<string, Answer>): Sample[] {
  const verdicts = judge(plan, answers);
  const count = plan.prompts.length;
  return verdicts.map(({ filter, metrics }, place) => {
    const prompt = plan.prompts[place % count]!;
    return { ...sampleOf(plan, prompt, filter, answers), metrics: Object.keys(metrics), ...metrics };
  });
}

function sampleOf(
  { task }: TaskPlan,
  prompt: Prompt<ChoiceExample | WritingExample>,
  filter: string,
  answers: ReadonlyMap<string, Answer>,
): UnjudgedSample {
  const { example, index, text } = prompt;
  const hashes = (target: string) => ({
    doc_hash: sha256(JSON.stringify(example.doc, null, 2)),
    prompt_hash: sha256(text),
    target_hash: sha256(target),
  });
  const common = { doc_id: index, doc: example.doc, filter };
  if ("choices" in example) {
    const target = `${example.gold}`;
    const scores = choicesOf(answers, prompt).map(([score, greedy]) => [showFloat(score), greedy ? "True" : "False"]);
    const pairs = example.choices.map((choice, place) => [
      `gen_args_${place}`,
      { arg_0: text, arg_1: task.delimiter + choice },
    ]);
    return {
      ...common,
      target,
      arguments: Object.fromEntries(pairs) as UnjudgedSample["arguments"],
      resps: scores.map((score) => [score]),
      filtered_resps: scores,
      ...hashes(target),
    };
  }
  const { until, maxTokens, filters } = task as WritingTask;
  const target = typeof example.target === "string" ? example.target : JSON.stringify(example.target);
  const written = textOf(answers, prompt);
  return {
    ...common,
    target,
    arguments: {
      gen_args_0: { arg_0: text, arg_1: { until, max_gen_toks: maxTokens, do_sample: false, temperature: 0 } },
    },
    resps: [[written]],
    filtered_resps: [filters.find(({ name }) => name === filter)!.apply(written)],
    ...hashes(target),
  };
}

type Answers = ReadonlyMap<string, Answer>;

function answerTo(answers: Answers, { request, index }: Prompt<unknown>): Answer {
  const answer = answers.get(request);
  if (answer) return answer;
  throw new Error(`eval: example ${index} has no answer; ask all prompts before they are judged.`);
}

function choicesOf(answers: Answers, prompt: Prompt<unknown>): Extract<Answer, { choices: unknown }>["choices"] {
  const answer = answerTo(answers, prompt);
  return "choices" in answer ? answer.choices : [];
}

function textOf(answers: Answers, prompt: Prompt<unknown>): string {
  const answer = answerTo(answers, prompt);
  return "text" in answer ? answer.text : "";
}
