// The generated tasks: their answers by hand, their difficulties, and that what is held out is held out.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createDraw } from "../../../src/data/generated/draw.ts";
import { exampleAt, examplesOf } from "../../../src/data/generated/examples.ts";
import { partOf } from "../../../src/data/generated/held-out.ts";
import { generatedTasks, parseTasks, tasksText } from "../../../src/data/generated/table.ts";

const names = Object.keys(generatedTasks);

/** Worked out by hand from the definitions. */
const byHand: readonly (readonly [task: string, question: string, answer: string])[] = [
  ["khop", "1 hops : a c b d a b c a =", "b"],
  // The last a stands before b, at place 5; the b before that, before d.
  ["khop", "2 hops : a c b d a b c a =", "d"],
  ["recall", "a 3 b 7 c 1 ; c b =", "1 7"],
  ["permutation_three", "2 1 3 . 3 1 2 =", "3 2 1"],
  ["permutation_five", "5 4 3 2 1 . 2 1 3 4 5 =", "4 5 3 2 1"],
  ["listops", "[ MAX 2 9 [ MIN 4 7 ] 0 ] =", "9"],
  ["listops", "[ MED 1 8 4 2 ] =", "3"],
  ["listops", "[ SM 9 [ MED 3 1 2 ] 7 ] =", "8"],
  ["dyck", "{ [ ( ) =", "] }"],
  ["arithmetic", "( 3 - ( 4 * 2 ) ) mod 10 =", "5"],
  ["boolean", "( not True xor ( False or True ) ) is", "True"],
  ["bbh_boolean_expressions", "True or True and not True is", "True"],
  ["bbh_multistep_arithmetic_two", "((-1 + 2) * (-3 - -4)) =", "1"],
];

test.each(byHand)("%s: %s", (task, question, answer) => {
  expect(generatedTasks[task]!.solve(question)).toBe(answer);
});

test.each(names)("%s: every difficulty has questions of its grammar, the same for the same key", (name) => {
  const { difficulty, make, solve } = generatedTasks[name]!;
  for (let level = difficulty.from; level <= difficulty.to; level++) {
    const questions = Array.from({ length: 12 }, (_, key) => make(createDraw(key), level));
    expect(questions).toEqual(Array.from({ length: 12 }, (_, key) => make(createDraw(key), level)));
    expect(new Set(questions).size).toBeGreaterThan(5);
    for (const question of questions) expect(solve(question)).toMatch(/\S/);
    // Answers depend on the question.
    expect(new Set(questions.map(solve)).size).toBeGreaterThan(1);
  }
});

test.each(names)("%s: a text of another grammar is refused", (name) => {
  expect(() => generatedTasks[name]!.solve("How are you?")).toThrow("is no question of this task's grammar");
});

const depthOf = (text: string, open: string): number => {
  let [depth, deepest] = [0, 0];
  for (const token of text.split(" ")) {
    if (token === open) deepest = Math.max(deepest, ++depth);
    if (token === { "(": ")", "[": "]" }[open]) depth--;
  }
  return deepest;
};

/** What a question's difficulty is, read off the question. */
const measured: Readonly<Record<string, (question: string) => number>> = {
  khop: (question) => Number.parseInt(question, 10),
  recall: (question) => question.split(" ;")[0]!.split(" ").length / 2,
  permutation_three: (question) => question.split(" . ").length,
  permutation_five: (question) => question.split(" . ").length,
  listops: (question) => depthOf(question, "["),
  arithmetic: (question) => depthOf(question, "("),
  boolean: (question) => depthOf(question, "("),
  dyck: (question) => generatedTasks["dyck"]!.solve(question).split(" ").length,
  bbh_boolean_expressions: (question) => question.match(/True|False/g)!.length,
  bbh_dyck_languages: (question) => generatedTasks["bbh_dyck_languages"]!.solve(question).split(" ").length,
  bbh_multistep_arithmetic_two: (question) => question.match(/\d/g)!.length / 2,
  bbh_navigate: (question) => question.match(/Take|Turn/g)!.length,
  bbh_web_of_lies: (question) => question.match(/says/g)!.length + 1,
  bbh_word_sorting: (question) => question.split("List: ")[1]!.split(" ").length,
  bbh_temporal_sequences: (question) => question.match(/ saw /g)!.length,
  bbh_object_counting: (question) => question.split(".")[0]!.split(/, and |, | and /).length,
  ...Object.fromEntries(
    ["three", "five", "seven"].flatMap((size) => [
      [
        `bbh_tracking_shuffled_objects_${size}_objects`,
        (question: string) => question.match(/(First|Then|Finally), /g)!.length,
      ],
      [
        `bbh_logical_deduction_${size}_objects`,
        (question: string) =>
          question
            .split("\nOptions")[0]!
            .match(/(finished (above|below)|(newer|older|expensive) than|to the (left|right) of) /g)!.length,
      ],
    ]),
  ),
};

