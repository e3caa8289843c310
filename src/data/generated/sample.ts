// Question: which text stands for a source that never ends?
//
// A sample of its examples. The tokenizer is trained on it, and what asks for a run's text, such as inspect, reads it;
// training generates its own (batches.ts).

import type { Document } from "../split.ts";
import { answerOf, exampleAt, promptOf } from "./examples.ts";
import { parseTasks } from "./table.ts";

const EXAMPLES = 4000;
/** No training has this seed's examples in this order. */
const SEED = 2 ** 53 - 1;

/**
 * Examples as documents, which may be trained on.
 *
 * @param tasks as `parseTasks` takes them
 */
export function sampleDocuments(tasks: string): Document[] {
  const chosen = parseTasks(tasks);
  return Array.from({ length: EXAMPLES }, (_, number) => {
    const example = exampleAt(chosen, SEED, number, "train");
    return { name: `${example.task} ${number}`, text: promptOf(example) + answerOf(example) };
  });
}
