// Question: how is a model evaluated from beginning to end?
//
// Prompts are text and the same for all models. What is known already is not asked again. What remains goes through the
// model, and then all answers are judged.

import { expectFields } from "../basics/fields.ts";
import type { Answer, Answered, Answerer } from "./answers.ts";
import { answerPrompts } from "./answers.ts";
import type { TaskPlan } from "./prompts.ts";
import { type EvaluationResults, resultsOf } from "./results.ts";
import { judge, type Sample, samplesOf, type ExampleVerdict } from "./samples.ts";
import { families } from "./tasks/table.ts";

/** Answers that are known, and where new ones go; `openAnswers` keeps them in a file. */
export interface AnswerStore {
  readonly answers: ReadonlyMap<string, Answer>;
  add(answered: Answered): void;
}

/** How far an evaluation is. */
export interface EvaluationProgress {
  readonly task: string;
  /** Prompts that are answered, those known before included. */
  readonly done: number;
  readonly total: number;
  /** Tokens read and written since the evaluation began. */
  readonly tokens: number;
}

/** How an evaluation goes. */
export interface EvaluateOptions {
  /** Default: none known, and kept in memory. */
  readonly store?: AnswerStore | undefined;
  /** Called after every answer. */
  readonly onProgress?: ((progress: EvaluationProgress) => void) | undefined;
  /** Aborted, the evaluation ends after the answer in progress and gives undefined. */
  readonly signal?: AbortSignal | undefined;
}

/** What an evaluation found. */
export interface EvaluationReport extends EvaluationResults {
  /** Of each task, the verdict on every example and filter. */
  readonly verdicts: Readonly<Record<string, readonly ExampleVerdict[]>>;
  /** Of each task, every example with its prompt, output and verdict; made when asked for. */
  samples(task: string): readonly Sample[];
}

/** Answers in memory. */
export function rememberAnswers(): AnswerStore {
  const answers = new Map<string, Answer>();
  return { answers, add: ({ request, answer }) => void answers.set(request, answer) };
}

/**
 * Let a model answer the prompts of some tasks, and judge the answers.
 *
 * @returns undefined when the signal was aborted
 * @throws RangeError when the model's scores are not finite
 */
export async function evaluate(
  model: Answerer,
  plans: readonly TaskPlan[],
  options: EvaluateOptions = {},
): Promise<EvaluationReport | undefined> {
  expectFields("evaluate", options, { store: "group", onProgress: "function", signal: "group" });
  const { store = rememberAnswers(), onProgress, signal } = options;
  const total = plans.reduce((sum, { prompts }) => sum + prompts.length, 0);
  const isKnown = (request: string): boolean => store.answers.has(request);
  let done = plans.reduce((sum, { prompts }) => sum + prompts.filter(({ request }) => isKnown(request)).length, 0);
  let tokens = 0;
  for await (const answered of answerPrompts(model, plans, isKnown)) {
    store.add(answered);
    done++;
    tokens += answered.tokens;
    onProgress?.({ task: answered.task, done, total, tokens });
    if (signal?.aborted) return undefined;
  }
  const verdicts = plans.map((plan) => judge(plan, store.answers));
  return {
    ...resultsOf(plans, verdicts, Object.values(families)),
    verdicts: Object.fromEntries(plans.map(({ task }, index) => [task.name, verdicts[index]!])),
    samples(name) {
      const plan = plans.find(({ task }) => task.name === name);
      if (!plan)
        throw new RangeError(
          `samples: ${name} was not evaluated; there are ${plans.map((p) => p.task.name).join(", ")}.`,
        );
      return samplesOf(plan, store.answers);
    },
  };
}
