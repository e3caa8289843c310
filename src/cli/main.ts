#!/usr/bin/env node
// The command line: it loads the command that is asked for, and turns errors into messages.

import { readFileSync } from "node:fs";
import { showPlain } from "../basics/show.ts";
import { messageOf } from "../files/errors.ts";
import { prose } from "../report/terminal.ts";
import { loadProgram } from "./commands.ts";
import { watchOutput } from "./interrupt.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

watchOutput();
const program = await loadProgram(version, process.argv.slice(2));
try {
  await program.parseAsync();
} catch (error) {
  const stack = error instanceof Error ? error.stack : undefined;
  const message = prose(`birkhoff: ${showPlain(messageOf(error))}`, process.stderr);
  process.stderr.write(`${program.opts().debug && stack !== undefined ? `birkhoff: ${stack}` : message}\n`);
  process.exitCode = 1;
}
