// Question: which runtime does a command compute on?

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
  const opened = await openRuntime({ runtime, ...given({ threads, revectorise }) });
  if (opened.name === "reference")
    process.stderr.write("The reference runtime computes in float64 by plain loops; that is slow.\n");
  return opened;
}
