// Question: how do the runs of a sweep share a machine?
//
// A small model trains best on one thread, so the cores are filled with processes: each trains one run at a
// time, and takes the next from the queue when it ends. A process that fails fails its run alone.

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { SweepJob, WorkerMessage } from "./worker.ts";

/** How far a run is. */
export interface RunProgress {
  readonly step: number;
  readonly loss: number | undefined;
}

/** How far a sweep is. */
export interface SweepProgress {
  /** Jobs that ended, well or not. */
  readonly ended: readonly SweepJob[];
  /** Each run under way → its last step and the training loss there. */
  readonly running: ReadonlyMap<SweepJob, RunProgress>;
}

/** How each job that was begun ended, by name. */
export interface QueueResult {
  readonly ended: ReadonlyMap<string, "finished" | "diverged" | "stopped">;
  /** Name of a run → why its process failed. */
  readonly failed: ReadonlyMap<string, string>;
}

/** A queue at work. */
export interface SweepQueue {
  readonly result: Promise<QueueResult>;
  /** Begin no more runs; those under way save a checkpoint and end. */
  stop(): void;
}

/** Of what a failed process said last. */
const KEPT_CHARACTERS = 2000;

/**
 * Train jobs in `workers` processes, in the order given.
 *
 * @param onProgress called when a run begins, goes on or ends
 */
export function runJobs(
  jobs: readonly SweepJob[],
  workers: number,
  onProgress: (progress: SweepProgress) => void = () => {},
): SweepQueue {
  const waiting = [...jobs];
  const running = new Map<SweepJob, RunProgress>();
  const children = new Set<ChildProcess>();
  const ended = new Map<string, "finished" | "diverged" | "stopped">();
  const failed = new Map<string, string>();
  const tell = (): void =>
    onProgress({ ended: jobs.filter(({ name }) => ended.has(name) || failed.has(name)), running });

  const trainOne = (job: SweepJob): Promise<void> =>
    new Promise((resolve) => {
      const child = startWorker();
      children.add(child);
      running.set(job, { step: 0, loss: undefined });
      let [said, failure] = ["", undefined as string | undefined];
      child.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-KEPT_CHARACTERS)));
      child.on("message", (message: WorkerMessage) => {
        if (message.kind === "progress") running.set(job, message);
        else if (message.kind === "end") ended.set(job.name, message.how);
        else failure = message.message;
        if (message.kind === "progress") tell();
      });
      // A message that cannot be sent, or a process that cannot be made.
      child.on("error", (error) => (failure ??= error.message));
      child.on("close", (code, signal) => {
        children.delete(child);
        running.delete(job);
        // One that was told to stop before it could listen has nothing to save.
        const told = signal === "SIGTERM" || signal === "SIGINT" || signal === "SIGHUP";
        if (!ended.has(job.name) && told) ended.set(job.name, "stopped");
        if (!ended.has(job.name))
          failed.set(job.name, failure ?? `its process ended (${signal ?? `code ${code}`}) ${said.trim()}`.trim());
        tell();
        resolve();
      });
      child.send(job);
      tell();
    });

  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) await trainOne(job);
  };
  const result = Promise.all(Array.from({ length: Math.min(workers, jobs.length) }, work)).then(() => ({
    ended,
    failed,
  }));
  return {
    result,
    stop() {
      waiting.length = 0;
      for (const child of children) child.kill("SIGTERM");
    },
  };
}

function startWorker(): ChildProcess {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return fork(fileURLToPath(new URL(`./worker.${extension}`, import.meta.url)), {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [],
  });
}
