// Question: how do threads start, and how is it noticed that one has ended?
//
// A thread sleeps or computes inside WebAssembly and cannot answer. Between runs Node tells that it has ended. During a
// run the calling thread is busy and hears nothing: it therefore asks, when it has waited long for a task of another, the worker's
// statistics (`look`), which Node answers at once. The idle time of a worker that has stopped is below zero.

import { Worker } from "node:worker_threads";
import { cannotStart, type Threads, threadName, type ThreadStart } from "../host.ts";

/**
 * Start one thread for each entry, and wait until all are ready.
 *
 * @throws Error when one cannot start or ends before it is ready; the others are then ended too
 */
export async function startThreads(each: readonly ThreadStart[]): Promise<Threads> {
  const workers: Worker[] = [];
  const gone: string[] = [];
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    for (const worker of workers) void worker.terminate();
  };
  const nameOf = (index: number): string => threadName(index, each.length);
  const start = async (workerData: ThreadStart, index: number): Promise<void> => {
    const name = nameOf(index);
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./thread.${extension}`, import.meta.url), { workerData });
    workers.push(worker);
    let why = "";
    worker.on("error", (error) => (why = `: ${error.message}`));
    worker.on("exit", (code) => stopped || gone.push(`${name} has ended with code ${code}${why}`));
    await new Promise<void>((resolve, reject) => {
      worker.once("message", () => resolve());
      worker.once("exit", (code) => reject(new Error(`${name} ended with code ${code} before it was ready${why}`)));
    });
    // The first question fixes the beginning of the statistics, without which there would be none.
    worker.performance.eventLoopUtilization();
    worker.unref();
  };
  try {
    await Promise.all(each.map(start));
  } catch (error) {
    stop();
    throw cannotStart(each.length + 1, error, "allow this process more of them and more memory");
  }
  const stoppedWorker = (): number =>
    workers.findIndex(({ performance }) => performance.eventLoopUtilization().idle < 0);
  return {
    ended: () => gone[0],
    askEnded() {
      const index = stopped ? -1 : stoppedWorker();
      return gone[0] ?? (index < 0 ? undefined : `${nameOf(index)} has ended`);
    },
    stop,
  };
}
