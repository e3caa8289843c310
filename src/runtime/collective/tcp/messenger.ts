// Question: how do messages go without MPI?
//
// By one connection between each two ranks. A message is a head, its tag and its length, and its bytes; it waits at the
// receiver until somebody asks for it. Connections move only while the process lets other things have a turn, so nothing
// travels while it computes: MPI is the better way where it is there, and what must be fast goes between GPUs.

import { writeSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import { setImmediate, setTimeout } from "node:timers/promises";
import { CollectiveError, type Values } from "../collective.ts";
import { ABORT_CODE, type Launched, type StorePlace } from "../launched.ts";
import type { Message, Messenger } from "../over-messages.ts";
import { hostsHere, meet, type RankAddress } from "./store.ts";

/** Seconds for which a rank looks again at once. */
const EAGER = 0.002;
const HEAD = 8;

interface Peer {
  readonly socket: net.Socket;
  /** By tag: what has come, and who waits. */
  readonly come: Map<number, Uint8Array[]>;
  readonly asked: Map<number, Waiting[]>;
  /** The connection has ended before the job. */
  gone: boolean;
}

interface Waiting {
  readonly into: Uint8Array;
  done: boolean;
  wrong?: Error;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Values): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const take = <T>(lists: Map<number, T[]>, tag: number): T | undefined => {
  const list = lists.get(tag);
  const first = list?.shift();
  if (list?.length === 0) lists.delete(tag);
  return first;
};
const put = <T>(lists: Map<number, T[]>, tag: number, value: T): void => {
  const list = lists.get(tag);
  if (list) list.push(value);
  else lists.set(tag, [value]);
};

/**
 * Meet the other ranks, and connect to each.
 *
 * @param deadline seconds until all must have come
 */
export async function enterTcp(
  { rank, size }: Pick<Launched, "rank" | "size">,
  place: StorePlace,
  deadline: number,
): Promise<Messenger> {
  const peers = new Map<number, Peer>();
  let left = false;
  const add = (other: number, socket: net.Socket): void => {
    socket.setNoDelay(true);
    const peer: Peer = { socket, come: new Map(), asked: new Map(), gone: false };
    peers.set(other, peer);
    hear(socket, (tag, bytes) => {
      const waiting = take(peer.asked, tag);
      if (waiting) deliver(waiting, bytes, other);
      else put(peer.come, tag, bytes);
    });
    socket.on("error", () => undefined).on("close", () => (peer.gone = true));
  };

  // Connections may come before this rank has heard who is who.
  const early: { readonly token: string; readonly rank: number; readonly socket: net.Socket }[] = [];
  let welcome = (each: (typeof early)[number]): void => void early.push(each);
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    const first = (chunk: Buffer): void => {
      const end = chunk.indexOf(10);
      if (end < 0) return void socket.destroy();
      socket.pause().off("data", first);
      if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
      const [token = "", other = ""] = chunk.subarray(0, end).toString("utf8").split(" ");
      welcome({ token, rank: Number(other), socket });
    };
    socket.on("data", first);
  });
  await new Promise<void>((resolve, reject) => server.on("error", reject).listen(0, resolve));
  const own: RankAddress = {
    hosts: hostsHere(),
    machine: os.hostname(),
    port: (server.address() as net.AddressInfo).port,
  };
  try {
    const { addresses, token } = await meet(place, rank, size, own, deadline);
    welcome = ({ token: theirs, rank: other, socket }) => {
      if (theirs === token && other > rank && other < size && !peers.has(other)) add(other, socket);
      else socket.destroy();
    };
    for (const each of early.splice(0)) welcome(each);
    for (let other = 0; other < rank; other++) {
      const socket = await reach(addresses[other]!, other, rank);
      socket.write(`${token} ${rank}\n`);
      add(other, socket);
    }
    const ends = performance.now() + 1000 * deadline;
    while (peers.size < size - 1) {
      if (performance.now() > ends) throw new Error(`tcp: not all ranks reach rank ${rank}; open its ports to them.`);
      await setTimeout(1);
    }
  } catch (error) {
    for (const { socket } of peers.values()) socket.destroy();
    throw error;
  } finally {
    server.close();
  }

  const peerOf = (other: number): Peer => peers.get(other)!;
  const expectThere = (other: number): void => {
    if (left || !peerOf(other).gone) return;
    throw new CollectiveError(
      `tcp: rank ${other} has ended before rank ${rank}, or cannot be reached. Look at what it wrote, and start again from the last checkpoint.`,
      [other],
    );
  };
  return {
    name: "tcp",
    rank,
    size,
    send(values, to, tag): Message {
      expectThere(to);
      let done = false;
      const bytes = bytesOf(values);
      const head = Buffer.alloc(HEAD);
      head.writeUInt32LE(tag, 0);
      head.writeUInt32LE(bytes.length, 4);
      const { socket } = peerOf(to);
      socket.write(head);
      // What is small is copied, and need not be waited for.
      if (bytes.length <= 1024) {
        socket.write(bytes.slice());
        done = true;
      } else socket.write(bytes, () => (done = true));
      return {
        peer: to,
        test() {
          if (!done) expectThere(to);
          return done;
        },
      };
    },
    receive(into, from, tag): Message {
      const peer = peerOf(from);
      const waiting: Waiting = { into: bytesOf(into), done: false };
      const come = take(peer.come, tag);
      if (come) deliver(waiting, come, from);
      else put(peer.asked, tag, waiting);
      return {
        peer: from,
        test() {
          if (waiting.wrong) throw waiting.wrong;
          if (!waiting.done) expectThere(from);
          return waiting.done;
        },
      };
    },
    pause: (waited) => (waited < EAGER ? setImmediate() : setTimeout(1)),
    abort(message) {
      // Written at once: the process ends before a stream would be emptied.
      writeSync(2, `birkhoff: rank ${rank} of ${size}: ${message}\n`);
      process.exit(ABORT_CODE);
    },
    async leave() {
      left = true;
      const open = [...peers.values()].filter(({ gone }) => !gone);
      await Promise.all(
        open.map(({ socket }) => new Promise<void>((resolve) => void socket.once("close", () => resolve()).end())),
      );
    },
  };
}

