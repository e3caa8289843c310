// Run folders of version 0.1 open, are read and resume with the bits they would have had then.
//
// test/fixtures/runs-0.1 holds runs of 8 steps that version 0.1 was stopped in at step 6, after a checkpoint
// at step 4. expected.json has what the undisturbed runs recorded, made by version 0.1 on Node 20 and 24.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { fusesMultiplyAdd } from "../bits/fused.ts";
import { losses, makeWorkplace, run } from "../e2e/cli.ts";

const fixtures = fileURLToPath(new URL("../fixtures/runs-0.1", import.meta.url));
const expected = JSON.parse(fs.readFileSync(path.join(fixtures, "expected.json"), "utf8")) as Record<
  string,
  { step: number; loss: number; gradientNorm: number }[]
>;

const place = makeWorkplace();
afterAll(() => place.remove());
fs.copyFileSync(path.join(fixtures, "text.txt"), place.at("text.txt"));

describe.each(Object.keys(expected))("%s", (name) => {
  test("resumes with the bits of then", async () => {
    fs.cpSync(path.join(fixtures, name), place.at(name), { recursive: true });
    const { code, stderr } = await run(place.folder, ["train", "--resume", name, "--cache", "cache", "--threads", "2"]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("step 5/8");
    const records = losses(place.at(name)) as { step: number; loss: number; gradientNorm: number }[];
    const bits = records.map(({ step, loss, gradientNorm }) => ({ step, loss, gradientNorm }));
    if (fusesMultiplyAdd()) {
      const lossesOf = (steps: typeof bits) => steps.map(({ step, loss }) => ({ step, loss }));
      expect(lossesOf(bits)).toEqual(lossesOf(expected[name]!));
      // The projection of 16 tokens or fewer adds in the order of many, so that a norm may differ in its last bit.
      for (const [index, { gradientNorm }] of bits.entries())
        expect(Math.abs(gradientNorm / expected[name]![index]!.gradientNorm - 1)).toBeLessThan(2 ** -22);
    } else expect(bits.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test.each([["inspect"], ["report"], ["sample", "--seed", "1"]])("%s reads it", async (command, ...options) => {
    const copy = `${name}-${command}`;
    fs.cpSync(path.join(fixtures, name), place.at(copy), { recursive: true });
    const { code, stdout, stderr } = await run(place.folder, [command, copy, ...options]);
    expect(code, stderr).toBe(0);
    expect(stdout.length).toBeGreaterThan(20);
  });
});
