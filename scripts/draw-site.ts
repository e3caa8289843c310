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
// Models in training, after a minute, with mHC's projection turned off in the middle.
const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
await page.goto(`${server.url}train.html?runtime=wasm`);
await page.getByRole("button", { name: "Train", exact: true }).click();
await page
  .getByTestId("step")
  .filter({ hasText: /^[6-9]\d/ })
  .waitFor({ timeout: 300_000 });
await page.getByRole("button", { name: "Turn projection off" }).click();
await page
  .getByTestId("step")
  .filter({ hasText: /^1[0-9]\d/ })
  .waitFor({ timeout: 300_000 });
await page.getByRole("button", { name: "Let them write" }).click();
await page.getByTestId("sample-0").waitFor({ timeout: 60_000 });
await page.getByRole("button", { name: "Pause" }).click();
await page.getByRole("button", { name: "Go on" }).waitFor();
await page.evaluate(() => scrollTo(0, 0));
await page.screenshot({ path: path.join(root, "docs/playground/train.png"), fullPage: true });
await browser.close();
await server.close();
fs.rmSync(folder, { recursive: true });
