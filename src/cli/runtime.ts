// Question: which runtime does a command compute on?

import type { Command } from "commander";
import { Option } from "commander";
import { given } from "../basics/given.ts";
import { openRuntime, type RuntimeChoice, runtimeChoices } from "../runtime/open.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { wholeNumber } from "./options.ts";

/** What a command line says of the machine. */
export interface MachineOptions {
  readonly runtime: RuntimeChoice;
  readonly threads?: number;
  /** false after --no-revectorise. */
  readonly revectorise: boolean;
}

/** --runtime alone. */
export function runtimeOption(command: Command): Command {
  return command.addOption(
    new Option("--runtime <name>", "what computes: the fastest that there is, or one by its name (birkhoff doctor)")
      .choices(runtimeChoices)
      .default("auto"),
  );
}

/** --runtime, and how it uses the processor. */
export function machineOptions(command: Command): Command {
  return runtimeOption(command)
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--no-revectorise", "do not ask V8 for 256-bit vectors");
}

/** Open the runtime that a command line asks for. */
export async function openChosen({
  runtime,
  threads,
  revectorise,
}: Pick<MachineOptions, "runtime"> & {
  readonly threads?: number | undefined;
  readonly revectorise?: boolean;
}): Promise<Runtime> {
  const opened = await openRuntime({ runtime, ...given({ threads, revectorise }) });
  if (opened.name === "reference")
    process.stderr.write("The reference runtime computes in float64 by plain loops; that is slow.\n");
  return opened;
}
