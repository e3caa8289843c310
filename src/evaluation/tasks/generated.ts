// Question: how do the generated tasks ask?
//
// As models are trained on them (data/generated/examples.ts), with questions that none is trained on: the same ones for
// every model, some of each difficulty. They need no files. The harness does not know these tasks.

import { examplesOf, promptOf } from "../../data/generated/examples.ts";
import { generatedTasks } from "../../data/generated/table.ts";
import { exactMatch } from "../exact-match.ts";
import { withoutSpace } from "../filters.ts";
import type { Family, WritingExample, WritingTask } from "../task.ts";

/** Questions of each difficulty. */
const QUESTIONS = 20;

/** Most tokens of an answer: room that is left for it is taken from the question. */
const longest: Readonly<Record<string, number>> = { bbh_word_sorting: 160, dyck: 24 };
const LONGEST = 12;

function examples(name: string): WritingExample[] {
  const { from, to } = generatedTasks[name]!.difficulty;
  const levels = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return levels
    .flatMap((difficulty) => examplesOf(name, difficulty, QUESTIONS))
    .map((example) => ({
      doc: { ...example },
      question: promptOf(example),
      answer: example.answer,
      target: example.answer,
      judge: (text) => ({ exact_match: exactMatch(text, [example.answer]) }),
    }));
}

const task = (name: string): WritingTask => ({
  kind: "writing",
  name: `generated_${name}`,
  version: 1,
  family: "generated",
  shots: 0,
  sampler: "random",
  ownShots: false,
  delimiter: " ",
  metrics: ["exact_match"],
  until: ["\n"],
  maxTokens: longest[name] ?? LONGEST,
  filters: [withoutSpace],
  read() {
    const asked = examples(name);
    return { asked, shown: asked, shownFrom: "the questions asked" };
  },
});

const tasks = Object.keys(generatedTasks).map(task);
const ofBbh = tasks.filter(({ name }) => name.startsWith("generated_bbh_"));

const group = (name: string, members: readonly WritingTask[]) => ({
  name,
  version: "1",
  members: members.map((member) => member.name),
  metric: "exact_match",
  filter: "remove_whitespace",
});

export const generated: Family = {
  name: "generated",
  title: "Generated tasks",
  paperShots: 0,
  paperMetric: ["exact_match", "remove_whitespace"],
  tasks,
  groups: [
    group("generated_bbh", ofBbh),
    group(
      "generated_small",
      tasks.filter((one) => !ofBbh.includes(one)),
    ),
    group("generated", tasks),
  ],
};
