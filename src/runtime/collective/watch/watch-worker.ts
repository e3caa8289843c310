// Question: how does a rank show the watch that it lives, whatever its main thread does?
//
// By a thread of its own: it beats while the main thread computes for minutes without a break, and it stops with the
// process. It also looks whether the main thread's work moves, and ends the process when the watch says so or is gone.

import { writeSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import {
  BEAT_MS,
  FIRST_STILL_MS,
  type FromRank,
  type FromWatch,
  lineOf,
  linesOf,
  pulsePlaces,
  SILENCE_MS,
  STILL_MS,
  type WatchAddress,
} from "./protocol.ts";
import { startWatch } from "./server.ts";

/** What the thread is told. */
export interface WatchThread {
  readonly rank: number;
  /** Undefined where this rank is to watch. */
  readonly address: WatchAddress | undefined;
  /** Whether it is this rank that says so when the watch is gone. */
  readonly speaks: boolean;
  /** See pulsePlaces. */
  readonly pulse: SharedArrayBuffer;
}

/** Time for what was written to be read. */
const LAST_WORDS_MS = 300;

const { rank, address, speaks, pulse } = workerData as WatchThread;
const port = parentPort!;
// Written at once, for the main thread may never turn to its streams again.
const say = (message: string): void => void writeSync(2, `birkhoff: ${message}\n`);
const end = (): void => void process.kill(process.pid, "SIGKILL");

const watch = address
  ? undefined
  : await startWatch({
      onTrouble(message) {
        say(message);
        setTimeout(end, LAST_WORDS_MS);
      },
    });
const place = address ?? watch!.address;
port.postMessage({ address: place });

let left = false;
let lastHeard = performance.now();
const socket = await connect(place);
const send = (message: FromRank): void => void socket.write(lineOf(message));
const gone = (): void => {
  if (left) return;
  left = true;
  if (speaks)
    say(`rank ${rank}: what watches the job has ended or does not answer (on ${place.machine}). The job is ended.`);
  end();
};
socket.setEncoding("utf8").on(
  "data",
  linesOf((line) => {
    const { kind } = line as FromWatch;
    lastHeard = performance.now();
    if (kind === "end" && !watch) end();
    if (kind === "interrupt") process.kill(process.pid, "SIGINT");
  }),
);
socket.on("error", gone).on("close", gone);
send({ kind: "hello", token: place.token, rank, pid: process.pid, machine: os.hostname() });

const stillFor = createStill(new Int32Array(pulse));
let looked = performance.now();
const timer = setInterval(() => {
  const now = performance.now();
  // This process was stopped, and has not read yet what it was told.
  if (now - looked > SILENCE_MS / 2) lastHeard = now;
  looked = now;
  if (now - lastHeard > 2 * SILENCE_MS) return gone();
  const still = stillFor(now);
  send(still === undefined ? { kind: "beat" } : { kind: "beat", still: still / 1000 });
}, BEAT_MS);

port.on("message", () => {
  left = true;
  clearInterval(timer);
  send({ kind: "leave" });
  socket.end(() => {
    watch?.close();
    port.postMessage({ left: true });
    port.close();
  });
});

/** For how long the work of a step has not moved, where that is too long. */
function createStill(words: Int32Array): (now: number) => number | undefined {
  let [moves, since, longest] = [-1, 0, 0];
  return (now) => {
    const current = Atomics.load(words, pulsePlaces.moves);
    if (current !== moves || Atomics.load(words, pulsePlaces.stepping) === 0) {
      [moves, since] = [current, now];
      return undefined;
    }
    const still = now - since;
    const limit = Atomics.load(words, pulsePlaces.steps) === 0 ? FIRST_STILL_MS : Math.max(STILL_MS, 3 * longest);
    if (still > limit) return still;
    longest = Math.max(longest, still);
    return undefined;
  };
}

async function connect({ hosts, machine, port: at }: WatchAddress): Promise<net.Socket> {
  const tried: string[] = [];
  for (const host of machine === os.hostname() ? ["127.0.0.1", ...hosts] : hosts) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = net.connect({ host, port: at, timeout: SILENCE_MS }, () => resolve(socket.setTimeout(0)));
        socket.once("error", reject).once("timeout", () => {
          socket.destroy();
          reject(new Error("no answer"));
        });
      });
    } catch (error) {
      tried.push(`${host}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `rank ${rank} cannot reach the watch on ${machine}, port ${at} (${tried.join("; ")}); allow connections between the machines of the job.`,
  );
}
