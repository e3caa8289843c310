// Question: how does PIQA ask?
//
// Bisk et al. 2020, arXiv 1911.11641: which of two ways reaches a goal. The authors publish the labels beside the examples.

import { z } from "zod";
import type { DataFolder } from "../data-folder.ts";
import type { ChoiceExample, Family } from "../task.ts";

const schema = z.object({ goal: z.string(), sol1: z.string(), sol2: z.string(), label: z.number().optional() });

function read(data: DataFolder, split: "train" | "valid"): ChoiceExample[] | undefined {
  const file = split === "valid" ? data.file("validation examples", "valid.jsonl") : data.optionalFile("train.jsonl");
  if (!file) return undefined;
  const docs = file.lines(schema);
  const labels = data.optionalFile(`${split}-labels.lst`)?.text().trim().split(/\s+/).map(Number);
  return docs.map(({ goal, sol1, sol2, label }, index) => {
    const gold = label ?? labels?.[index];
    if (gold !== 0 && gold !== 1)
      throw new Error(
        `${file.path}, line ${index + 1}: there is no label; it must be 0 or 1, in this file or in ${split}-labels.lst beside it.`,
      );
    const choices = [sol1, sol2];
    return {
      doc: { goal, sol1, sol2, label: gold },
      question: `Question: ${goal}\nAnswer:`,
      choices,
      gold,
      answer: choices[gold]!,
    };
  });
}

export const piqa: Family = {
  name: "piqa",
  title: "PIQA",
  paperShots: 0,
  paperMetric: ["acc", "none"],
  groups: [],
  tasks: [
    {
      kind: "choice",
      name: "piqa",
      version: 1,
      family: "piqa",
      shots: 0,
      sampler: "random",
      ownShots: false,
      delimiter: " ",
      metrics: ["acc", "acc_norm"],
      read(data) {
        const asked = read(data, "valid")!;
        const train = read(data, "train");
        return { asked, shown: train ?? asked, shownFrom: train ? "train" : "validation" };
      },
    },
  ],
};
