// Question: how is it noticed within seconds that a rank is gone or hangs, and which?
//
// MPI does not say. So every rank keeps a connection to the watch, from a thread of its own. The watch runs in birkhoff
// launch, or beside rank 0 where another launcher was used. What it notices:
//
//   a connection ends without a word        the process was killed, or ended by an error
//   nothing is heard for SILENCE_MS         it is stopped, its machine is gone, or the network is cut
//   it says that its step stands still      it hangs in a loop or waits for ever
//
// The first of these ends the job: all ranks are told to, and the message names the rank.

import { randomBytes } from "node:crypto";
import net from "node:net";
import os from "node:os";
import {
  BEAT_MS,
  type FromRank,
  type FromWatch,
  lineOf,
  linesOf,
  type Process,
  SILENCE_MS,
  type WatchAddress,
} from "./protocol.ts";

/** Connections that end within such a time ended for one reason. */
const TOGETHER_MS = 400;

/** What the watch does when a rank is in trouble. */
export interface WatchOptions {
  /** Called once, after all ranks have been told to end. */
  readonly onTrouble: (message: string) => void;
  /** Default SILENCE_MS. */
  readonly silence?: number;
}

export interface Watch {
  readonly address: WatchAddress;
  /** Those that have said who they are and have not left. */
  processes(): readonly Process[];
  /** Ask rank 0 to save and stop. False when it is not there. */
  interrupt(): boolean;
  close(): void;
}

interface Heard {
  readonly process: Process;
  readonly socket: net.Socket;
  last: number;
}

/** Begin to watch on a free port of this machine. */
export async function startWatch({ onTrouble, silence = SILENCE_MS }: WatchOptions): Promise<Watch> {
  const token = randomBytes(16).toString("hex");
  const heard = new Map<number, Heard>();
  let ended = false;
  const tell = (socket: net.Socket, message: FromWatch): void => void socket.write(lineOf(message));
  const trouble = (whose: readonly Process[], what: string): void => {
    if (ended) return;
    ended = true;
    for (const { socket } of heard.values()) tell(socket, { kind: "end" });
    const ranks = whose.map(({ rank, pid, machine }) => `rank ${rank} (process ${pid} on ${machine})`);
    onTrouble(`${new Intl.ListFormat("en-GB").format(ranks)} ${what}`);
  };
  const gone: Process[] = [];
  /** One that is killed may take others with it at once, and which connection ends first is chance: all are named. */
  const isGone = (each: Process): void => {
    if (gone.push(each) > 1) return;
    setTimeout(
      () =>
        trouble(
          gone,
          `${gone.length === 1 ? "has" : "have"} ended before the others: killed, or ended by an error, which then stands above. The job is ended.`,
        ),
      TOGETHER_MS,
    );
  };
  const answers = {
    hello: () => undefined,
    beat: (message: Extract<FromRank, { kind: "beat" }>, each: Heard) => {
      if (message.still !== undefined)
        trouble(
          [each.process],
          `hangs: it is alive, and its step has not moved for ${Math.round(message.still)} s. The job is ended.`,
        );
    },
    leave: (_message: FromRank, each: Heard) => void heard.delete(each.process.rank),
  };

  const server = net.createServer((socket) => {
    let own: Heard | undefined;
    const hear = (message: FromRank): void => {
      if (message.kind === "hello") {
        if (message.token !== token) return void socket.destroy();
        const { rank, pid, machine } = message;
        own = { process: { rank, pid, machine }, socket, last: performance.now() };
        heard.set(rank, own);
      }
      if (!own) return void socket.destroy();
      own.last = performance.now();
      tell(socket, ended ? { kind: "end" } : { kind: "heard" });
      (answers[message.kind] as (message: FromRank, each: Heard) => void)(message, own);
    };
    const lines = linesOf((line) => hear(line as FromRank));
    socket.setEncoding("utf8").on("data", (text: string) => {
      try {
        lines(text);
      } catch {
        socket.destroy();
      }
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (own && heard.get(own.process.rank) === own) isGone(own.process);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(0, () => resolve());
  });
  let looked = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    // This process was stopped, perhaps with the others: what they said meanwhile has not been read yet.
    if (now - looked > silence / 2) for (const each of heard.values()) each.last = now;
    looked = now;
    for (const each of heard.values())
      if (now - each.last > silence)
        trouble(
          [each.process],
          `hangs: nothing was heard of it for ${Math.round((now - each.last) / 1000)} s. It is stopped, or its machine cannot be reached. The job is ended.`,
        );
  }, BEAT_MS);
  timer.unref();
  server.unref();
  return {
    address: { hosts: hostsOf(), machine: os.hostname(), port: (server.address() as net.AddressInfo).port, token },
    processes: () => [...heard.values()].map(({ process }) => process),
    interrupt() {
      const leader = heard.get(0);
      if (leader) tell(leader.socket, { kind: "interrupt" });
      return leader !== undefined;
    },
    close() {
      ended = true;
      clearInterval(timer);
      server.close();
      for (const { socket } of heard.values()) socket.destroy();
    },
  };
}

/** The addresses of this machine that others can reach. */
function hostsOf(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, family }) => !internal && family === "IPv4")
    .map(({ address }) => address);
}
