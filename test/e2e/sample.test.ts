// `birkhoff sample` as a person uses it: seeds, several prompts, stop strings, lines of JSON, mistakes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const sample = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(place.folder, ["sample", "runs/a", ...args]);
  expect(code, stderr).toBe(0);
  return stdout;
};

beforeAll(async () => {
  const steps = ["--steps", "4", "--evaluate-every", "4", "--checkpoint-every", "4"];
  const { code, stderr } = await run(place.folder, [
    "train",
    "--data",
    "text.txt",
    "--out",
    "runs/a",
    ...tiny,
    ...steps,
  ]);
  expect(code, stderr).toBe(0);
});

describe("birkhoff sample", () => {
  test("the same seed writes the same text on any number of threads, also beyond the window", async () => {
    const args = ["--prompt", "The people", "--tokens", "60", "--top-p", "0.95", "--repetition-penalty", "1.2"];
    const text = await sample(...args, "--seed", "3", "--threads", "1");
    expect(text).toMatch(/^The people/);
    expect(await sample(...args, "--seed", "3", "--threads", "2")).toBe(text);
    expect(await sample(...args, "--seed", "4")).not.toBe(text);
  });

  test("several prompts, a text each; every token in a line of JSON", async () => {
    const args = ["--prompt", "The people", "--prompt", "We", "--tokens", "5", "--seed", "3"];
    const pieces = (await sample(...args, "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { prompt: number; piece: string; end?: string; logProbability?: number });
    expect(pieces.filter(({ end }) => end === "length").map(({ prompt }) => prompt)).toEqual([0, 1]);
    for (const { end, logProbability } of pieces) if (!end) expect(logProbability).toBeLessThan(0);
    const texts = ["The people", "We"].map(
      (prompt, index) =>
        prompt +
        pieces
          .filter((piece) => piece.prompt === index)
          .map(({ piece }) => piece)
          .join(""),
    );
    expect(await sample(...args)).toBe(`${texts[0]}\n\n${texts[1]}\n`);
    expect(await sample("--prompt", "The people", "--tokens", "5", "--seed", "3")).toBe(`${texts[0]}\n`);
  });

  test("a text ends before a stop string", async () => {
    const args = ["--prompt", "The", "--tokens", "40", "--seed", "5"];
    const text = (await sample(...args)).slice("The".length, -1);
    const stop = text.slice(3, 5);
    expect(await sample(...args, "--stop", stop)).toBe(`The${text.slice(0, text.indexOf(stop))}\n`);
  });

  test.each([
    [["--top-p", "2"], "option '--top-p <p>' argument '2' is invalid. It must be a number above 0 and at most 1."],
    [["--top-p", "0"], "option '--top-p <p>' argument '0' is invalid. It must be a number above 0 and at most 1."],
    [["--temperature", "warm"], "It must be a number of at least 0."],
    [["--stop", ""], "a stop string is empty"],
  ])("%j is refused", async (args, message) => {
    const { code, stdout, stderr } = await run(place.folder, ["sample", "runs/a", ...args]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(message);
  });
});
