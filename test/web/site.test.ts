// The playground's explanation in a real browser: its numbers are the library's, its sliders change what they should, it
// can be used by keyboard, on a phone, without motion, and without a network after the first load. Needs Chromium.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildSite, type SiteServer, serveSite } from "../../bench/lib/site.ts";
import { input } from "../../src/graph/state.ts";
import { birkhoffProjection } from "../../src/ops/birkhoff-projection.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { figure8 } from "../../src/report/paper-figures.ts";
import { evaluate } from "../../src/runtime/reference/evaluate.ts";
import { amaxGain, measureGains } from "../../src/stability/gains.ts";
import { mixers } from "../../web/site/src/maths/mixers.ts";
import { coordinates, edges, permutationMatrix, permutations } from "../../web/site/src/maths/polytope.ts";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const missing = !fs.existsSync(executablePath);
if (missing)
  process.stderr.write(
    `The tests of the site are skipped: no Chromium at ${executablePath} (CHROMIUM names another).\n`,
  );

let browser: Browser;
let folder: string;
let server: SiteServer;
let page: Page;
const problems: string[] = [];

async function open(options: BrowserContextOptions = {}): Promise<void> {
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(server.url);
  await page.locator("#figure-7").waitFor();
}
const figure = (number: number) => page.locator(`#figure-${number}`);
const slider = (number: number, name: string) => figure(number).getByRole("slider", { name, exact: false });
/** The numbers in the cells of a matrix. */
const cells = async (number: number, id: string): Promise<number[]> =>
  (await figure(number).getByTestId(id).locator(".cell span").allTextContents()).map(read);
const read = (text: string): number => Number(text.replace("−", "-").replace(/,(?=\d{3})/g, ""));
/** What the sliders in the cells of figure 4's left matrix stand at. */
const logits = (): Promise<number[]> =>
  figure(4)
    .locator(".cell input")
    .evaluateAll((all: HTMLInputElement[]) => all.map(({ valueAsNumber }) => valueAsNumber));

function normalised(values: readonly number[], n: number, iterations: number | "exact"): number[] {
  const given = input("logits", [n, n]);
  const h = iterations === "exact" ? birkhoffProjection(given) : sinkhorn(given, { iterations });
  return [...evaluate({ h }, [[given, values]]).h];
}

describe("the polytope of 3 × 3 matrices", () => {
  test("keeps all distances in its four dimensions, and has fifteen edges", () => {
    const at = permutations.map((permutation) => coordinates(permutationMatrix(permutation)));
    for (const { from, to } of edges) {
      const apart = Math.hypot(...at[from]!.map((value, k) => value - at[to]![k]!));
      const differ = permutations[from]!.filter((column, row) => column !== permutations[to]![row]).length;
      expect(apart).toBeCloseTo(Math.sqrt(2 * differ), 12);
    }
    expect(edges).toHaveLength(15);
    // Even permutations have no part in the plane of the odd ones.
    for (const [, , x, y] of at.slice(0, 3)) expect(Math.hypot(x!, y!)).toBeLessThan(1e-12);
  });
});

