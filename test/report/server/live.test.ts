// The stream of events: no record is missed or repeated, also when the server was started again in between.

import fs from "node:fs";
import path from "node:path";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { startPageBeside } from "../../../src/report/server/beside.ts";
import { listen, type PageServer } from "../../../src/report/server/listen.ts";
import { createLiveFeed, MOST_STREAMS } from "../../../src/report/server/live-events.ts";
import { createPlaces } from "../../../src/report/server/places.ts";
import type { Curves, LiveCards, LiveRecords } from "../../../src/report/server/messages.ts";
import { type CurveName, curves } from "../../../src/training/scalars.ts";
import { gainLine, makeRoot, metricLine, type Workplace, writeRun } from "./runs.ts";

/** The page is built by npm test, not by this file. */
const isBuilt = fs.existsSync(new URL("../../../dist/web/index.html", import.meta.url));
let place: Workplace;
let server: PageServer;
const servers: PageServer[] = [];

async function serve(port = 0): Promise<PageServer> {
  server = await listen({ root: place.root, host: "127.0.0.1", port, page: new Map() });
  servers.push(server);
  return server;
}
beforeEach(async () => {
  place = makeRoot();
  writeRun(place.at("a"), { done: 10 });
  writeRun(place.at("b"), { done: 20 });
  await serve();
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((each) => each.close()));
  place.remove();
});

interface Message {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

/** A browser's EventSource, as far as it is needed here. */
async function subscribe(
  query: string,
  lastEventId?: string,
): Promise<{ next(event: string): Promise<Message>; close(): void }> {
  const stop = new AbortController();
  const response = await fetch(`${server.url}api/live?${query}`, {
    signal: stop.signal,
    ...(lastEventId === undefined ? {} : { headers: { "last-event-id": lastEventId } }),
  });
  expect(response.status).toBe(200);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const next = async (event: string): Promise<Message> => {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end >= 0) {
        const fields = new Map(
          text
            .slice(0, end)
            .split("\n")
            .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        text = text.slice(end + 2);
        if (fields.get("event") === event) return { event, id: fields.get("id")!, data: fields.get("data")! };
        continue;
      }
      const { done, value } = await reader.read();
      if (done) throw new Error("The stream ended.");
      text += value;
    }
  };
  return { next, close: () => stop.abort() };
}
const recordsOf = ({ data }: Message): LiveRecords => JSON.parse(data) as LiveRecords;
const stepsOf = (message: Message): unknown[] => recordsOf(message).rows.map(([step]) => step);
const cursorOf = async (run: string): Promise<string> =>
  ((await (await fetch(`${server.url}api/curves?run=${run}`)).json()) as Curves).cursor;

const rest = { gradientNorm: 1, learningRate: 1e-3, tokensPerSecond: 1000 };
const row = (step: number, seconds: number | null, values: Partial<Record<CurveName, unknown>>): unknown[] => [
  step,
  seconds,
  ...curves.map(({ curve: { name } }) => values[name] ?? null),
];

describe("records", () => {
  test("come as they are written, whole lines only, from where the curves ended", async () => {
    const from = [await cursorOf("a"), await cursorOf("b")].join("_");
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(11) + metricLine(12).slice(0, 20));
    const live = await subscribe(`run=a&run=b&from=${from}`);
    const first = await live.next("records");
    expect(recordsOf(first)).toMatchObject({ run: "a", reset: false, texts: false });
    expect(recordsOf(first).rows).toEqual([row(11, 5.5, { ...rest, loss: expect.any(Number) })]);
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(12).slice(20));
    expect(stepsOf(await live.next("records"))).toEqual([12]);
    fs.appendFileSync(place.at("b", "gains.jsonl"), gainLine(30));
    expect(recordsOf(await live.next("records"))).toMatchObject({
      run: "b",
      rows: [row(30, null, { forwardGain: 31, backwardGain: 32 })],
    });
    fs.appendFileSync(place.at("b", "metrics.jsonl"), metricLine(31, { loss: "NaN" }));
    const [last] = recordsOf(await live.next("records")).rows;
    expect(last).toEqual(row(31, 15.5, { ...rest, loss: "not finite" }));
    fs.appendFileSync(place.at("b", "samples.txt"), 'step 1, prompt "a"\n  ab\n\n');
    expect(recordsOf(await live.next("records"))).toMatchObject({ run: "b", rows: [], texts: true });
    live.close();
  });

  test("go on without gap or repetition after the server was started again", async () => {
    const from = await cursorOf("a");
    const live = await subscribe(`run=a&from=${from}`);
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(11));
    const { id } = await live.next("records");
    const { port } = server;
    await server.close();
    await expect(live.next("records")).rejects.toThrow();
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(12) + metricLine(13));
    await serve(port);
    const again = await subscribe(`run=a&from=${from}`, id);
    expect(stepsOf(await again.next("records"))).toEqual([12, 13]);
    fs.appendFileSync(place.at("a", "metrics.jsonl"), metricLine(14));
    expect(stepsOf(await again.next("records"))).toEqual([14]);
    again.close();
  });

  test("of a run that went back to a checkpoint are void, connected or not", async () => {
    const from = await cursorOf("a");
    const live = await subscribe(`run=a&from=${from}`);
    await live.next("cards");
    fs.writeFileSync(place.at("a", "new"), metricLine(1) + metricLine(2));
    fs.renameSync(place.at("a", "new"), place.at("a", "metrics.jsonl"));
    expect(recordsOf(await live.next("records"))).toMatchObject({ run: "a", rows: [], reset: true });
    live.close();
    const later = await subscribe(`run=a&from=${from}`);
    expect(recordsOf(await later.next("records")).reset).toBe(true);
    later.close();
  });

  test("are not followed from a position that is none", async () => {
    for (const query of [
      "run=a",
      "run=a&from=x",
      "run=a&run=b&from=1-2",
      "run=a&from=-1-2",
      "run=a&from=99999999999999999999-1",
    ]) {
      expect((await fetch(`${server.url}api/live?${query}`)).status, query).toBe(400);
    }
  });
});

