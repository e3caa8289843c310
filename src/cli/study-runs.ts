// Question: how are trained runs measured one after the other, and what is found kept in their folders?

import path from "node:path";
import { showMany, showPlain } from "../basics/show.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { formatRecord, type StepRecord } from "../files/json.ts";
import { expectFit, leastNeed, memoryLimits, type MemoryNeed } from "../planning/here/memory-limit.ts";
import { widthOf } from "../report/terminal.ts";
import { latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Subject } from "../studies/study.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import type { MachineOptions, MemoryOption } from "./options.ts";
import { openChosen } from "./runtime.ts";
import { prepareRun } from "./session.ts";
import { warn } from "./warn.ts";

/** How the runs are measured on this machine. */
export interface MeasuringOptions extends MachineOptions, MemoryOption {
  readonly cache?: string;
}

/** What is measured of each run. */
export interface Measuring {
  /** The file in the run folder that holds the result. */
  readonly file: string;
  plan(config: TrainingConfig, machine: Machine): MemoryNeed;
  measure(subject: Subject): Promise<StepRecord | undefined>;
}

/** Measure every run, and keep what was measured in its folder. Returns false when the signal stopped it. */
export async function measureRuns(
  { measure, file, plan }: Measuring,
  folders: readonly string[],
  options: MeasuringOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const runtime = await openChosen(options);
  try {
    for (const [index, folder] of folders.entries()) {
      const run = openRunFolder(folder);
      const config = parseTrainingConfig(run.config, path.join(folder, "config.json"));
      const data = await prepareRun(config, folder, options);
      try {
        expectRoom(runtime, config, plan, options);
        const onProgress = (share: number): void => sayProgress(config.name, index, folders.length, share);
        const checkpoint = (): ReturnType<typeof loadModel> => checkpointOf(folder);
        const result = await measure({ folder, config, data, runtime, signal, checkpoint, onProgress });
        if (signal.aborted || !result) {
          process.stderr.write(`Stopped at ${showPlain(config.name)}; ${showMany(index, "run")} measured and saved.\n`);
          return false;
        }
        writeFileAtomically(path.join(folder, file), formatRecord(result));
      } finally {
        data.close();
      }
    }
    return true;
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
    runtime.close();
  }
}

const checkpointOf = (folder: string): ReturnType<typeof loadModel> => {
  const place = latestCheckpoint(folder, warn);
  if (place) return loadModel(place.folder);
  throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
};

function expectRoom(
  { machine }: Runtime,
  config: TrainingConfig,
  plan: Measuring["plan"],
  { memory }: MemoryOption,
): void {
  if (!machine) return;
  expectFit(
    `${config.name}: studying it`,
    memoryLimits(machine.device, memory),
    (made) => plan(config, made[0] ? machine.withThreads(made[0].threads) : machine),
    machine.device.threads > 1 ? [{ option: "--threads 1", threads: 1 }] : [],
    "It is measured on batches as large as in training: free some memory, or use a run with smaller batches.",
    leastNeed([config.model], 4),
  );
}

/** One line, overwritten each time; a pipe gets one for every run. */
function sayProgress(name: string, index: number, runs: number, share: number): void {
  const line = `${index + 1} of ${runs}: ${showPlain(name)}, ${Math.floor(100 * share)} %`;
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${line.slice(0, widthOf(process.stderr) - 1)}`);
  else if (share === 1) process.stderr.write(`${line}\n`);
}
