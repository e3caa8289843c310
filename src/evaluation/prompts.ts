// Question: which prompts does a task give?
//
//   description, then each shot: question, delimiter, answer, "\n\n", then the question that is asked
//
// The choices or the answer to be written follow. Prompts are text: every model gets the same ones.

import { expectFields } from "../basics/fields.ts";
import { sha256 } from "../files/hash.ts";
import type { DataFolder } from "./data-folder.ts";
import { PythonRandom } from "./python-random.ts";
import type { ChoiceExample, ChoiceTask, Task, TaskExamples, WritingExample, WritingTask } from "./task.ts";

/** A prompt, and the example that it asks. */
export interface Prompt<E> {
  /** The example's number in its file, from 0. */
  readonly index: number;
  readonly example: E;
  readonly text: string;
  /** A hash of all that decides the model's answer: the prompt, its choices, and how an answer ends. */
  readonly request: string;
}

interface CommonPlan<T, E> {
  readonly task: T;
  readonly shots: number;
  readonly shownFrom: string;
  /** Examples in the file, asked or not. */
  readonly examples: number;
  readonly prompts: readonly Prompt<E>[];
}

/** A task with its prompts. */
export type TaskPlan = CommonPlan<ChoiceTask, ChoiceExample> | CommonPlan<WritingTask, WritingExample>;

/** Which prompts a task gives. */
export interface PromptOptions {
  /** Solved examples in a prompt. Default: the task's. */
  readonly shots?: number | undefined;
  /** Ask only the first so many examples of each task. Default: all. */
  readonly limit?: number | undefined;
  /** Seed of the examples that are drawn at random. Default 1234, the harness's. */
  readonly seed?: number | undefined;
}

/**
 * Read a task's files and make its prompts.
 *
 * @throws RangeError when there are fewer examples to show than shots; Error when a file is missing or has another form
 */
export function planTask(task: Task, data: DataFolder, options: PromptOptions = {}): TaskPlan {
  expectFields("planTask", options, { shots: "number", limit: "number", seed: "number" });
  const { shots = task.shots, limit, seed = 1234 } = options;
  if (task.kind === "choice") {
    const examples = task.read(data);
    const prompts = promptsOf(task, examples, { shots, limit, seed }, ({ choices }) => [task.delimiter, choices]);
    return { task, shots, shownFrom: examples.shownFrom, examples: examples.asked.length, prompts };
  }
  const examples = task.read(data);
  const prompts = promptsOf(task, examples, { shots, limit, seed }, () => [task.until, task.maxTokens]);
  return { task, shots, shownFrom: examples.shownFrom, examples: examples.asked.length, prompts };
}

function promptsOf<E extends ChoiceExample | WritingExample>(
  task: Task,
  { asked, shown, description = "" }: TaskExamples<E>,
  { shots, limit, seed }: { readonly shots: number; readonly limit: number | undefined; readonly seed: number },
  rest: (example: E) => unknown,
): Prompt<E>[] {
  const random = new PythonRandom(seed);
  // The harness draws one more, and then leaves the question itself out.
  const drawn = !task.ownShots || shown === asked ? shots + 1 : shots;
  const enough = task.sampler === "first" ? shots : shots === 0 ? 0 : drawn;
  if (shown.length < enough)
    throw new RangeError(
      `${task.name}: ${shots} shots are asked for, but there are ${shown.length} examples to show; ask for fewer with --shots.`,
    );
  const shotsFor = (example: E): readonly E[] => {
    if (shots === 0) return [];
    const pool = task.sampler === "first" ? shown : random.sample(shown, drawn);
    if (drawn === shots) return pool.slice(0, shots);
    const own = JSON.stringify(example.doc);
    return pool.filter(({ doc }) => JSON.stringify(doc) !== own).slice(0, shots);
  };
  const shotText = ({ question, answer }: E): string =>
    answer === "" ? question : `${question}${task.delimiter}${answer}\n\n`;
  return asked.slice(0, limit).map((example, index) => {
    const text = `${description}${shotsFor(example).map(shotText).join("")}${example.question}`;
    return { index, example, text, request: sha256(JSON.stringify([text, rest(example)])) };
  });
}
