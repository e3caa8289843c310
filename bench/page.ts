// Question: how long does the live page take to open on many long runs?
//
// There are 100 runs of 10,000 steps in a temporary folder, a server in its own process as `birkhoff serve` starts it,
// and the page in Chromium. The time runs from the request for the page until the list of all runs is shown and the
// curves of the newest comparison, six runs, are drawn. Server and browser are started before. Each round has a new
// server and a new browser context, so that neither has anything cached.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { uniformInteger } from "../src/data/random.ts";
import type { Group } from "./lib/group.ts";

const FIGURE = "page.open_seconds";
const BAR = 2;
const RUNS = 100;
const STEPS = 10_000;
const TOGETHER = 10;
/** The number of runs shown when the page opens. */
const SHOWN = 6;
const SUBLAYERS = 24;
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

export const page: Group = {
  names: [FIGURE],
  async *measure(_, { rounds, note }) {
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    if (!fs.existsSync(executablePath)) {
      yield { name: FIGURE, skipped: `there is no Chromium at ${executablePath}; CHROMIUM names another` };
      return;
    }
    const root = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-bench-page-"));
    try {
      note(`writing ${RUNS} runs of ${STEPS} steps`);
      for (let run = 0; run < RUNS; run++) writeRun(root, run);
      note("opening the page");
      const seconds: number[] = [];
      const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
      try {
        for (let round = 0; round < Math.min(rounds, 5); round++) seconds.push(await open(browser, root));
      } finally {
        await browser.close();
      }
      const ordered = seconds.sort((a, b) => a - b);
      const [best, median] = [ordered[0]!, ordered[ordered.length >> 1]!];
      const ours = {
        label: `${RUNS} runs of ${STEPS} steps`,
        value: median,
        unit: "s",
        median,
        best,
        samples: seconds.length,
      };
      yield { name: FIGURE, value: median, unit: "s", higher_is_better: false, bar: BAR, ours };
    } finally {
      fs.rmSync(root, { recursive: true });
    }
  },
};

async function open(browser: Awaited<ReturnType<typeof chromium.launch>>, root: string): Promise<number> {
  const server = spawn(process.execPath, [main, "serve", root, "--port", "0", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      server.once("exit", () => reject(new Error("birkhoff serve ended.")));
      createInterface(server.stdout).once("line", (line) => resolve((JSON.parse(line) as { url: string }).url));
    });
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const tab = await context.newPage();
    const began = performance.now();
    await tab.goto(url, { waitUntil: "commit" });
    await tab.locator(`html[data-drawn="${SHOWN}"]`).waitFor({ state: "attached" });
    const seconds = (performance.now() - began) / 1000;
    const listed = await tab.getByRole("option").count();
    if (listed !== RUNS) throw new Error(`The page lists ${listed} of ${RUNS} runs.`);
    await context.close();
    return seconds;
  } finally {
    server.kill();
  }
}

/** Write a run as a trainer would: a falling, noisy loss, and gains every 10 steps. */
function writeRun(root: string, index: number): void {
  const folder = path.join(root, `comparison-${Math.floor(index / TOGETHER)}`, `run-${index}`);
  fs.mkdirSync(folder, { recursive: true });
  const noise = (step: number): number => uniformInteger(index, step, 1, 1000) / 1000;
  const connection = { kind: ["residual", "hc", "mhc"][index % 3] };
  const model = {
    context: 128,
    width: 128,
    layers: 12,
    heads: 4,
    kvHeads: 4,
    hidden: 384,
    vocabulary: 1024,
    connection,
  };
  const config = { name: `run-${index}`, model, batch: 16, steps: STEPS };
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ config, versions: {} }));
  const [metrics, gains, mixing]: [string[], string[], string[]] = [[], [], []];
  for (let step = 1; step <= STEPS; step++) {
    metrics.push(
      JSON.stringify({
        step,
        loss: 2 + 5 * step ** -0.4 + 0.1 * noise(step),
        gradientNorm: 0.5 + noise(step),
        learningRate: 2e-3,
        tokensPerSecond: 9000 + 100 * noise(step),
        seconds: step * 0.2,
        ...(step % 1000 === 0 ? { validationLoss: 2.1 + 5 * step ** -0.4, bitsPerByte: 1.5 } : {}),
      }),
    );
    if (step % 10 !== 0) continue;
    const values = Array.from({ length: SUBLAYERS }, (_, sublayer) => 1 + (sublayer * noise(step)) / 100);
    const pair = { forward: values, backward: values };
    const matrices = values.map((value) =>
      Array.from({ length: 16 }, (_, k) => Number((value / (k + 4)).toPrecision(7))),
    );
    const weights = matrices.map((matrix) => matrix.slice(0, 4));
    mixing.push(JSON.stringify({ step, mixing: matrices, product: matrices }));
    gains.push(
      JSON.stringify({
        step,
        single: pair,
        composite: pair,
        read: weights,
        write: weights,
        activation: values,
        blockOutput: values,
        gradient: values,
      }),
    );
  }
  fs.writeFileSync(path.join(folder, "metrics.jsonl"), `${metrics.join("\n")}\n`);
  fs.writeFileSync(path.join(folder, "gains.jsonl"), `${gains.join("\n")}\n`);
  fs.writeFileSync(path.join(folder, "mixing.jsonl"), `${mixing.join("\n")}\n`);
}
