// Question: how does one process train one run of a sweep?
//
// A child process of queue.ts. It gets a job, trains, and says how far it is. It saves a checkpoint and ends
// when it is told to stop, on Ctrl-C, and when its parent is gone. Its last message says how it ended.

import fs from "node:fs";
import path from "node:path";
import { showPlain } from "../../basics/show.ts";
import { openPrepared } from "../../data/prepare.ts";
import { openRuntime, type RuntimeChoice } from "../../runtime/open.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { FolderInUseError } from "../../files/lock.ts";
import { openRun, type Run } from "../run.ts";
import { trainInTurns } from "../train-runs.ts";
import { readOutcome, writeOutcome } from "./folder.ts";

/** One run to train. */
export interface SweepJob {
  readonly name: string;
  readonly config: TrainingConfig;
  /** The run folder. */
  readonly folder: string;
  /** Where the prepared tokens are, and the SHA-256 of their text. */
  readonly data: { readonly folder: string; readonly text: string };
  readonly runtime: RuntimeChoice;
  readonly threads: number;
  readonly revectorise: boolean;
  readonly keepCheckpoints: boolean;
}

/** What a worker says. */
export type WorkerMessage =
  | { readonly kind: "progress"; readonly step: number; readonly loss: number | undefined }
  | { readonly kind: "end"; readonly how: "finished" | "diverged" | "stopped" }
  | { readonly kind: "error"; readonly message: string };

const REPORT_MS = 500;
/** A worker of a killed sweep saves and goes; until then its run is locked. */
const LOCK_WAIT_MS = 20_000;

const controller = new AbortController();
const stop = (): void => controller.abort();
const say = (message: WorkerMessage): void => void (process.connected && process.send?.(message));
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, milliseconds));

async function open(runtime: Runtime, job: SweepJob): Promise<Run> {
  const data = openPrepared(job.data.folder, { text: job.data.text });
  for (const started = performance.now(); ; await pause(200)) {
    try {
      return await openRun(runtime, job.config, data, job.folder, {
        existing: "resume",
        onWarning: (message) => process.stderr.write(`warning: ${showPlain(message)}\n`),
      });
    } catch (error) {
      if (!(error instanceof FolderInUseError) || performance.now() - started > LOCK_WAIT_MS) throw error;
    }
  }
}

async function train(job: SweepJob): Promise<"finished" | "diverged" | "stopped"> {
  const runtime = await openRuntime({ runtime: job.runtime, threads: job.threads, revectorise: job.revectorise });
  const run = await open(runtime, job);
  let said = 0;
  const report = ({ metrics, trainer }: Run): void => {
    if (performance.now() - said <= REPORT_MS) return;
    said = performance.now();
    say({ kind: "progress", step: trainer.step, loss: metrics.at(-1)?.loss });
  };
  try {
    const { failed } = await trainInTurns([run], { signal: controller.signal, onStep: report });
    const { step } = run.trainer;
    const error = failed.get(run);
    if (error) {
      writeOutcome(job.folder, { outcome: "diverged", step, message: error.message });
      return "diverged";
    }
    if (!run.finished) return "stopped";
    writeOutcome(job.folder, { outcome: "finished", step });
    if (!job.keepCheckpoints) fs.rmSync(path.join(job.folder, "checkpoints"), { recursive: true, force: true });
    return "finished";
  } finally {
    run.close();
    runtime.close();
  }
}

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, stop);
// The pipe of what it says of itself ends with its parent.
process.stderr.on("error", stop);
process.on("disconnect", stop);
process.once("message", (job: SweepJob) => {
  // What another process has done while this one waited is not done again.
  const ended = readOutcome(job.folder)?.outcome;
  const training = ended ? Promise.resolve(ended) : train(job);
  training.then(
    (how) => {
      say({ kind: "end", how });
      process.exitCode = 0;
      if (process.connected) process.disconnect();
    },
    (error: Error) => {
      say({ kind: "error", message: error.message });
      process.exitCode = 1;
      if (process.connected) process.disconnect();
    },
  );
});
