// Question: how does TriviaQA ask?
//
// Joshi et al. 2017, arXiv 1705.03551, without documents. An answer is right if it is any alias, but for case and ASCII
// punctuation. Read are the authors' unfiltered-web-dev.json, or lines of {question, aliases} or {context, aliases}.

import { z } from "zod";
import type { DataFile } from "../data-folder.ts";
import { exactMatch } from "../exact-match.ts";
import { withoutSpace } from "../filters.ts";
import type { Family, WritingExample } from "../task.ts";

const published = z.object({
  Data: z.array(
    z.looseObject({ Question: z.string(), Answer: z.looseObject({ Aliases: z.array(z.string()).min(1) }) }),
  ),
});
const line = z.looseObject({
  question: z.string().optional(),
  context: z.string().optional(),
  aliases: z.array(z.string()).min(1),
});

/** "Question: …\nAnswer:", of which only the question counts. */
const bareQuestion = (context: string): string => context.replace(/^Question: /, "").replace(/\nAnswer:$/, "");

function read(file: DataFile): WritingExample[] {
  const docs = file.path.endsWith(".json")
    ? file.json(published).Data.map(({ Question, Answer }) => ({ question: Question, aliases: Answer.Aliases }))
    : file.lines(line).map(({ question, context = "", aliases }) => ({
        question: question ?? bareQuestion(context),
        aliases,
      }));
  return docs.map(({ question, aliases }) => ({
    doc: { question, answer: { aliases } },
    question: `Question: ${question}?\nAnswer:`,
    answer: aliases[0]!,
    target: aliases,
    judge: (text) => ({ exact_match: exactMatch(text, aliases, { case: true, punctuation: true }) }),
  }));
}

export const triviaqa: Family = {
  name: "triviaqa",
  title: "TriviaQA",
  paperShots: 5,
  paperMetric: ["exact_match", "remove_whitespace"],
  groups: [],
  tasks: [
    {
      kind: "writing",
      name: "triviaqa",
      version: 3,
      family: "triviaqa",
      shots: 0,
      sampler: "random",
      ownShots: false,
      delimiter: " ",
      metrics: ["exact_match"],
      until: ["\n", ".", ","],
      maxTokens: 256,
      filters: [withoutSpace],
      read(data) {
        const asked = read(
          data.file("validation questions", "validation.jsonl", "unfiltered-web-dev.json", "*dev*.json", "*.jsonl"),
        );
        const train = data.optionalFile("train.jsonl", "unfiltered-web-train.json");
        return { asked, shown: train ? read(train) : asked, shownFrom: train ? "train" : "validation" };
      },
    },
  ],
};
