// Question: how much does the playground's site load before it can be used, and how soon and how smoothly does it train?
//
// The site is built into a temporary folder and opened in Chromium. Counted is what a host that compresses by gzip would
// send until the first view stands still: the page, its script, its styles and its typefaces. The service worker, which
// then fetches all files again for a tab without a network, is left out.
//
// Then the page that trains is opened, three times. The clock runs from the click on Train, the choice being the first one
// (three models, 4 layers, width 64), until the first step of all three is shown; the text is read and tokenised and the
// models compiled in that time. From the click on, and while they train, the browser tells of every task of the main thread
// over 50 ms, and the longest one counts. Of the three times the median is taken, for a task is as long as the machine lets
// it be: the threads that train, and all that runs beside, take the cores away in the middle of it.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type Browser, chromium } from "playwright-core";
import type { Group } from "./lib/group.ts";
import { median } from "./lib/interleave.ts";
import { buildSite, serveSite, type SiteServer } from "./lib/site.ts";

const [SIZE, FIRST_STEP, LONGEST_TASK] = ["site.kilobytes", "site.first_step_seconds", "site.longest_task_ms"] as const;
/** Of training that is watched. */
const WATCHED_MS = 15_000;
/** Of training. */
const TIMES = 3;

export const site: Group = {
  names: [SIZE, FIRST_STEP, LONGEST_TASK],
  async *measure(names, { note }) {
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    if (!fs.existsSync(executablePath)) {
      for (const name of names)
        yield { name, skipped: `there is no Chromium at ${executablePath}; CHROMIUM names another` };
      return;
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-bench-site-"));
    try {
      note("building the site");
      await buildSite(folder);
      const server = await serveSite(folder);
      const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
      try {
        if (names.includes(SIZE)) {
          const value = await kilobytes(browser, server);
          const ours = { label: `${server.sent.files.length} files`, value, unit: "kB" };
          yield { name: SIZE, value, unit: "kB", higher_is_better: false, bar: 300, ours };
        }
        if (!names.includes(FIRST_STEP) && !names.includes(LONGEST_TASK)) return;
        note("training in a tab");
        const trained: Awaited<ReturnType<typeof train>>[] = [];
        for (let time = 0; time < TIMES; time++) trained.push(await train(browser, server));
        const firstStep = median(trained.map((each) => each.firstStep));
        const longestTask = median(trained.map((each) => each.longestTask));
        const side = (value: number, unit: string) => ({
          label: `${trained[0]!.device}, median of ${TIMES}`,
          value,
          unit,
        });
        if (names.includes(FIRST_STEP))
          yield {
            name: FIRST_STEP,
            value: firstStep,
            unit: "s",
            higher_is_better: false,
            bar: 3,
            ours: side(firstStep, "s"),
          };
        if (names.includes(LONGEST_TASK))
          yield {
            name: LONGEST_TASK,
            value: longestTask,
            unit: "ms",
            higher_is_better: false,
            bar: 100,
            ours: side(longestTask, "ms"),
          };
      } finally {
        await browser.close();
        await server.close();
      }
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
};

async function kilobytes(browser: Browser, server: SiteServer): Promise<number> {
  const page = await browser.newPage({ serviceWorkers: "block" });
  await page.goto(server.url);
  await page.locator("#figure-7").waitFor();
  await page.evaluate(() => document.fonts.ready.then(() => undefined));
  await page.waitForLoadState("networkidle");
  const value = server.sent.bytes / 1000;
  await page.close();
  return value;
}

async function train(
  browser: Browser,
  server: SiteServer,
): Promise<{ firstStep: number; longestTask: number; device: string }> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`${server.url}train.html?runtime=wasm`);
  const button = page.getByRole("button", { name: "Train", exact: true });
  await button.waitFor();
  await page.evaluate(() => {
    const tasks: number[] = [];
    Object.assign(globalThis, { tasks });
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
    });
  });
  const step = page.getByTestId("step").filter({ hasText: /[1-9]/ });
  const began = performance.now();
  await button.click();
  await step.waitFor({ timeout: 120_000 });
  const firstStep = (performance.now() - began) / 1000;
  await page.waitForTimeout(WATCHED_MS);
  const tasks = await page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks);
  const device = (await page.locator(".bar p span").first().textContent()) ?? "";
  await page.close();
  // The browser tells of none below 50 ms.
  return { firstStep, longestTask: Math.max(50, ...tasks), device: device.replace(/^.*tokens\/s, /, "") };
}
