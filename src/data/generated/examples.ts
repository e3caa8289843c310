// Question: which example belongs to a seed and a number?
//
// The task is one of the chosen, each as likely as any other; so is the difficulty within the task. Questions are made
// until one belongs to the part that is asked for (held-out.ts). The text of an example is
//
//   Q: not ( True ) and ( True ) is
//   A: False
//
// and the end of a text after it, as a model is asked in BIG-Bench Hard without other examples.

import { streams, uniform } from "../random.ts";
import { createDraw, type Draw } from "./draw.ts";
import { type Part, partOf } from "./held-out.ts";
import { type ChosenTask, generatedTasks } from "./table.ts";

/** A question with its answer. */
export interface GeneratedExample {
  readonly task: string;
  readonly difficulty: number;
  readonly question: string;
  readonly answer: string;
}

/** What a model reads before it answers. */
export const promptOf = ({ question }: Pick<GeneratedExample, "question">): string => `Q: ${question}\nA:`;

/** What it should write then, before the end of the text. */
export const answerOf = ({ answer }: Pick<GeneratedExample, "answer">): string => ` ${answer}`;

/** So many questions are made to find one of a part; an eighth of them are for validation. */
const MOST_TRIES = 2000;

function makeExample(draw: Draw, task: string, difficulty: number, part: Part): GeneratedExample | undefined {
  const { make, solve } = generatedTasks[task]!;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const question = make(draw, difficulty);
    if (partOf(question) === part) return { task, difficulty, question, answer: solve(question) };
  }
  return undefined;
}

/** The draws of the example with a number under a seed. */
const drawOf = (seed: number, number: number): Draw =>
  createDraw(Math.floor(uniform(seed, streams.generated, number) * 2 ** 53));

/**
 * The example with a number: the same for the same seed, tasks and part.
 *
 * @param number from 0 to 2^53 - 1
 * @throws Error where a task has hardly any question of the part at a difficulty
 */
export function exampleAt(tasks: readonly ChosenTask[], seed: number, number: number, part: Part): GeneratedExample {
  const draw = drawOf(seed, number);
  const { name, from, to } = draw.one(tasks);
  const difficulty = draw.between(from, to);
  const example = makeExample(draw, name, difficulty, part);
  if (example) return example;
  throw new Error(
    `generated tasks: ${name} has hardly any questions of difficulty ${difficulty}, and none for ${part} was found. Choose a higher difficulty.`,
  );
}

/**
 * Different questions of one task and difficulty, for measuring: fewer than `count` where there are no more.
 *
 * @param part default: those that no model was trained on
 */
export function examplesOf(
  task: string,
  difficulty: number,
  count: number,
  part: Part = "validation",
): GeneratedExample[] {
  const found = new Map<string, GeneratedExample>();
  const draw = drawOf(0, difficulty);
  for (let tries = 0; tries < 4 * count && found.size < count; tries++) {
    const example = makeExample(draw, task, difficulty, part);
    if (!example) break;
    found.set(example.question, example);
  }
  return [...found.values()];
}
