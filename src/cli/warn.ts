// Question: how does a command warn, whatever the warning repeats of files and names from outside?

import { showPlain } from "../basics/show.ts";

/** Says on standard error what is wrong while the command goes on. */
export function warn(message: string): void {
  process.stderr.write(`warning: ${showPlain(message)}\n`);
}
