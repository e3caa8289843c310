// Question: how does DROP ask?
//
// Dua et al. 2019, arXiv 1903.00161: questions about a passage whose answers are numbers, dates or spans. Where a prompt shows
// an example, the harness's template prints the names of the fields of the answer's record, and no answer: so it is here.

import { z } from "zod";
import type { DataFile } from "../data-folder.ts";
import { scoreDrop } from "../drop-score.ts";
import { wholeText } from "../filters.ts";
import { strip } from "../python.ts";
import type { Family, WritingExample } from "../task.ts";

const answerSchema = z.object({
  number: z.coerce.string().default(""),
  date: z
    .object({ day: z.string().default(""), month: z.string().default(""), year: z.string().default("") })
    .default({ day: "", month: "", year: "" }),
  spans: z.array(z.string()).default([]),
});
const schema = z.record(
  z.string(),
  z.looseObject({
    passage: z.string(),
    qa_pairs: z.array(
      z.looseObject({
        question: z.string(),
        query_id: z.string().default(""),
        answer: answerSchema,
        validated_answers: z.array(answerSchema).default([]),
      }),
    ),
  }),
);

/** A number, spans or a date. */
function spansOf({ number, spans, date }: z.infer<typeof answerSchema>): string[] {
  if (number !== "") return [number];
  if (spans.length > 0) return spans;
  return [strip([date.day, date.month, date.year].join(" "))];
}

/** What the harness makes of every answer that a prompt shows: the fields of the record on the hub, joined. */
const SHOWN = ["number", "date", "spans", "worker_id", "hit_id"].join(",");

const read = (file: DataFile): WritingExample[] =>
  Object.entries(file.json(schema)).flatMap(([section, { passage, qa_pairs: pairs }]) =>
    pairs.map(({ question, query_id: id, answer, validated_answers: others }) => {
      const all = [answer, ...others].map(spansOf);
      const answers = [...new Map(all.map((spans) => [JSON.stringify(spans), spans])).values()];
      return {
        doc: { section_id: section, id, passage, question, answers },
        question: `${passage} ${question}`,
        answer: SHOWN,
        target: answers.map((spans) => spans.join(",")),
        judge: (text) => ({ ...scoreDrop([text], answers) }),
      };
    }),
  );

export const drop: Family = {
  name: "drop",
  title: "DROP",
  paperShots: 3,
  paperMetric: ["f1", "none"],
  groups: [],
  tasks: [
    {
      kind: "writing",
      name: "drop",
      version: 3,
      family: "drop",
      shots: 0,
      sampler: "random",
      ownShots: false,
      delimiter: "",
      metrics: ["em", "f1"],
      until: ["."],
      maxTokens: 256,
      filters: [wholeText],
      read(data) {
        const asked = read(data.file("validation questions", "drop_dataset_dev.json", "*dev*.json", "drop*.json"));
        const train = data.optionalFile("drop_dataset_train.json");
        return { asked, shown: train ? read(train) : asked, shownFrom: train ? "train" : "validation" };
      },
    },
  ],
};
