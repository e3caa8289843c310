// Question: how does HellaSwag ask?
//
// Zellers et al. 2019, arXiv 1905.07830: how does a scene go on. Brackets are left over from WikiHow and are taken out.

import { z } from "zod";
import type { DataFile } from "../data-folder.ts";
import { capitalize, strip } from "../python.ts";
import type { ChoiceExample, Family } from "../task.ts";

const schema = z.looseObject({
  activity_label: z.string(),
  ctx_a: z.string(),
  ctx_b: z.string(),
  endings: z.array(z.string()),
  label: z.union([z.number(), z.string().regex(/^\d$/).transform(Number)]),
});

/** A text without the marks of WikiHow's markup. */
export const withoutMarkup = (text: string): string =>
  strip(text)
    .replaceAll(" [title]", ". ")
    .replaceAll(/\[[^\n]*?\]/g, "")
    .replaceAll("  ", " ");

const read = (file: DataFile): ChoiceExample[] =>
  file.lines(schema).map((doc) => {
    const { activity_label: label, ctx_a: first, ctx_b: second, endings, label: gold } = doc;
    const question = withoutMarkup(`${label}: ${first} ${capitalize(second)}`);
    const choices = endings.map(withoutMarkup);
    return { doc: { ...doc, query: question, choices, gold }, question, choices, gold, answer: choices[gold]! };
  });

export const hellaswag: Family = {
  name: "hellaswag",
  title: "HellaSwag",
  paperShots: 10,
  paperMetric: ["acc", "none"],
  groups: [],
  tasks: [
    {
      kind: "choice",
      name: "hellaswag",
      version: 1,
      family: "hellaswag",
      shots: 0,
      sampler: "random",
      ownShots: false,
      delimiter: " ",
      metrics: ["acc", "acc_norm"],
      read(data) {
        const asked = read(data.file("validation examples", "hellaswag_val.jsonl", "validation.jsonl", "*val*.jsonl"));
        const train = data.optionalFile("hellaswag_train.jsonl", "train.jsonl");
        return { asked, shown: train ? read(train) : asked, shownFrom: train ? "train" : "validation" };
      },
    },
  ],
};
