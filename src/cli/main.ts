#!/usr/bin/env node
// The command line, which bin/birkhoff.js starts: it loads the command that is asked for, and turns errors into messages.

import { showPlain } from "../basics/show.ts";
import { messageOf } from "../files/errors.ts";
import { prose } from "../report/terminal.ts";
import { loadProgram } from "./commands.ts";
import { hushFollower } from "./followers.ts";
import { watchOutput } from "./interrupt.ts";
import { version } from "./version.ts";

watchOutput();
hushFollower();
try {
  await (await loadProgram(version, process.argv.slice(2))).parseAsync();
} catch (error) {
  const stack = process.argv.includes("--debug") && error instanceof Error ? `birkhoff: ${error.stack}\n` : undefined;
  process.stderr.write(stack ?? prose(`birkhoff: ${showPlain(messageOf(error))}\n`, process.stderr));
  process.exitCode = 1;
}
