// Question: how does a rank come under the watch?
//
// It starts the thread that speaks to it. Where no launcher watches, rank 0's thread does, and its address goes round.

import { Worker } from "node:worker_threads";
import type { Collective } from "../collective.ts";
import { broadcastText } from "../texts.ts";
import { BEAT_MS, pulsePlaces, WATCH_VARIABLE, type WatchAddress } from "./protocol.ts";
import type { WatchThread } from "./watch-worker.ts";

/** This rank under the watch. */
export interface Watched {
  /** The work moves. */
  move(): void;
  /** Whether the rank is within a step, in which its work must move. */
  stepping(within: boolean): void;
  /** Say that the rank ends as it should. */
  leave(): Promise<void>;
}

export async function joinWatch(
  collective: Collective,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Watched> {
  const { rank } = collective;
  const pulse = new SharedArrayBuffer(16);
  const words = new Int32Array(pulse);
  const given = environment[WATCH_VARIABLE];
  let address = given ? (JSON.parse(given) as WatchAddress) : undefined;
  const begin = async (): Promise<Worker> => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const speaks = rank === (given ? 0 : 1);
    const workerData: WatchThread = { rank, address, speaks, pulse };
    const worker = new Worker(new URL(`./watch-worker.${extension}`, import.meta.url), { workerData });
    address = await new Promise((resolve, reject) => {
      worker.once("error", reject).once("message", (message: { address: WatchAddress }) => resolve(message.address));
    });
    worker.unref();
    return worker;
  };
  let worker: Worker | undefined;
  if (!address) {
    if (rank === 0) worker = await begin();
    const text = await broadcastText(collective, 0, JSON.stringify(address ?? null));
    address = JSON.parse(text) as WatchAddress;
  }
  worker ??= await begin();
  const thread = worker;
  thread.on("error", (error) => collective.abort(error.message));
  const move = (): void => void Atomics.add(words, pulsePlaces.moves, 1);
  // Awaiting is moving: the event loop turns.
  const timer = setInterval(move, BEAT_MS);
  timer.unref();
  return {
    move,
    stepping(within) {
      Atomics.store(words, pulsePlaces.stepping, within ? 1 : 0);
      if (!within) Atomics.add(words, pulsePlaces.steps, 1);
    },
    async leave() {
      clearInterval(timer);
      await new Promise<void>((resolve) => {
        thread
          .removeAllListeners()
          .once("message", () => resolve())
          .once("exit", () => resolve());
        thread.ref();
        thread.postMessage("leave");
      });
      await thread.terminate();
    },
  };
}
