// Question: how does BIG-Bench Hard ask?
//
// Suzgun et al. 2022, arXiv 2210.09261: 27 tasks. A prompt shows three solved questions, from the authors' file of the task,
// cot-prompts/TASK.txt, and the model reasons. The filter drops the character after the answer, a full stop or not.

import { z } from "zod";
import { exactMatch } from "../exact-match.ts";
import { type Filter, matchOf } from "../filters.ts";
import type { DataFile } from "../data-folder.ts";
import { splitWords } from "../python.ts";
import type { Family, WritingExample, WritingTask } from "../task.ts";

const names = splitWords(`
  boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies
  geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects
  logical_deduction_three_objects movie_recommendation multistep_arithmetic_two navigate object_counting
  penguins_in_a_table reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
  sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
  tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies word_sorting
`);

const schema = z.object({ examples: z.array(z.object({ input: z.string(), target: z.string() })) });

export const bbhFilter: Filter = matchOf("get-answer", /(?<=the answer is )([^\n]*)(?=[^\n])/gu);

const example = (input: string, target: string): WritingExample => ({
  doc: { input, target },
  question: `Q: ${input}\nA: Let's think step by step.\n`,
  answer: target,
  target,
  judge: (text) => ({ exact_match: exactMatch(text, [target]) }),
});

/** The description and the solved questions of a file of prompts; its first line is the canary. */
function readPrompts(file: DataFile): { readonly description: string; readonly shown: readonly WritingExample[] } {
  const text = file.text().replace(/^[^]*?\n-----\n/, "");
  const [description = "", ...parts] = text.split(/\n\nQ: /);
  const shown = parts.map((part) => {
    const [, input, target] = /^([^]*?)\nA: Let's think step by step\.[ \n]([^]*)$/.exec(part) ?? [];
    if (input === undefined || target === undefined)
      throw new Error(
        `${file.path}: a question has no "A: Let's think step by step."; it must be the file that its authors publish.`,
      );
    return example(input, target.replace(/\n*$/, ""));
  });
  return { description: `${description}\n\n`, shown };
}

const task = (name: string): WritingTask => ({
  kind: "writing",
  name: `bbh_cot_fewshot_${name}`,
  version: 4,
  family: "bbh",
  shots: 3,
  sampler: "first",
  ownShots: true,
  delimiter: "",
  metrics: ["exact_match"],
  until: ["</s>", "Q", "\n\n"],
  maxTokens: 1024,
  filters: [bbhFilter],
  read(data) {
    const { examples } = data.file(`examples of ${name}`, `bbh/${name}.json`, `${name}.json`).json(schema);
    const prompts = data.file(`prompts of ${name}`, `cot-prompts/${name}.txt`);
    return {
      asked: examples.map(({ input, target }) => example(input, target)),
      shownFrom: "cot-prompts",
      ...readPrompts(prompts),
    };
  },
});

const tasks = names.map(task);

export const bbh: Family = {
  name: "bbh",
  title: "BIG-Bench Hard",
  paperShots: 3,
  paperMetric: ["exact_match", "get-answer"],
  tasks,
  groups: [
    {
      name: "bbh",
      version: "3.0",
      members: tasks.map(({ name }) => name),
      metric: "exact_match",
      filter: "get-answer",
    },
  ],
};
