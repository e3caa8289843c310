// The watch notices a rank that is gone, silent or still, and names it.

import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import {
  type FromRank,
  type FromWatch,
  lineOf,
  linesOf,
  type WatchAddress,
} from "../../../src/runtime/collective/watch/protocol.ts";
import { startWatch, type Watch } from "../../../src/runtime/collective/watch/server.ts";

let watch: Watch | undefined;
const sockets: net.Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  watch?.close();
});

interface Rank {
  readonly heard: FromWatch["kind"][];
  say(message: FromRank): void;
  cut(): void;
}

/** A rank by its connection alone. */
async function connect({ port, token }: WatchAddress, rank: number): Promise<Rank> {
  const heard: FromWatch["kind"][] = [];
  const socket = await new Promise<net.Socket>((resolve) => {
    const made = net.connect({ host: "127.0.0.1", port }, () => resolve(made));
  });
  sockets.push(socket);
  socket.setEncoding("utf8").on(
    "data",
    linesOf((line) => void heard.push((line as FromWatch).kind)),
  );
  socket.on("error", () => undefined);
  const say = (message: FromRank): void => void socket.write(lineOf(message));
  say({ kind: "hello", token, rank, pid: 1000 + rank, machine: "here" });
  return { heard, say, cut: () => socket.destroy() };
}

async function watched(silence?: number): Promise<{ trouble: Promise<string>; ranks: Rank[] }> {
  let tell: (message: string) => void = () => undefined;
  const trouble = new Promise<string>((resolve) => (tell = resolve));
  watch = await startWatch({ onTrouble: tell, ...(silence === undefined ? {} : { silence }) });
  const ranks = [await connect(watch.address, 0), await connect(watch.address, 1)];
  await expect.poll(() => watch!.processes().length).toBe(2);
  return { trouble, ranks };
}

test("a connection that ends without a word", async () => {
  const { trouble, ranks } = await watched();
  ranks[1]!.cut();
  expect(await trouble).toContain("rank 1 (process 1001 on here) has ended before the others");
  await expect.poll(() => ranks[0]!.heard).toContain("end");
});

test("a rank that says nothing any more, while the other beats", async () => {
  const { trouble, ranks } = await watched(1200);
  const beats = setInterval(() => ranks[0]!.say({ kind: "beat" }), 200);
  expect(await trouble).toMatch(/rank 1 \(process 1001 on here\) hangs: nothing was heard of it for \d s/);
  clearInterval(beats);
});

test("a watch that was stopped itself finds nobody missing", async () => {
  const { trouble, ranks } = await watched(1200);
  let told = false;
  void trouble.then(() => (told = true));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
  for (let beat = 0; beat < 5; beat++) {
    for (const rank of ranks) rank.say({ kind: "beat" });
    await sleep(200);
  }
  expect(told).toBe(false);
});

test("a rank whose step stands still", async () => {
  const { trouble, ranks } = await watched();
  ranks[0]!.say({ kind: "beat" });
  ranks[0]!.say({ kind: "beat", still: 9 });
  expect(await trouble).toContain(
    "rank 0 (process 1000 on here) hangs: it is alive, and its step has not moved for 9 s",
  );
});

test("a rank that leaves is not missed, a stranger is not heard, and rank 0 hears of an interrupt", async () => {
  const { trouble, ranks } = await watched();
  let told = false;
  void trouble.then(() => (told = true));
  ranks[1]!.say({ kind: "leave" });
  await expect.poll(() => watch!.processes().map(({ rank }) => rank)).toEqual([0]);
  ranks[1]!.cut();
  const stranger = await connect({ ...watch!.address, token: "other" }, 5);
  expect(watch!.interrupt()).toBe(true);
  await expect.poll(() => ranks[0]!.heard).toContain("interrupt");
  stranger.say({ kind: "beat" });
  expect(watch!.processes()).toHaveLength(1);
  expect(told).toBe(false);
});
