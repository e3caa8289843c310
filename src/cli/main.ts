#!/usr/bin/env node
// The command line. One file a command; this one only lists them and turns errors into messages.

import { readFileSync } from "node:fs";
import { Command } from "commander";
import { showPlain } from "../basics/show.ts";
import { messageOf } from "../files/errors.ts";
import { benchCommand } from "./bench.ts";
import { compareCommand } from "./compare.ts";
import { convertCommand } from "./convert.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { importCommand } from "./import.ts";
import { inspectCommand } from "./inspect.ts";
import { watchOutput } from "./interrupt.ts";
import { interveneCommand } from "./intervene.ts";
import { lintCommand } from "./lint.ts";
import { planCommand } from "./plan.ts";
import { reportCommand } from "./report.ts";
import { sampleCommand } from "./sample.ts";
import { scheduleCommand } from "./schedule.ts";
import { serveCommand } from "./serve.ts";
import { suggestNames } from "./suggest.ts";
import { sweepCommand } from "./sweep.ts";
import { trainCommand } from "./train.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("birkhoff")
  .description("Train and study transformers with learned residual connections (mHC, HC) on any machine with npm.")
  .version(version, "-V, --version", "print the version")
  .option("--debug", "show where an error came from")
  .showHelpAfterError("(birkhoff COMMAND --help shows the options and an example)")
  .addHelpText(
    "after",
    '\nExamples:\n  birkhoff compare                                residual, HC and mHC side by side\n  birkhoff train --data my.txt --connection mhc\n  birkhoff sample runs/my --prompt "Fellow citizens"',
  );

for (const command of [
  compareCommand,
  trainCommand,
  sweepCommand,
  sampleCommand,
  inspectCommand,
  interveneCommand,
  convertCommand,
  exportCommand,
  importCommand,
  reportCommand,
  lintCommand,
  planCommand,
  scheduleCommand,
  serveCommand,
  doctorCommand,
  benchCommand,
]) {
  suggestNames(command);
  program.addCommand(command);
}
suggestNames(program);

watchOutput();
try {
  await program.parseAsync();
} catch (error) {
  const stack = error instanceof Error ? error.stack : undefined;
  process.stderr.write(`birkhoff: ${(program.opts().debug ? stack : undefined) ?? showPlain(messageOf(error))}\n`);
  process.exitCode = 1;
}
