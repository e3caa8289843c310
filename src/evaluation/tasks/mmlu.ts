// Question: how does MMLU ask?
//
// Hendrycks et al. 2021, arXiv 2009.03300: questions of 57 subjects with four answers. The letters are scored. The shots
// are the first examples of the subject's own file dev/SUBJECT_dev.csv.

import type { DataFile } from "../data-folder.ts";
import { splitWords, strip } from "../python.ts";
import type { ChoiceExample, ChoiceTask, Family } from "../task.ts";

const LETTERS = ["A", "B", "C", "D"];

/** The subjects of each area, in the harness's order. */
const subjects: Readonly<Record<string, readonly string[]>> = {
  stem: splitWords(`
    abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science
    college_mathematics college_physics computer_security conceptual_physics electrical_engineering
    elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
    high_school_mathematics high_school_physics high_school_statistics machine_learning
  `),
  other: splitWords(`
    business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing
    medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology
  `),
  social_sciences: splitWords(`
    econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics
    high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations
    security_studies sociology us_foreign_policy
  `),
  humanities: splitWords(`
    formal_logic high_school_european_history high_school_us_history high_school_world_history international_law
    jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law
    world_religions
  `),
};

const read = (file: DataFile, subject: string): ChoiceExample[] =>
  file.rows(6).map(([question = "", ...rest], index) => {
    const choices = rest.slice(0, 4);
    const gold = LETTERS.indexOf(rest[4]!);
    if (gold < 0)
      throw new Error(`${file.path}, row ${index + 1}: the answer is ${rest[4]}; it must be ${LETTERS.join(", ")}.`);
    const listed = choices.map((choice, place) => `${LETTERS[place]}. ${choice}`).join("\n");
    return {
      doc: { question, subject, choices, answer: gold },
      question: `${strip(question)}\n${listed}\nAnswer:`,
      choices: LETTERS,
      gold,
      answer: LETTERS[gold]!,
    };
  });

const task = (subject: string): ChoiceTask => ({
  kind: "choice",
  name: `mmlu_${subject}`,
  version: 1,
  family: "mmlu",
  shots: 0,
  sampler: "first",
  ownShots: true,
  delimiter: " ",
  metrics: ["acc"],
  read: (data) => ({
    asked: read(data.file(`test examples of ${subject}`, `test/${subject}_test.csv`), subject),
    shown: read(data.file(`development examples of ${subject}`, `dev/${subject}_dev.csv`), subject),
    shownFrom: "dev",
    description: `The following are multiple choice questions (with answers) about ${subject.replaceAll("_", " ")}.\n\n`,
  }),
});

const group = (name: string, members: readonly string[]) =>
  ({ name, version: "2", members, metric: "acc", filter: "none" }) as const;

export const mmlu: Family = {
  name: "mmlu",
  title: "MMLU",
  paperShots: 5,
  paperMetric: ["acc", "none"],
  tasks: Object.values(subjects).flat().map(task),
  groups: [
    ...Object.entries(subjects).map(([area, names]) =>
      group(
        `mmlu_${area}`,
        names.map((name) => `mmlu_${name}`),
      ),
    ),
    group(
      "mmlu",
      Object.keys(subjects).map((area) => `mmlu_${area}`),
    ),
  ],
};
