// Question: how much does the playground's site load before it can be used?
//
// The site is built into a temporary folder and opened in Chromium; counted is what a host that compresses by gzip would
// send until the first view stands still: the page, its script, its styles and its typefaces. The service worker, which
// then fetches all files again for a tab without a network, is left out.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import type { Group } from "./lib/group.ts";
import { buildSite, serveSite } from "./lib/site.ts";

const SIZE = "site.kilobytes";
const BAR = 300;

export const site: Group = {
  names: [SIZE],
  async *measure(_, { note }) {
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    if (!fs.existsSync(executablePath)) {
      yield { name: SIZE, skipped: `there is no Chromium at ${executablePath}; CHROMIUM names another` };
      return;
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-bench-site-"));
    try {
      note("building the site");
      await buildSite(folder);
      const server = await serveSite(folder);
      const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
      try {
        const page = await browser.newPage({ serviceWorkers: "block" });
        await page.goto(server.url, { waitUntil: "networkidle" });
        const value = server.sent.bytes / 1000;
        const ours = { label: `${server.sent.files.length} files`, value, unit: "kB" };
        yield { name: SIZE, value, unit: "kB", higher_is_better: false, bar: BAR, ours };
      } finally {
        await browser.close();
        await server.close();
      }
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
};
