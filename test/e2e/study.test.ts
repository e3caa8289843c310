// `birkhoff study` and the experiment with generated tasks, as a person uses them.

import fs from "node:fs";
import { afterAll, expect, test } from "vitest";
import { studies, studyNames } from "../../src/studies/table.ts";
import { makeWorkplace, run } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const small = ["width=16", "layers=2", "heads=2", "kvHeads=2", "hidden=24"].flatMap((one) => ["--set", `model.${one}`]);
const birkhoff = async (...args: string[]) => await run(place.folder, [...args, "--cache", "cache", "--threads", "1"]);

test("compare --experiment reasoning asks its models at the end; study asks again and disturbs them", async () => {
  const data = ["--data", "generated:bbh_boolean_expressions:2,dyck:1", "--vocabulary", "280", "--context", "48"];
  const given = [
    "--steps",
    "3",
    "--batch",
    "2",
    "--connections",
    "residual,mhc",
    "--seeds",
    "1",
    "--set",
    "evaluateBatches=1",
    "--out",
    "made",
  ];
  const made = await birkhoff("compare", "--experiment", "reasoning", ...data, ...small, ...given);
  expect(made.code, made.stderr).toBe(0);
  expect(made.stdout).toContain("exact match, %");
  expect(made.stdout).toContain("mHC − residual");
  const read = (name: string): { config: { model: object; data: { loss: string } } } =>
    JSON.parse(fs.readFileSync(place.at("made", name, "config.json"), "utf8"));
  expect(read("mhc").config.data.loss).toBe("answers");
  // At equal parameters: the residual model is wider within.
  expect(read("residual").config.model).toMatchObject({ width: 16 });
  expect((read("residual").config.model as { hidden: number }).hidden).toBeGreaterThan(24);
  const report = fs.readFileSync(place.at("made", "report.html"), "utf8");
  expect(report).toContain("Exact match by difficulty");
  expect(fs.existsSync(place.at("made", "figures", "reasoning-match.png"))).toBe(true);

  const asked = await birkhoff("study", "reasoning", "made/mhc", "--questions", "5", "--json");
  expect(asked.code, asked.stderr).toBe(0);
  const { rows } = JSON.parse(asked.stdout)["made/mhc"] as { rows: { questions: number }[] };
  expect(rows.map(({ questions }) => questions)).toEqual([5, 5]);

  const disturbed = await birkhoff("study", "robustness", "made", "--draws", "1", "--batches", "1", "--svg", "r.svg");
  expect(disturbed.code, disturbed.stderr).toBe(0);
  for (const text of ["residual", "a stream dropped, the worst", "matrices in int8", "%"])
    expect(disturbed.stdout).toContain(text);
  expect(disturbed.stderr).toContain("2 of 2: residual, 100 %");
  expect(fs.readFileSync(place.at("r.svg"), "utf8")).toMatch(/^<svg /);
  expect(JSON.parse(fs.readFileSync(place.at("made", "mhc", "robustness.json"), "utf8")).rows).not.toEqual([]);
}, 180_000);

test("what does not fit is refused", async () => {
  const text = await birkhoff("compare", "--experiment", "reasoning", "--data", "text.txt", "--steps", "1");
  expect([text.code, text.stderr]).toEqual([
    1,
    expect.stringContaining("asks generated questions, and --data is text.txt"),
  ]);
  const other = await birkhoff("study", "reasoning", "made", "--draws", "2");
  expect([other.code, other.stderr]).toEqual([
    1,
    "birkhoff: --draws is for birkhoff study robustness. Leave it out.\n",
  ]);
  const unknown = await birkhoff("train", "--data", "generated:hops", "--steps", "1");
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining('"hops" is given; allowed are bbh, small'),
  ]);
});

test("an experiment trains its runs, writes its page, and is not trained again", async () => {
  const args = ["study", "constraints", "--tiny", "--data", "text.txt", "--seeds", "1", "--page", "pages"];
  const first = await birkhoff(...args);
  expect(first.code, first.stderr).toBe(0);
  const page = fs.readFileSync(place.at("pages", "constraints.md"), "utf8");
  expect(page).toContain("birkhoff study constraints --tiny --seeds 1 --data text.txt --page pages");
  expect(page).toMatch(/\| `mhc` \| \d\.\d{4} \| – \| 1\.\d\d\d \| 4\.00 \| 0 of 1 \|/);
  expect(page).toContain("no measured gain exceeds its bound");
  expect(page).toContain("temperature τ");
  expect(fs.readFileSync(place.at("pages", "constraints-loss.svg"), "utf8")).toMatch(/^<svg /);
  expect(fs.readFileSync(place.at("pages", "README.md"), "utf8")).toContain("[Constraints](constraints.md)");

  const again = await birkhoff(...args, "--json");
  expect(again.code, again.stderr).toBe(0);
  const lines = again.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; study?: string; done?: number; points?: number });
  expect(lines[0]!.done).toBe(lines[0]!.points);
  expect(lines.at(-1)).toMatchObject({ event: "result", study: "constraints", size: "tiny" });

  const refused = async (...given: string[]): Promise<string> => (await birkhoff("study", ...given)).stderr;
  expect(await refused("constraints", "made")).toContain("trains its own runs. Leave out made");
  expect(await refused("robustness")).toContain("Give their folders");
  expect(await refused("robustness", "made", "--tiny")).toContain("--tiny is for experiments, and robustness is none");
  expect(await refused("constraints", "--draws", "3")).toContain("--draws is for birkhoff study robustness");
  expect(await refused("robustness", "made", "--medium")).toContain("--medium is for experiments");
  expect(await refused("constraints", "--small", "--medium")).toContain("--small and --medium are two sizes");
  expect(await refused("constraints", "--tiny", "--small")).toContain("two sizes of one study");
}, 180_000);

const others = studyNames.filter((name) => studies[name].kind === "experiment" && name !== "constraints");
test.each(others)("study %s runs to its page at the tiny size", { timeout: 180_000 }, async (name) => {
  const seeds = name === "variability" ? "2" : "1";
  const made = await birkhoff("study", name, "--tiny", "--seeds", seeds, "--data", "text.txt", "--page", "pages");
  expect(made.code, made.stderr).toBe(0);
  const page = fs.readFileSync(place.at("pages", `${name}.md`), "utf8");
  expect(page).toContain(`birkhoff study ${name} --tiny --seeds ${seeds} --data text.txt --page pages`);
  expect(page).toContain("## What it does not show");
  expect(page).not.toMatch(/undefined|NaN|\[object/);
  for (const [, figure] of page.matchAll(/\]\(([\w-]+\.svg)\)/g))
    expect(fs.readFileSync(place.at("pages", figure!), "utf8")).toMatch(/^<svg /);
});
