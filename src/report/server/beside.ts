// Question: how does a process that trains show the live page?

import fs from "node:fs";
import { Worker } from "node:worker_threads";
import type { ControlAction } from "./messages.ts";
import type { FromWorker, WorkerData } from "./worker.ts";

/** A server in its own thread. */
export interface PageBeside {
  readonly url: string;
  /** Receives the requests of the page's buttons, for one run (its folder as it was given) or for all. Undefined: nobody does. */
  listen(handler: ControlHandler | undefined): void;
  close(): Promise<void>;
}

type ControlHandler = (action: ControlAction, folder?: string) => void;

/** Port 0 lets the system choose one. */
const OTHER_PORTS = 10;

/**
 * Serve the live page of the runs under `root` on the first free port from `port` on, for this machine only.
 *
 * @param folders the runs that this process trains, whose stop and checkpoint buttons work
 */
export async function startPageBeside(root: string, folders: readonly string[], port: number): Promise<PageBeside> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const given = new Map(folders.map((folder) => [fs.realpathSync.native(folder), folder]));
  const workerData: WorkerData = {
    root,
    folders: [...given.keys()],
    ports: [...Array.from({ length: OTHER_PORTS }, (_, index) => port + index), 0],
  };
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData });
  let handler: ControlHandler | undefined;
  const url = await new Promise<string>((resolve, reject) => {
    worker.once("error", reject);
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "listening") resolve(message.url);
      else if (message.kind === "failed") reject(new Error(message.message));
      else handler?.(message.action, message.folder === undefined ? undefined : given.get(message.folder));
    });
  });
  // The page must not keep a process alive that has finished its work.
  worker.unref();
  return {
    url,
    listen: (wanted) => void (handler = wanted),
    close: async () => void (await worker.terminate()),
  };
}
