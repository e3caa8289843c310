// Question: which runtime does a command compute on?

import { availableParallelism } from "node:os";
import { given } from "../basics/given.ts";
import { showMany } from "../basics/show.ts";
import { expectPackages } from "../files/packages.ts";
import { expectRuntime, listRuntimes, openRuntime } from "../runtime/open.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { MachineOptions } from "./options.ts";
import { say, warn } from "./warn.ts";

/** Throw what is missing for the runtime that a command line asks for, before the command begins what takes long. */
export async function expectChosen({ runtime }: Pick<MachineOptions, "runtime">): Promise<void> {
  if (runtime === "webgpu") expectPackages("gpu");
  await expectRuntime(runtime);
}

/**
 * Open the runtime that a command line asks for.
 *
 * @param share threads of the processor where none are asked for, if it is the processor that computes
 */
export async function openChosen(
  {
    runtime,
    threads: asked,
    revectorise,
  }: Pick<MachineOptions, "runtime"> & {
    readonly threads?: number | undefined;
    readonly revectorise?: boolean;
  },
  share?: number,
): Promise<Runtime> {
  const threads = asked ?? (share !== undefined && (await computesOnProcessor(runtime)) ? share : undefined);
  const cores = availableParallelism();
  if (threads !== undefined && threads > cores)
    warn(
      `--threads ${threads}: this machine has ${showMany(cores, "core")}; more threads than cores are slower. Use at most ${cores}.`,
    );
  if (runtime === "webgpu") expectPackages("gpu");
  const opened = await openRuntime({ runtime, ...given({ threads, revectorise }) });
  if (opened.name === "reference") say("The reference runtime computes in float64 by plain loops; that is slow.");
  return opened;
}

async function computesOnProcessor(runtime: MachineOptions["runtime"]): Promise<boolean> {
  if (runtime !== "auto") return runtime === "wasm";
  return (await listRuntimes()).find(({ available }) => available)?.name === "wasm";
}
