// Question: how do the training commands show the live page (--page)?

import { realpathSync } from "node:fs";
import path from "node:path";
import { type PageBeside, startPageBeside } from "../report/server/beside.ts";
import type { Run } from "../runs/run.ts";
import { openBrowser } from "./browser.ts";
import { untilEnded } from "./interrupt.ts";

/**
 * Serve the page of these runs and of those beside them, print its address and, on a terminal, open it.
 *
 * @param port true for the default port
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

/** On a terminal the page stays up until Ctrl-C, so that the user can look at the results. */
export async function keepPage(page: PageBeside | undefined, wait: boolean): Promise<void> {
  if (!page) return;
  if (wait && process.stdout.isTTY) {
    process.stdout.write(`\nThe page stays up at ${page.url}; Ctrl-C ends it.\n`);
    await untilEnded();
  }
  await page.close();
}

/** The folder "runs" if the run lies in it, so that the page also shows earlier runs; otherwise the given folder. */
function rootAround(folder: string): string {
  const [place, runs] = [realpathSync(folder), path.resolve("runs")];
  return place.startsWith(`${runs}${path.sep}`) ? runs : place;
}
