// Question: how does GSM8K ask?
//
// Cobbe et al. 2021, arXiv 2110.14168: word problems; a solution ends with "#### " and the number. The strict filter wants
// that form, the flexible one takes the last number.

import { z } from "zod";
import type { DataFile } from "../data-folder.ts";
import { exactMatch, type Ignored } from "../exact-match.ts";
import { type Filter, matchOf } from "../filters.ts";
import type { Family, WritingExample } from "../task.ts";

const schema = z.object({ question: z.string(), answer: z.string() });

/** Of both sides: commas, dollar signs, all up to the last "#### ", and a full stop at the end. */
export const gsm8kIgnored: Ignored = {
  patterns: [/,/g, /\$/g, /[^]*#### /g, /\.(?=\n?(?![^]))/g],
  case: true,
};

export const gsm8kFilters: readonly Filter[] = [
  matchOf("strict-match", /#### (-?[0-9.,]+)/g),
  matchOf("flexible-extract", /(-?[$0-9.,]{2,})|(-?[0-9]+)/g, "last"),
];

const read = (file: DataFile): WritingExample[] =>
  file.lines(schema).map(({ question, answer }) => ({
    doc: { question, answer },
    question: `Question: ${question}\nAnswer:`,
    answer,
    target: answer,
    judge: (text) => ({ exact_match: exactMatch(text, [answer], gsm8kIgnored) }),
  }));

export const gsm8k: Family = {
  name: "gsm8k",
  title: "GSM8K",
  paperShots: 8,
  paperMetric: ["exact_match", "strict-match"],
  groups: [],
  tasks: [
    {
      kind: "writing",
      name: "gsm8k",
      version: 3,
      family: "gsm8k",
      shots: 5,
      sampler: "random",
      ownShots: true,
      delimiter: " ",
      metrics: ["exact_match"],
      until: ["Question:", "</s>", "<|im_end|>"],
      maxTokens: 256,
      filters: gsm8kFilters,
      read: (data) => ({
        asked: read(data.file("test examples", "test.jsonl")),
        shown: read(data.file("training examples", "train.jsonl")),
        shownFrom: "train",
      }),
    },
  ],
};
