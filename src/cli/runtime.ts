// Question: which runtime does a command compute on?

import { availableParallelism } from "node:os";
import { given } from "../basics/given.ts";
import { openRuntime } from "../runtime/open.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { MachineOptions } from "./options.ts";

/** Open the runtime that a command line asks for. */
export async function openChosen({
  runtime,
  threads,
  revectorise,
}: Pick<MachineOptions, "runtime"> & {
  readonly threads?: number | undefined;
  readonly revectorise?: boolean;
}): Promise<Runtime> {
  const cores = availableParallelism();
  if (threads !== undefined && threads > cores)
    process.stderr.write(
      `warning: --threads ${threads}: this machine has ${cores} core${cores === 1 ? "" : "s"}; more threads than cores are slower. Use at most ${cores}.\n`,
    );
  const opened = await openRuntime({ runtime, ...given({ threads, revectorise }) });
  if (opened.name === "reference")
    process.stderr.write("The reference runtime computes in float64 by plain loops; that is slow.\n");
  return opened;
}
