// A run that is resumed, or killed at any moment and resumed, ends with the bytes of an undisturbed one.

import fs from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { uniform } from "../../src/data/random.ts";
import { hashOf, losses, makeWorkplace, run, start, tiny } from "../e2e/cli.ts";

const STEPS = 240;
const KILLS = 20;

const place = makeWorkplace();
let duration: number;
beforeAll(async () => {
  const started = performance.now();
  const { code, stderr } = await run(place.folder, train("undisturbed"));
  duration = performance.now() - started;
  expect(code, stderr).toBe(0);
});
afterAll(() => place.remove());

function train(folder: string): string[] {
  return [
    "train",
    "--data",
    place.at("text.txt"),
    "--out",
    `${folder}/run`,
    "--steps",
    String(STEPS),
    "--checkpoint-every",
    "8",
    "--evaluate-every",
    "40",
    ...tiny,
  ];
}

function results(folder: string): {
  model: string;
  optimizer: string;
  metrics: unknown[];
  gains: string;
  mixing: string;
  samples: string;
} {
  const run = place.at(folder, "run");
  const checkpoint = `${run}/checkpoints/step-${STEPS}`;
  return {
    model: hashOf(`${checkpoint}/model.safetensors`),
    optimizer: hashOf(`${checkpoint}/optimizer.safetensors`),
    metrics: losses(run),
    gains: fs.readFileSync(`${run}/gains.jsonl`, "utf8"),
    mixing: fs.readFileSync(`${run}/mixing.jsonl`, "utf8"),
    samples: fs.readFileSync(`${run}/samples.txt`, "utf8"),
  };
}

/**
 * Take runs from their beginning to their end through as many kills as they meet. Every second one has to
 * make its tokens again too.
 */
async function lane(
  name: string,
  kills: number,
  threads: string,
  expected: ReturnType<typeof results>,
): Promise<{ begun: number; resumed: number }> {
  const cache = `${name}-cache`;
  const counts = { begun: 0, resumed: 0 };
  let expectedTime = duration;
  for (let [killed, round] = [0, 0]; killed < kills; round++) {
    const folder = `${name}-${round}`;
    if (round % 2 === 1) fs.rmSync(place.at(cache), { recursive: true, force: true });
    for (let finished = false; !finished;) {
      const exists = fs.existsSync(place.at(folder, "run", "config.json"));
      counts[exists ? "resumed" : "begun"]++;
      const args = exists ? ["train", "--resume", `${folder}/run`] : train(folder);
      const command = start(place.folder, [...args, "--cache", cache, "--threads", threads]);
      // From early in the start to about the end of a run.
      const delay = (0.2 + 0.9 * uniform(11, threads === "1" ? 78 : 79, killed)) * expectedTime;
      const timer = killed < kills ? setTimeout(() => command.child.kill("SIGKILL"), delay) : undefined;
      const { code, signal, stderr } = await command.finished;
      clearTimeout(timer);
      if (signal === "SIGKILL") killed++;
      else expect(code, stderr).toBe(0);
      expect(stderr).not.toContain("warning");
      finished = code === 0;
      // The machine may be slower or faster now than when the undisturbed run was timed.
      if (finished) expectedTime *= 0.8;
      else if (!fs.existsSync(place.at(folder, "run", "config.json"))) expectedTime *= 1.5;
    }
    expect(results(folder)).toEqual(expected);
  }
  return counts;
}

test(
  `killed at ${KILLS} random moments, runs always resume and end with the same bytes`,
  { timeout: 300_000 },
  async () => {
    const expected = results("undisturbed");
    const [one, two] = await Promise.all([
      lane("one", KILLS / 2, "1", expected),
      lane("two", KILLS / 2, "2", expected),
    ]);
    expect(one.resumed + two.resumed).toBeGreaterThan(2);
  },
);
