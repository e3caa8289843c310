// Question: how does a command write sentences, say how its work goes, and warn, whatever that repeats of files and names?

import { showPlain } from "../basics/show.ts";
import { prose } from "../report/terminal.ts";

/** Says on standard error what is wrong while the command goes on. */
export function warn(message: string): void {
  process.stderr.write(prose(`warning: ${showPlain(message)}\n`, process.stderr));
}

/** Says on standard error how the work goes. */
export function say(message: string): void {
  process.stderr.write(prose(`${showPlain(message)}\n`, process.stderr));
}

/** Writes sentences for people to standard output, in lines that fit. */
export function print(text: string): void {
  process.stdout.write(prose(text, process.stdout));
}
