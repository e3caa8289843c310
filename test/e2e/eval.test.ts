// `birkhoff eval` as a person uses it: the table of two runs, files, stopping and going on, JSON, mistakes.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());
const data = fileURLToPath(new URL("../fixtures/evaluation/benchmarks", import.meta.url));

beforeAll(async () => {
  for (const kind of ["residual", "mhc"]) {
    const args = [
      "train",
      "--connection",
      kind,
      "--out",
      `runs/${kind}`,
      "--steps",
      "3",
      "--data",
      "text.txt",
      ...tiny,
    ];
    const { code, stderr } = await run(place.folder, args);
    expect(code, stderr).toBe(0);
  }
});

const evaluate = (...args: string[]) => run(place.folder, ["eval", ...args, "--data", data, "--threads", "1"]);

describe("birkhoff eval", () => {
  test("two runs: a table with differences, files in each run folder, and nothing is asked twice", async () => {
    const args = ["runs/residual", "runs/mhc", "--tasks", "piqa,mmlu_anatomy,triviaqa", "--limit", "3"];
    const { code, stdout, stderr } = await evaluate(...args);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^Task +Version +Shots +Examples +Chance +residual +mhc +mhc − residual/);
    expect(stdout).toMatch(/^piqa, acc +1\.0 +0 +3 +0\.5000 +\d\.\d{4} ± \d\.\d{4} +\d\.\d{4} ± \d\.\d{4} +[+−]/m);
    expect(stdout).toMatch(/^triviaqa, exact_match, remove_whitespace +3\.0 +0 +3 +0\.0000 +0\.0000 ± 0\.0000 /m);
    expect(stderr).toMatch(/warning: residual: \d+ prompts of 9 did not fit into the window of 12 tokens/);
    expect(stderr).toContain(`mhc: results and samples are in ${path.join("runs", "mhc", "eval")}`);
    const answers = place.at("runs", "mhc", "eval", "answers.jsonl");
    const before = fs.readFileSync(answers, "utf8");
    expect(before.trimEnd().split("\n")).toHaveLength(10);

    const again = await evaluate(...args);
    expect(again.stdout).toBe(stdout);
    expect(fs.readFileSync(answers, "utf8")).toBe(before);
  });

  test("an answer that is lost is asked again, and the results are the same", async () => {
    const folder = place.at("runs", "residual", "eval");
    const results = (): unknown =>
      (JSON.parse(fs.readFileSync(path.join(folder, "results.json"), "utf8")) as { results: unknown }).results;
    const args = ["runs/residual", "--tasks", "hellaswag", "--shots", "2"];
    expect((await evaluate(...args)).code).toBe(0);
    const before = results();
    const file = path.join(folder, "answers.jsonl");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").split("\n").slice(0, -3).join("\n"));
    const { stderr } = await evaluate(...args);
    expect(stderr).toContain("hellaswag: its shots are other validation examples, because the folder has no training");
    expect(results()).toEqual(before);
  });

  test("JSON, the paper's shots, a folder of one's own, the tasks of a group", async () => {
    const args = ["runs/mhc", "--tasks", "gsm8k,drop", "--limit", "1", "--paper", "--output", "out", "--json"];
    const { stdout, stderr, code } = await evaluate(...args);
    expect(code, stderr).toBe(0);
    const [only] = JSON.parse(stdout) as [{ run: string; "n-shot": object; versions: object }];
    expect(only).toMatchObject({ run: "mhc", "n-shot": { gsm8k: 8, drop: 3 }, versions: { gsm8k: 3, drop: 3 } });
    expect(fs.readdirSync(place.at("out", "mhc")).sort()).toEqual([
      "answers.jsonl",
      "results.json",
      "samples_drop.jsonl",
      "samples_gsm8k.jsonl",
    ]);
  });

  test.each([
    [["runs/mhc", "--tasks", "helaswag"], 'Did you mean "hellaswag"?'],
    [["runs/mhc", "--tasks", "math"], "there is no problem of counting_and_probability"],
    [["runs/none", "--tasks", "piqa"], "runs/none"],
    [["runs/mhc", "--tasks", "piqa", "--paper", "--shots", "1"], "--paper and --shots are both given"],
    [["runs/mhc", "--tasks", "piqa", "--memory", "1MiB"], "needs"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await evaluate(...args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(message);
  });
});