test("cards come when a run begins, changes or is removed", async () => {
  const live = await subscribe("");
  const cardsOf = async (): Promise<LiveCards> => JSON.parse((await live.next("cards")).data) as LiveCards;
  const first = await cardsOf();
  expect([first.cards.length, first.whole]).toEqual([2, true]);
  writeRun(place.at("c"), { done: 1 });
  expect((await cardsOf()).cards.map(({ id }) => id)).toEqual(["c"]);
  fs.appendFileSync(place.at("c", "metrics.jsonl"), metricLine(2));
  expect((await cardsOf()).cards).toMatchObject([{ id: "c", step: 2 }]);
  fs.rmSync(place.at("c"), { recursive: true });
  expect(await cardsOf()).toEqual({ cards: [], removed: ["c"], whole: false });
  live.close();
  for (const run of ["a", "b"]) fs.rmSync(place.at(run), { recursive: true });
  // What was removed while nobody listened is missing in the first message of the next stream, be it empty.
  await expect
    .poll(async () => (await (await fetch(`${server.url}api/runs`)).json()) as unknown)
    .toMatchObject({
      cards: [],
    });
  const again = await subscribe("");
  expect(JSON.parse((await again.next("cards")).data)).toEqual({ cards: [], removed: [], whole: true });
  again.close();
});

test("all pages share one look at the runs", async () => {
  let looks = 0;
  const feed = createLiveFeed(createPlaces(place.root), { list: () => (looks++, []) });
  const app = new Hono();
  app.get("/", (context) => streamSSE(context, (stream) => feed.send(stream, [])));
  const pages = await Promise.all(Array.from({ length: 30 }, async () => (await app.request("/")).body!.getReader()));
  await Promise.all(pages.map((reader) => reader.read()));
  looks = 0;
  const started = performance.now();
  await new Promise((done) => setTimeout(done, 1500));
  // One page alone would look this often.
  expect(looks).toBeLessThan(3 + (performance.now() - started) / 280);
  expect(looks).toBeGreaterThan(1);
  await Promise.all(pages.map((reader) => reader.cancel()));
  await new Promise((done) => setTimeout(done, 400));
  const before = looks;
  await new Promise((done) => setTimeout(done, 700));
  expect(looks).toBe(before);
});

test("a request for the head of the stream leaves nothing behind", async () => {
  const stats = vi.spyOn(fs, "statSync");
  for (let i = 0; i < 20; i++) {
    const { status, headers } = await fetch(`${server.url}api/live`, { method: "HEAD" });
    expect([status, headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  }
  stats.mockClear();
  await new Promise((done) => setTimeout(done, 700));
  expect(stats).not.toHaveBeenCalled();
  stats.mockRestore();
});

test("more pages than there may be are told so, and a place that becomes free is taken", async () => {
  const open = await Promise.all(Array.from({ length: MOST_STREAMS }, async () => subscribe("")));
  await Promise.all(open.map((live) => live.next("cards")));
  const refused = await fetch(`${server.url}api/live`);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toEqual({ error: expect.stringContaining(`${MOST_STREAMS} pages are open already`) });
  expect((await fetch(`${server.url}api/live`, { method: "HEAD" })).status).toBe(503);
  open[0]!.close();
  await expect
    .poll(async () => (await fetch(`${server.url}api/live`, { method: "HEAD" })).status, { timeout: 5000 })
    .toBe(200);
  for (const live of open) live.close();
}, 20_000);

test("a port that is taken is an error that names another; --page takes the next one", async () => {
  await expect(serve(server.port)).rejects.toThrow(
    `Port ${server.port} is taken, perhaps by another birkhoff serve. Take another: --port ${server.port + 1}`,
  );
});

test.skipIf(!isBuilt)("a server beside a training hands on what its page asks for", async () => {
  // As a user gives it: what is heard names it the same.
  const given = path.relative(".", place.at("a"));
  const beside = await startPageBeside(place.root, [given], server.port);
  let hear: (heard: unknown[]) => void = () => undefined;
  const heard = (): Promise<unknown[]> => new Promise((resolve) => (hear = resolve));
  beside.listen((...ask) => hear(ask));
  const { origin } = new URL(beside.url);
  expect(new URL(beside.url).port).not.toBe(String(server.port));
  const ask = async (body: unknown): Promise<number> => {
    const headers = { origin, "content-type": "application/json" };
    return (await fetch(`${beside.url}api/control`, { method: "POST", headers, body: JSON.stringify(body) })).status;
  };
  const all = heard();
  expect(await ask({ action: "stop" })).toBe(202);
  expect(await all).toEqual(["stop", undefined]);
  const one = heard();
  expect(await ask({ action: "checkpoint", run: "a" })).toBe(202);
  expect(await one).toEqual(["checkpoint", given]);
  expect([await ask({ action: "stop", run: "b" }), await ask({ action: "stop", run: "../a" })]).toEqual([409, 404]);
  const { cards } = (await (await fetch(`${beside.url}api/runs`)).json()) as LiveCards;
  expect(Object.fromEntries(cards.map(({ id, controlled }) => [id, controlled]))).toEqual({ a: true, b: false });
  await beside.close();
});