test.each(names)("%s: the difficulty is what it says it counts", (name) => {
  const { from, to } = generatedTasks[name]!.difficulty;
  for (const level of new Set([from, to]))
    for (const { question } of examplesOf(name, level, 5)) expect(measured[name]!(question)).toBe(level);
});

test("navigation returns in about half of the questions", () => {
  const answers = examplesOf("bbh_navigate", 5, 200).map(({ answer }) => answer);
  const yes = answers.filter((answer) => answer === "Yes").length;
  expect(yes).toBeGreaterThan(70);
  expect(yes).toBeLessThan(130);
});

test("no question for validation is trained on, and neither is one of BIG-Bench Hard", () => {
  const tasks = parseTasks("bbh_boolean_expressions:2,permutation_three:2-3");
  const asked = (part: "train" | "validation"): Set<string> =>
    new Set(Array.from({ length: 400 }, (_, number) => exampleAt(tasks, 1, number, part).question));
  const [train, validation] = [asked("train"), asked("validation")];
  expect([...validation].filter((question) => train.has(question))).toEqual([]);
  expect([...train].filter((question) => partOf(question) !== "train")).toEqual([]);
  expect(validation.size).toBeGreaterThan(10);
});

test("an example is a function of seed and number", () => {
  const tasks = parseTasks("small");
  expect(exampleAt(tasks, 3, 77, "train")).toEqual(exampleAt(tasks, 3, 77, "train"));
  expect(exampleAt(tasks, 3, 77, "train")).not.toEqual(exampleAt(tasks, 4, 77, "train"));
  expect(exampleAt(tasks, 3, 77, "train")).not.toEqual(exampleAt(tasks, 3, 78, "train"));
});

test("docs/reasoning.md has every task as it is", () => {
  const page = readFileSync(new URL("../../../docs/reasoning.md", import.meta.url), "utf8");
  for (const [name, { about, difficulty }] of Object.entries(generatedTasks))
    expect(page).toContain(
      `| \`${name}\` | ${about} | ${difficulty.counts} | ${difficulty.from} to ${difficulty.to} |`,
    );
});

test("draws are even", () => {
  const counts = new Map<string, number>();
  for (let key = 0; key < 6000; key++) {
    const order = createDraw(key).shuffled(["a", "b", "c"]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  // 6,000 draws of 6 orders: 1,000 each, with a standard deviation of 29.
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test("tasks are chosen by their names, groups and difficulties", () => {
  expect(parseTasks("khop:1-4, recall")).toEqual([
    { name: "khop", from: 1, to: 4 },
    { name: "recall", from: 2, to: 16 },
  ]);
  expect(parseTasks("khop:3")).toEqual([{ name: "khop", from: 3, to: 3 }]);
  expect(
    parseTasks("bbh,small")
      .map(({ name }) => name)
      .sort(),
  ).toEqual([...names].sort());
  expect(tasksText(parseTasks("all"))).toBe(tasksText(parseTasks(tasksText(parseTasks("all")))));
});

test.each([
  ["hops", '"hops" is given; allowed are bbh, small, all, khop,'],
  ["khop:0-2", "the difficulty of khop, its hops, must be from 1 to 26"],
  ["khop:4-2", "must be from 1 to 26"],
  ["bbh_temporal_sequences:7", "must be from 2 to 6"],
  ["khop,small", "khop is named twice"],
  ["khop:1-2:3", '"khop:1-2:3" is given'],
])("%s is refused", (text, message) => {
  expect(() => parseTasks(text)).toThrow(message);
});
