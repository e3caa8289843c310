// Question: how does the live page stay responsive while its process trains?
//
// A step can keep the main thread busy for seconds, so the server has its own thread. Requests from the buttons go to
// the main thread, which looks for them between two steps.

import { parentPort, workerData } from "node:worker_threads";
import { given } from "../../basics/given.ts";
import { listen, type PageServer } from "./listen.ts";
import type { ControlAction } from "./messages.ts";
import { readPageFiles } from "./page-files.ts";

export interface WorkerData {
  readonly root: string;
  readonly folders: readonly string[];
  /** The ports to try, in order. */
  readonly ports: readonly number[];
}

export type FromWorker =
  | { readonly kind: "listening"; readonly url: string }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "control"; readonly action: ControlAction; readonly folder?: string };

const say = (message: FromWorker): void => parentPort!.postMessage(message);

async function start({ root, folders, ports }: WorkerData): Promise<PageServer> {
  const page = readPageFiles();
  const send = (action: ControlAction, folder?: string): void => say({ kind: "control", action, ...given({ folder }) });
  let failure: unknown;
  for (const port of ports) {
    try {
      return await listen({ root, host: "127.0.0.1", port, page, control: { folders, send } });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

try {
  const { url } = await start(workerData as WorkerData);
  say({ kind: "listening", url });
} catch (error) {
  say({ kind: "failed", message: (error as Error).message });
}
