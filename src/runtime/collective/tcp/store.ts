// Question: how do ranks that no MPI has started find each other?
//
// Rank 0 listens at an address that all know, the store. Every other rank tells it where it listens itself; when all have
// come, each hears where all others are. Messages then go straight from rank to rank (messenger.ts). Whoever starts the
// ranks says who they are in the environment, by the names that PyTorch's launcher uses.

import { randomBytes } from "node:crypto";
import net from "node:net";
import os from "node:os";
import { setTimeout } from "node:timers/promises";
import { showRanks } from "../collective.ts";
import type { StorePlace } from "../launched.ts";

/** Where a rank listens. */
export interface RankAddress {
  readonly hosts: readonly string[];
  readonly machine: string;
  readonly port: number;
}

/** What each rank hears. */
export interface Meeting {
  /** In the order of the ranks. */
  readonly addresses: readonly RankAddress[];
  /** Who knows it belongs to the job. */
  readonly token: string;
}

type ToStore = RankAddress & { readonly rank: number; readonly size: number };
type FromStore = Meeting | { readonly refused: string };

/** Between two attempts to reach the store, which may not be there yet. */
const AGAIN_MS = 100;

/** The addresses of this machine that others can reach. */
export function hostsHere(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, family }) => !internal && family === "IPv4")
    .map(({ address }) => address);
}

/**
 * Meet the other ranks.
 *
 * @param own where this rank listens
 * @param deadline seconds
 * @throws Error when not all come in time: it names those that have not, or says that rank 0 does not answer
 */
export function meet(
  place: StorePlace,
  rank: number,
  size: number,
  own: RankAddress,
  deadline: number,
): Promise<Meeting> {
  return rank === 0 ? keepStore(place, size, own, deadline) : askStore(place, rank, size, own, deadline);
}

const remedy =
  "Start all ranks, with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE, and let the machines reach each other.";

function keepStore({ host, port }: StorePlace, size: number, own: RankAddress, deadline: number): Promise<Meeting> {
  const token = randomBytes(16).toString("hex");
  const addresses: RankAddress[] = [own];
  const sockets = new Map<number, net.Socket>();
  return new Promise((resolve, reject) => {
    const missing = (): number[] => Array.from({ length: size }, (_, rank) => rank).filter((rank) => !addresses[rank]);
    const end = (error?: Error): void => {
      clearTimeout(timer);
      server.close();
      const meeting: Meeting = { addresses, token };
      for (const socket of sockets.values()) {
        if (error) socket.destroy();
        else socket.end(`${JSON.stringify(meeting satisfies FromStore)}\n`);
      }
      if (error) reject(error);
      else resolve(meeting);
    };
    const timer = globalThis.setTimeout(
      () =>
        end(
          new Error(
            `tcp: ${showRanks(missing())} of ${size} did not come to the store of rank 0 at ${host}:${port} within ${deadline} s. ${remedy}`,
          ),
        ),
      1000 * deadline,
    );
    const hear = (socket: net.Socket, { rank, size: theirs, ...address }: ToStore): void => {
      const refuse = (refused: string): void => void socket.end(`${JSON.stringify({ refused } satisfies FromStore)}\n`);
      if (theirs !== size)
        return refuse(`rank ${rank} says that there are ${theirs} ranks, and rank 0 that ${size} are`);
      if (!(Number.isInteger(rank) && rank > 0 && rank < size))
        return refuse(`a rank ${rank} has come; with ${size} they are 0 to ${size - 1}`);
      if (addresses[rank]) return refuse(`two processes say that they are rank ${rank}`);
      addresses[rank] = address;
      sockets.set(rank, socket);
      if (missing().length === 0) end();
    };
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined);
      readLine(socket).then(
        (line) => hear(socket, line as ToStore),
        () => socket.destroy(),
      );
    });
    server.on("error", (error) =>
      end(
        new Error(
          `tcp: rank 0 cannot listen on port ${port}: ${error.message}. Choose another by MASTER_PORT, and let MASTER_ADDR be rank 0's machine.`,
        ),
      ),
    );
    server.listen(port, () => {
      if (size === 1) end();
    });
  });
}

async function askStore(
  { host, port }: StorePlace,
  rank: number,
  size: number,
  own: RankAddress,
  deadline: number,
): Promise<Meeting> {
  const ends = performance.now() + 1000 * deadline;
  let last = "";
  while (performance.now() < ends) {
    const socket = net.connect({ host, port });
    try {
      await new Promise<void>((resolve, reject) => socket.once("connect", () => resolve()).once("error", reject));
      socket.write(`${JSON.stringify({ ...own, rank, size } satisfies ToStore)}\n`);
      socket.setTimeout(Math.max(1, ends - performance.now()), () => socket.destroy(new Error("no answer")));
      const answer = (await readLine(socket)) as FromStore;
      if ("refused" in answer) throw new Refused(`tcp: ${answer.refused}. ${remedy}`);
      return answer;
    } catch (error) {
      if (error instanceof Refused) throw error;
      last = (error as Error).message;
      await setTimeout(AGAIN_MS);
    } finally {
      socket.destroy();
    }
  }
  throw new Error(
    `tcp: rank ${rank} did not hear from the store of rank 0 at ${host}:${port} within ${deadline} s (${last}). ${remedy}`,
  );
}

class Refused extends Error {}

/** The first line that comes, as JSON. */
function readLine(socket: net.Socket): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (part: string) => {
      text += part;
      const end = text.indexOf("\n");
      if (end < 0) return;
      try {
        resolve(JSON.parse(text.slice(0, end)));
      } catch (error) {
        reject(error);
      }
    });
    socket.on("error", reject).on("close", () => reject(new Error("the connection has ended")));
  });
}
