// Question: how does MATH ask?
//
// Hendrycks et al. 2021, arXiv 2103.03874, in seven subjects. As minerva_math it shows the four solved problems of Lewkowycz
// et al. 2022 (arXiv 2206.14858), appendix D, and reads the answer from "Final Answer: …"; as hendrycks_math it asks for
// the answer alone. Read are the authors' folders test/SUBJECT/*.json, or lines in test/SUBJECT.jsonl.

import { z } from "zod";
import type { DataFolder } from "../data-folder.ts";
import { wholeText } from "../filters.ts";
import {
  betweenDollars,
  finalAnswer,
  insideBox,
  lastBoxed,
  normaliseFinalAnswer,
  sameAnswer,
  sameNumberOrText,
} from "../math-answers.ts";
import type { Family, FamilyName, WritingExample, WritingTask } from "../task.ts";
import { minervaShots } from "./minerva-shots.ts";

/** The harness's name of each subject, and the authors'. */
const subjects: Readonly<Record<string, string>> = {
  algebra: "algebra",
  counting_and_prob: "counting_and_probability",
  geometry: "geometry",
  intermediate_algebra: "intermediate_algebra",
  num_theory: "number_theory",
  prealgebra: "prealgebra",
  precalc: "precalculus",
};

const schema = z.looseObject({ problem: z.string(), solution: z.string() });
type Problem = z.infer<typeof schema>;

function problemsOf(data: DataFolder, subject: string, split: "train" | "test"): Problem[] {
  const listed = data.optionalFile(`${split}/${subject}.jsonl`, `${subject}/${split}.jsonl`);
  return listed ? listed.lines(schema) : data.files(`${split}/${subject}/*.json`).map((file) => file.json(schema));
}

function expectProblems(problems: readonly Problem[], family: FamilyName, subject: string): readonly Problem[] {
  if (problems.length > 0) return problems;
  throw new Error(
    `${family}: there is no problem of ${subject}; they may lie in ${family}/test/${subject}/*.json or ${family}/test/${subject}.jsonl; docs/evaluation.md says where they come from.`,
  );
}

/** What is in the last box of a solution. */
function boxedAnswer({ solution, problem }: Problem): string {
  const answer = insideBox(lastBoxed(solution) ?? "");
  if (answer === undefined)
    throw new Error(`MATH: the solution of "${problem.slice(0, 60)}" has no \\boxed{…}; every solution must have one.`);
  return answer;
}

function minervaExample(problem: Problem): WritingExample {
  const target = normaliseFinalAnswer(boxedAnswer(problem));
  return {
    doc: { ...problem, answer: target },
    question: `Problem:\n${problem.problem}\n\nSolution:`,
    answer: problem.solution,
    target,
    judge: (text) => ({
      exact_match: sameNumberOrText(normaliseFinalAnswer(finalAnswer(text)), target) ? 1 : 0,
    }),
  };
}

function hendrycksExample(problem: Problem): WritingExample {
  const target = boxedAnswer(problem);
  return {
    doc: { ...problem, answer: target },
    question: `Problem: ${problem.problem}\nAnswer:`,
    answer: target,
    target,
    judge: (text) => ({ exact_match: sameAnswer(betweenDollars(text), target) ? 1 : 0 }),
  };
}

const common = {
  kind: "writing",
  ownShots: true,
  delimiter: " ",
  metrics: ["exact_match"],
  until: ["Problem:"],
  maxTokens: 256,
  filters: [wholeText],
} as const;

const minervaShown = minervaShots.map((shot): WritingExample => ({
  ...minervaExample({ ...shot }),
  answer: shot.solution,
}));

const minerva = Object.entries(subjects).map(([name, subject]): WritingTask => ({
  ...common,
  name: `minerva_math_${name}`,
  version: 3,
  family: "math",
  shots: 4,
  sampler: "first",
  read: (data) => ({
    asked: expectProblems(problemsOf(data, subject, "test"), "math", subject).map(minervaExample),
    shown: minervaShown,
    shownFrom: "Lewkowycz et al. 2022",
  }),
}));

const hendrycks = Object.entries(subjects).map(([name, subject]): WritingTask => ({
  ...common,
  name: `hendrycks_math_${name}`,
  version: 1,
  family: "hendrycks_math",
  shots: 0,
  sampler: "random",
  read(data) {
    const asked = expectProblems(problemsOf(data, subject, "test"), "hendrycks_math", subject).map(hendrycksExample);
    const train = problemsOf(data, subject, "train").map(hendrycksExample);
    return { asked, shown: train.length > 0 ? train : asked, shownFrom: train.length > 0 ? "train" : "test" };
  },
}));

const family = (name: FamilyName, title: string, tasks: readonly WritingTask[], group: string): Family => ({
  name,
  title,
  tasks,
  paperShots: 4,
  paperMetric: ["exact_match", "none"],
  groups: [
    {
      name: group,
      version: "1.0",
      members: tasks.map((task) => task.name),
      metric: "exact_match",
      filter: "none",
    },
  ],
});

export const math: Family = family("math", "MATH", minerva, "minerva_math");
export const hendrycksMath: Family = family("hendrycks_math", "MATH, the answer alone", hendrycks, "hendrycks_math");
