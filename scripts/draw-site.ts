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
await browser.close();
await server.close();
fs.rmSync(folder, { recursive: true });