describe.skipIf(missing)("the explanation", () => {
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-site-"));
    await buildSite(folder);
    server = await serveSite(folder);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
    fs.rmSync(folder, { recursive: true });
  });
  afterEach(async () => {
    await page.context().close();
    expect(problems.splice(0)).toEqual([]);
  });

  test("shows the library's numbers: products and their gains", async () => {
    await open();
    const gainsNow = (depth: number, spread: number, iterations: number | "none") => {
      const all = mixers({ seed: 313, depth, n: 4, spread }, iterations);
      return measureGains(
        all.map((mixer) => [0, 0, 0, 0, 0, 0, 0, 0, ...mixer]),
        4,
        1,
      ).composite;
    };
    const shown = async (id: string): Promise<number> => read((await figure(3).getByTestId(id).textContent())!);
    expect(await shown("forward-free")).toBe(Math.round(gainsNow(60, 0.25, "none").forward.at(-1)!));
    expect(await shown("backward-free")).toBe(Math.round(gainsNow(60, 0.25, "none").backward[0]!));
    expect(await shown("forward-kept")).toBe(1);
    // One iteration leaves the columns far from one; rows are exact all the same.
    await slider(3, "moved by").fill("1.5");
    await slider(3, "iterations").fill("1");
    await slider(3, "mixers").fill("30");
    expect(await shown("forward-kept")).toBe(1);
    const backward = gainsNow(30, 1.5, 1).backward[0]!;
    expect(backward).toBeGreaterThan(1.05);
    expect(await shown("backward-kept")).toBeCloseTo(backward, 2);
  });

  test("shows the library's numbers: Sinkhorn-Knopp, step by step, of logits that are moved", async () => {
    await open();
    const steps = slider(4, "normalisations");
    for (const iterations of [1, 3, 20]) {
      await steps.fill(String(2 * iterations));
      const expected = normalised(await logits(), 4, iterations);
      for (const [at, value] of (await cells(4, "iterate")).entries()) expect(value).toBeCloseTo(expected[at]!, 2);
    }
    const before = await cells(4, "iterate");
    await figure(4).getByRole("slider", { name: "row 2, column 3" }).fill("5");
    const after = await cells(4, "iterate");
    expect(after).not.toEqual(before);
    const expected = normalised(await logits(), 4, 20);
    for (const [at, value] of after.entries()) expect(value).toBeCloseTo(expected[at]!, 2);
    // After half an iteration columns are exact and rows are not.
    await steps.fill("5");
    const sums = (kind: string) => figure(4).getByTestId("iterate").locator(`.sum.${kind} span`).allTextContents();
    expect(new Set(await sums("column"))).toEqual(new Set(["1.000"]));
    expect(new Set(await sums("row"))).not.toEqual(new Set(["1.000"]));
  });

  test("large logits need more iterations, as the library says, too", async () => {
    await open();
    const largest = async (): Promise<number> =>
      read((await figure(6).getByTestId("worst").textContent())!.match(/largest is ([\d.]+)/)![1]!);
    const expected = (spread: number, iterations: number): number => {
      const all = mixers({ seed: 3, depth: 60, n: 4, spread, alike: 0.9 }, iterations);
      return Math.max(
        ...measureGains(
          all.map((mixer) => [0, 0, 0, 0, 0, 0, 0, 0, ...mixer]),
          4,
          1,
        ).composite.backward,
      );
    };
    expect(await largest()).toBeCloseTo(expected(4, 20), 2);
    await figure(6).getByRole("button", { name: "100 iterations" }).click();
    await expect.poll(largest).toBeLessThan(1.2);
    expect(await largest()).toBeCloseTo(expected(4, 100), 2);
    await figure(6).getByRole("button", { name: "Small logits" }).click();
    // A few at a time, so that the page stays at hand.
    await expect.poll(() => figure(6).getByTestId("errors").textContent()).not.toContain("of 300");
    expect(await figure(6).getByTestId("errors").textContent()).toMatch(/^After 20: median \S+ × 10⁻¹/);
  });

  test("the paper's matrices have the sums that it prints, and can be loaded", async () => {
    await open();
    expect(read((await figure(7).getByTestId("printed-forward").textContent())!)).toBeCloseTo(
      amaxGain(figure8.hc[0]!.matrix!, 4).forward,
      1,
    );
    await figure(7).getByRole("button", { name: "mHC 60" }).click();
    await figure(7).getByRole("button", { name: "Load it" }).click();
    await slider(4, "normalisations").fill("40");
    const printed = figure8.mhc[2]!.matrix!;
    for (const [at, value] of (await cells(4, "iterate")).entries()) expect(value).toBeCloseTo(printed[at]!, 1);
  });

  test("the point in the polytope is the exact projection, and the solid turns by finger and by key", async () => {
    await open({ hasTouch: true });
    const handles = (): Promise<number[]> =>
      figure(5)
        .locator(".cell input")
        .evaluateAll((all: HTMLInputElement[]) => all.map(({ valueAsNumber }) => valueAsNumber));
    await slider(5, "size of the logits").fill("3");
    const expected = normalised(await handles(), 3, "exact");
    for (const [at, value] of (await cells(5, "point")).entries()) expect(value).toBeCloseTo(expected[at]!, 1);
    const solid = figure(5).getByRole("img", { name: "polytope" });
    const place = () => solid.locator("circle.point").getAttribute("cx");
    const places = [await place()];
    await solid.focus();
    await page.keyboard.press("ArrowRight");
    places.push(await place());
    const box = (await solid.boundingBox())!;
    await page.mouse.move(box.x + 100, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + 190, box.y + 120, { steps: 4 });
    await page.mouse.up();
    places.push(await place());
    await slider(5, "fourth dimension").fill("-1");
    places.push(await place());
    expect(new Set(places).size).toBe(4);
  });

  test("can be used by keyboard alone", async () => {
    await open();
    const focused = (): Promise<string> =>
      page.evaluate(() => {
        const now = document.activeElement!;
        return `${now.closest("figure")?.id ?? now.closest("header, nav")?.tagName} ${now.getAttribute("aria-label") ?? now.closest("label")?.textContent ?? now.textContent}`;
      });
    const seen: string[] = [];
    // Every stop of the whole page, once around.
    for (let stop = 0; stop < 200; stop++) {
      await page.keyboard.press("Tab");
      const now = await focused();
      if (now.startsWith("undefined") && seen.some((one) => one.startsWith("figure-7"))) break;
      seen.push(now);
      if (now.includes("layers passed")) {
        await page.keyboard.press("Home");
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("ArrowRight");
        expect(await figure(1).locator("output").textContent()).toBe("2");
      }
      if (now.startsWith("figure-2 3 Mix")) {
        await page.keyboard.press("Enter");
        expect(await figure(2).locator(".said").textContent()).toContain("shares of a row make one");
      }
      if (now.includes("logit of stream 1 taking from stream 2")) {
        const before = await figure(2).locator(".cell span").allTextContents();
        await page.keyboard.press("ArrowUp");
        expect(await figure(2).locator(".cell span").allTextContents()).not.toEqual(before);
      }
    }
    for (const number of [1, 2, 3, 4, 5, 6, 7])
      expect(seen.some((one) => one.startsWith(`figure-${number} `))).toBe(true);
    expect(seen.some((one) => one.includes("polytope"))).toBe(true);
  });

  test("fits a phone, light and dark", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
      const small = await page
        .locator("main button")
        .evaluateAll((all) =>
          all.filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.textContent),
        );
      expect(small).toEqual([]);
      if (colorScheme === "light") await page.context().close();
    }
  });

  test("moves, unless less motion is asked for", async () => {
    await open();
    const layer = () => page.locator("header .foot b").textContent();
    expect(await layer()).toBe("48");
    await page.waitForTimeout(400);
    expect(await layer()).toBe("48");
    await page.context().close();
    await open({ reducedMotion: "no-preference" });
    const first = await layer();
    await expect.poll(layer).not.toBe(first);
  });

  test("works without a network after the first load, isolated, and is small", async () => {
    const before = server.sent.bytes;
    await open({ serviceWorkers: "block" });
    await page.evaluate(() => document.fonts.ready.then(() => undefined));
    await page.waitForLoadState("networkidle");
    expect(server.sent.files.some((file) => file.endsWith(".woff2"))).toBe(true);
    expect(server.sent.bytes - before).toBeLessThan(300_000);
    await page.context().close();
    await open();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    await page.locator("html[data-offline=ready]").waitFor({ state: "attached" });
    const { close } = server;
    await close();
    await page.context().setOffline(true);
    await page.reload();
    await page.locator("#figure-7").waitFor();
    await slider(4, "normalisations").fill("40");
    expect((await cells(4, "iterate")).every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await page.evaluate(() => document.fonts.check("16px 'Source Serif 4'"))).toBe(true);
    server = await serveSite(folder);
  });
});
