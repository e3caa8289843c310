// Draw the pictures of the playground for its documentation, from the site as it is.
// Run: npx node scripts/draw-site.ts

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { buildSite, serveSite } from "../bench/lib/site.ts";
import { root } from "./public-exports.ts";

const pictures = [
  { name: "wide-light", size: { width: 1440, height: 900 }, colorScheme: "light" },
  { name: "wide-dark", size: { width: 1440, height: 900 }, colorScheme: "dark", figure: "figure-5" },
  { name: "narrow-light", size: { width: 390, height: 844 }, colorScheme: "light", figure: "figure-3" },
  { name: "narrow-dark", size: { width: 390, height: 844 }, colorScheme: "dark", figure: "figure-4" },
] as const;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-draw-site-"));
await buildSite(folder);
const server = await serveSite(folder);
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for (const { name, size, colorScheme, ...rest } of pictures) {
  const page = await browser.newPage({ viewport: size, colorScheme, reducedMotion: "reduce" });
  await page.goto(server.url, { waitUntil: "networkidle" });
  if ("figure" in rest)
    await page.locator(`#${rest.figure}`).evaluate((one: HTMLElement) => scrollTo(0, one.offsetTop - 70));
  await page.waitForTimeout(400);
  await page.screenshot({ path: path.join(root, "docs/playground", `${name}.png`) });
  await page.context().close();
}
// Models in training, with mHC's projection turned off in the middle and on again; on a phone it stays off.
const trainings = [
  { name: "train", size: { width: 1440, height: 900 }, colorScheme: "light", text: "moby-dick", turns: ["off", "on"] },
  { name: "train-narrow", size: { width: 390, height: 844 }, colorScheme: "dark", text: "sotu", turns: ["off"] },
] as const;
for (const { name, size, colorScheme, text, turns } of trainings) {
  const page = await browser.newPage({ viewport: size, colorScheme });
  await page.goto(`${server.url}train.html?runtime=wasm&text=${text}`);
  await page.getByRole("button", { name: "Train", exact: true }).click();
  const untilStep = (step: number) =>
    page.waitForFunction(
      (wanted) => Number((document.querySelector("[data-testid=step]")?.textContent ?? "0").replace(",", "")) >= wanted,
      step,
      { timeout: 600_000 },
    );
  for (const [at, turn] of turns.entries()) {
    await untilStep(60 * (at + 1));
    await page.getByRole("button", { name: `Turn projection ${turn}` }).click();
  }
  await untilStep(60 * (turns.length + 1));
  await page.getByRole("button", { name: "Let them write" }).click();
  await page.getByTestId("sample-0").waitFor({ timeout: 60_000 });
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Go on" }).waitFor();
  const wide = size.width > 720;
  await page.evaluate((all) => {
    const chart = document.querySelector("[aria-label='Gradient norm by step']");
    const top = all ? 0 : scrollY + (chart?.getBoundingClientRect().top ?? 0) - 200;
    scrollTo({ top, behavior: "instant" });
  }, wide);
  await page.waitForTimeout(400);
  await page.screenshot({ path: path.join(root, "docs/playground", `${name}.png`), fullPage: wide });
  await page.context().close();
}
await browser.close();
await server.close();
fs.rmSync(folder, { recursive: true });
