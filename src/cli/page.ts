// Question: how do the training commands show the live page (--page)?

import { realpathSync } from "node:fs";
import path from "node:path";
import { type PageBeside, startPageBeside } from "../report/server/beside.ts";
import type { Run } from "../runs/run.ts";
import { openBrowser } from "./browser.ts";

/**
 * Serve the page of these runs and those around them, print its address and, on a terminal, open it.
 *
 * @param port true for the usual one
 */
export async function showPage(runs: readonly Run[], folder: string, port: number | true): Promise<PageBeside> {
  const page = await startPageBeside(
    rootAround(folder),
    runs.map((run) => run.folder.folder),
    port === true ? 7333 : port,
  );
  process.stderr.write(`Live page: ${page.url}\n`);
  if (process.stderr.isTTY) openBrowser(page.url);
  return page;
}

/** On a terminal the page stays until Ctrl-C, so that results can be looked at. */
export async function keepPage(page: PageBeside | undefined, wait: boolean): Promise<void> {
  if (!page) return;
  if (wait && process.stdout.isTTY) {
    process.stdout.write(`\nThe page stays at ${page.url}; Ctrl-C ends it.\n`);
    await new Promise<void>((resolve) => {
      // The server's thread does not keep the process alive, so this does.
      const alive = setInterval(() => undefined, 1 << 30);
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, () => {
          clearInterval(alive);
          resolve();
        });
      }
    });
  }
  await page.close();
}

/** The folder "runs" that the run lies in, so that earlier ones are there to compare; else the given one. */
function rootAround(folder: string): string {
  const [place, runs] = [realpathSync(folder), path.resolve("runs")];
  return place.startsWith(`${runs}${path.sep}`) ? runs : place;
}
