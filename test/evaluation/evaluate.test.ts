// Prompts, results and files are the harness's; and an evaluation that was stopped goes on.

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openAnswers } from "../../src/evaluation/answer-log.ts";
import { type Answer, type Answerer, encodePair } from "../../src/evaluation/answers.ts";
import { openDataFolder } from "../../src/evaluation/data-folder.ts";
import { difference } from "../../src/evaluation/differences.ts";
import { evaluate, rememberAnswers } from "../../src/evaluation/evaluate.ts";
import { planTask, type TaskPlan } from "../../src/evaluation/prompts.ts";
import { resultsOf } from "../../src/evaluation/results.ts";
import { judge, type ExampleVerdict } from "../../src/evaluation/samples.ts";
import { families, findTasks } from "../../src/evaluation/tasks/table.ts";
import { writeResults } from "../../src/evaluation/write-results.ts";
import { trainTokenizer } from "../../src/data/tokenizer.ts";
import { createLanes } from "../../src/model/lanes.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { modelOn, tinyConfig } from "../model/tiny.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/evaluation/${name}`, import.meta.url));
const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-evaluation-"));
const benchmarks = fixture("benchmarks");
const plan = (name: string, shots?: number, limit?: number): TaskPlan => {
  const [task] = findTasks([name]);
  const folder = task!.family === "hendrycks_math" ? "math" : task!.family;
  return planTask(task!, openDataFolder(benchmarks, folder), { shots, limit });
};

// --- a model -------------------------------------------------------------------------------------

const tokenizer = trainTokenizer(["the question and the answer of that, with many words in it"], {
  vocabularySize: 270,
});
const config = tinyConfig("mhc", { vocabulary: tokenizer.vocabularySize, context: 96 });
let runtime: SynchronousRuntime;
let answerer: (lanes?: number, seed?: number) => Answerer;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  answerer = (lanes, seed = 3) => ({
    lanes: createLanes(runtime, modelOn(runtime, config, { seed, noise: 0.2 }), { lanes }),
    tokenizer,
    context: config.context,
  });
});
afterAll(() => {
  runtime.close();
  fs.rmSync(place, { recursive: true });
});

// --- the harness ---------------------------------------------------------------------------------

interface Recorded {
  readonly shots: number;
  readonly version: number;
  /** SHA-256 of each prompt and its choices. */
  readonly prompts: readonly string[];
  readonly results: Readonly<Record<string, number>>;
}
const recorded = JSON.parse(fs.readFileSync(fixture("harness.json"), "utf8")) as Readonly<Record<string, Recorded>>;

/** What harness.py answers: choices by their length, and one text to every prompt. */
function fixedAnswers({ task, prompts }: TaskPlan): Map<string, Answer> {
  return new Map(
    prompts.map(({ request, example }) => [
      request,
      "choices" in example
        ? { choices: example.choices.map((choice) => [-(task.delimiter + choice).length, false] as const) }
        : { text: "The final answer is 7. #### 7" },
    ]),
  );
}

describe.each(Object.entries(recorded))("%s, as the harness has it", (name, { shots, version, prompts, results }) => {
  test("version, prompts and choices", () => {
    const ours = plan(name, shots);
    expect(ours.task.version).toBe(version);
    expect(ours.prompts.length).toBeGreaterThan(1);
    const hashes = ours.prompts.map(({ text, example }) => {
      const choices = "choices" in example ? example.choices.map((choice) => ours.task.delimiter + choice) : [];
      return createHash("sha256")
        .update([text, ...choices].join("\0"))
        .digest("hex");
    });
    expect(hashes).toEqual(prompts);
  });

  test("values and standard errors", () => {
    const ours = plan(name, shots);
    const found = resultsOf([ours], [judge(ours, fixedAnswers(ours))], []);
    const { name: _, alias, sample_len: size, ...values } = found.results[name]!;
    expect([alias, size]).toEqual([name, prompts.length]);
    expect(Object.keys(values)).toEqual(Object.keys(results));
    for (const [key, value] of Object.entries(results)) expect(values[key], key).toBeCloseTo(value, 12);
  });
});

test("a group is the mean of its examples, and its error is pooled", () => {
  const sizes = [10, 40, 5];
  const ones = [5, 10, 4];
  const plans = sizes.map((size, index) => ({
    ...plan("mmlu_anatomy"),
    task: { ...plan("mmlu_anatomy").task, name: `part_${index}` },
    prompts: Array.from({ length: size }, () => ({}) as never),
  })) as unknown as TaskPlan[];
  const verdicts = sizes.map((size, index) =>
    Array.from({ length: size }, (_, i): ExampleVerdict => ({
      index: i,
      filter: "none",
      metrics: { acc: i < ones[index]! ? 1 : 0 },
    })),
  );
  const members = plans.map(({ task }) => task.name);
  const group = { name: "all", version: "1", members, metric: "acc", filter: "none" };
  const { groups, results } = resultsOf(plans, verdicts, [{ ...families.mmlu, groups: [group] }]);
  // By the harness's aggregate_subtask_metrics and pooled_sample_stderr.
  expect(groups["all"]!["acc,none"]).toBe(19 / 55);
  expect(groups["all"]!["acc_stderr,none"]).toBeCloseTo(0.06145098677990269, 12);
  expect(results["part_0"]!["acc_stderr,none"]).toBeCloseTo(Math.sqrt(2.5 / 9 / 10), 12);
});

describe("tasks", () => {
  test("have the harness's names", () => {
    expect(findTasks(["bbh"])).toHaveLength(27);
    expect(findTasks(["mmlu"])).toHaveLength(57);
    expect(findTasks(["mmlu_stem", "mmlu_anatomy"])).toHaveLength(19);
    expect(findTasks(["minerva_math"]).map(({ family }) => family)).toEqual(Array.from({ length: 7 }, () => "math"));
    expect(() => findTasks(["helaswag"])).toThrow(
      /"helaswag" is given; allowed are bbh, .* Did you mean "hellaswag"\?/,
    );
  });

  test("MATH is read from its folders; answers are judged by text or number", () => {
    const minerva = plan("minerva_math_algebra");
    expect(minerva.prompts[0]!.text).toMatch(
      /^Problem:\nFind the domain[^]*I hope it is correct\.\n\nProblem:\nWhat is \$3\\cdot 4 - 5\$\?\n\nSolution:$/,
    );
    const [seven, half, root] = minerva.prompts.map(
      ({ example }) =>
        (text: string) =>
          "judge" in example
            ? example.judge(`so. Final Answer: The final answer is ${text}. I hope it is correct.`)["exact_match"]
            : undefined,
    );
    expect([
      seven!("$7$"),
      seven!("$8$"),
      half!("$1.5$"),
      half!("3/2"),
      root!("$\\sqrt{2}$"),
      root!("$2^{0.5}$"),
    ]).toEqual([1, 0, 1, 1, 1, 1]);
    const alone = plan("hendrycks_math_algebra");
    expect(alone.prompts[1]!.text).toBe("Problem: Find the value of $x$ if $2x = 3$.\nAnswer:");
    const { example } = alone.prompts[1]!;
    expect("judge" in example && [example.judge(" it is $\\frac{3}{2}$"), example.judge("2")]).toEqual([
      { exact_match: 1 },
      { exact_match: 0 },
    ]);
  });

  test("an example is never among its own shots, where both come from one file", () => {
    for (const { text, example } of plan("piqa", 5).prompts) expect(text.split(example.question)).toHaveLength(2);
    expect(() => plan("piqa", 6)).toThrow(
      "piqa: 6 shots are asked for, but there are 6 examples to show; ask for fewer",
    );
  });

  test.each([
    ["gsm8k", "test.jsonl", "", "gsm8k: there is no file of training examples in "],
    ["piqa", "valid.jsonl", '{"goal": 1}\n', "valid.jsonl, line 1: "],
    [
      "piqa",
      "valid.jsonl",
      '{"goal":"a","sol1":"b","sol2":"c"}\n',
      "valid.jsonl, line 1: there is no label; it must be 0 or 1",
    ],
    ["mmlu_anatomy", "test/anatomy_test.csv", "a,b\n", "anatomy_test.csv, row 1: 2 columns instead of 6"],
    ["mmlu_anatomy", "test/anatomy_test.csv", "q,1,2,3,4,E\n", "row 1: the answer is E; it must be A, B, C, D"],
    ["mmlu_anatomy", "test/anatomy_test.csv", '"q,1\n', "anatomy_test.csv: row 1: a quoted field does not end"],
    ["triviaqa", "train.jsonl", "{}\n", "triviaqa: there is no file of validation questions in "],
    ["bbh_cot_fewshot_navigate", "navigate.json", "{", "navigate.json: "],
    [
      "minerva_math_algebra",
      "train/x.txt",
      "",
      "math: there is no problem of algebra; they may lie in math/test/algebra/*.json",
    ],
  ])("%s with a file %s that is wrong", (name, file, content, message) => {
    const folder = fs.mkdtempSync(path.join(place, "wrong-"));
    fs.mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), content);
    const [task] = findTasks([name]);
    expect(() => planTask(task!, openDataFolder(folder, task!.family))).toThrow(message);
  });

  test("a folder that is not there", () => {
    expect(() => openDataFolder("no/such", "piqa")).toThrow(
      "--data: no/such is given; it must be a folder that holds benchmarks",
    );
  });
});

// --- a model that answers ------------------------------------------------------------------------

const plans = (): TaskPlan[] => [
  plan("piqa"),
  plan("hellaswag", 1),
  plan("gsm8k", 0, 2),
  plan("drop"),
  plan("mmlu_anatomy", 2),
];

describe("a model", () => {
  test("gives the same results whatever is asked beside it, and when it was stopped in between", async () => {
    const whole = rememberAnswers();
    const all = (await evaluate(answerer(), plans(), { store: whole }))!;
    expect(all["n-samples"]["piqa"]).toEqual({ original: 6, effective: 6 });
    for (const lanes of [1, 5]) {
      const again = rememberAnswers();
      await evaluate(answerer(lanes), plans(), { store: again });
      expect(again.answers.size).toBe(whole.answers.size);
      for (const [request, answer] of again.answers) expect(answer).toEqual(whole.answers.get(request));
    }

    const stop = new AbortController();
    const log = openAnswers(path.join(place, "stopped"), { weights: "w" });
    let last = 0;
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      expect(total).toBe(24);
      last = done;
      if (done === 7) stop.abort();
    };
    expect(await evaluate(answerer(), plans(), { store: log, onProgress, signal: stop.signal })).toBeUndefined();
    expect(last).toBe(7);
    log.close();
    fs.appendFileSync(path.join(place, "stopped", "answers.jsonl"), '{"request": "cut o');
    const reopened = openAnswers(path.join(place, "stopped"), { weights: "w" });
    expect(reopened.answers.size).toBe(7);
    const rest: number[] = [];
    const found = await evaluate(answerer(), plans(), {
      store: reopened,
      onProgress: ({ done }) => void rest.push(done),
    });
    reopened.close();
    expect(rest).toEqual(Array.from({ length: 17 }, (_, index) => 8 + index));
    expect(found!.results).toEqual(all.results);
    const third = openAnswers(path.join(place, "stopped"), { weights: "w" });
    expect(third.answers.size).toBe(24);
    third.close();
    const other = openAnswers(path.join(place, "stopped"), { weights: "others" });
    expect(other.answers.size).toBe(0);
    other.close();
    const aside = fs.readFileSync(path.join(place, "stopped", "answers.before.jsonl"), "utf8");
    expect(aside).toMatch(/^\{"model":\{"weights":"w"\}\}\n(.*\n){25}$/);
  });

  test("leaves results and samples in the harness's form", async () => {
    const found = (await evaluate(answerer(), plans()))!;
    const folder = path.join(place, "written");
    writeResults(folder, found, { model_name: "m", config: {}, date: 1, total_evaluation_time_seconds: 2 });
    const results = JSON.parse(fs.readFileSync(path.join(folder, "results.json"), "utf8")) as Record<string, never>;
    for (const key of [
      "results",
      "groups",
      "group_subtasks",
      "configs",
      "versions",
      "n-shot",
      "higher_is_better",
      "n-samples",
      "config",
      "task_hashes",
    ])
      expect(results).toHaveProperty(key);
    const lines = (name: string): Record<string, unknown>[] =>
      fs
        .readFileSync(path.join(folder, `samples_${name}.jsonl`), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const [piqa] = lines("piqa");
    expect(Object.keys(piqa!)).toEqual([
      "doc_id",
      "doc",
      "filter",
      "target",
      "arguments",
      "resps",
      "filtered_resps",
      "doc_hash",
      "prompt_hash",
      "target_hash",
      "metrics",
      "acc",
      "acc_norm",
    ]);
    expect(piqa!["filtered_resps"]).toEqual([
      [expect.stringMatching(/^-\d+\.\d+$/), "False"],
      [expect.stringMatching(/^-\d+\.\d+$/), "False"],
    ]);
    expect(lines("gsm8k").map(({ filter }) => filter)).toEqual([
      "strict-match",
      "strict-match",
      "flexible-extract",
      "flexible-extract",
    ]);
    const accuracy = lines("piqa").reduce((sum, { acc }) => sum + (acc as number), 0) / 6;
    expect(found.results["piqa"]!["acc,none"]).toBeCloseTo(accuracy, 12);
  });

  test("what does not fit into the window is left out from the start, and said", async () => {
    const cut: boolean[] = [];
    const long = [plan("hellaswag", 3), plan("gsm8k", 2, 2)];
    const store = { ...rememberAnswers() };
    await evaluate(answerer(), long, {
      store: {
        answers: store.answers,
        add(answered) {
          cut.push(answered.cut);
          store.add(answered);
        },
      },
    });
    expect(cut).toHaveLength(8);
    expect(new Set(cut)).toEqual(new Set([true]));
  });

  test("weights that have diverged are told", async () => {
    const model = answerer();
    const broken = createLanes(runtime, { ...modelOn(runtime, config, { seed: 1, noise: NaN }) });
    await expect(evaluate({ ...model, lanes: broken }, [plan("piqa")])).rejects.toThrow(
      /the weights have diverged or are damaged/,
    );
  });
});

test("white space that ends a prompt belongs to the continuation", () => {
  const codec = {
    encode: (text: string) => Uint32Array.from(new TextEncoder().encode(text)),
    begin: 300,
    endOfText: 301,
  };
  const text = (ids: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(ids));
  const pair = encodePair(codec as never, "a: ", "b c");
  expect([text(pair.context), text(pair.continuation)]).toEqual(["a:", " b c"]);
  expect(encodePair(codec as never, "", "x")).toEqual({ context: [300], continuation: [120] });
});

test("differences are those of the same examples", () => {
  const verdicts = (values: readonly number[]): ExampleVerdict[] =>
    values.map((acc, index) => ({ index, filter: "none", metrics: { acc } }));
  const { mean, low, high, examples } = difference("acc,none", verdicts([1, 1, 0, 1]), verdicts([1, 0, 0, 0]));
  expect([mean, examples]).toEqual([0.5, 4]);
  const error = Math.sqrt((4 * 0.25) / 3 / 4);
  expect([low, high]).toEqual([0.5 - 1.96 * error, 0.5 + 1.96 * error]);
  expect(difference("acc,none", verdicts([1]), verdicts([0]))).toEqual({ mean: 1, examples: 1 });
  expect(() => difference("acc,none", verdicts([1]), verdicts([0, 1]))).toThrow("1 and 2 values of acc,none");
});