function deliver(waiting: Waiting, bytes: Uint8Array, from: number): void {
  if (bytes.length !== waiting.into.length)
    waiting.wrong = new Error(
      `tcp: rank ${from} sent ${bytes.length} bytes where ${waiting.into.length} are waited for; the ranks do not do the same. Start them with the same command and version.`,
    );
  else waiting.into.set(bytes);
  waiting.done = true;
}

/** Split what comes into messages. */
function hear(socket: net.Socket, onMessage: (tag: number, bytes: Uint8Array) => void): void {
  const head = Buffer.alloc(HEAD);
  let [headFilled, filled] = [0, 0];
  let body: Uint8Array | undefined;
  socket.on("data", (chunk: Buffer) => {
    for (let at = 0; at < chunk.length;) {
      if (!body) {
        const many = Math.min(HEAD - headFilled, chunk.length - at);
        chunk.copy(head, headFilled, at, at + many);
        headFilled += many;
        at += many;
        if (headFilled < HEAD) return;
        body = new Uint8Array(head.readUInt32LE(4));
        filled = 0;
      }
      const many = Math.min(body.length - filled, chunk.length - at);
      body.set(chunk.subarray(at, at + many), filled);
      filled += many;
      at += many;
      if (filled < body.length) return;
      onMessage(head.readUInt32LE(0), body);
      body = undefined;
      headFilled = 0;
    }
  });
  socket.resume();
}

async function reach({ hosts, machine, port }: RankAddress, other: number, rank: number): Promise<net.Socket> {
  const tried: string[] = [];
  for (const host of machine === os.hostname() ? ["127.0.0.1", ...hosts] : hosts) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = net.connect({ host, port, timeout: 5000 }, () => resolve(socket.setTimeout(0)));
        socket.once("error", reject).once("timeout", () => socket.destroy(new Error("no answer")));
      });
    } catch (error) {
      tried.push(`${host}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `tcp: rank ${rank} cannot reach rank ${other} on ${machine}, port ${port} (${tried.join("; ")}); allow connections between the machines of the job.`,
  );
}
