// A server that is used roughly loses no request and keeps its memory: clients that go at any time, some that read
// slowly, some that send nonsense. BIRKHOFF_SOAK says how many requests; with 2000 its memory is looked at too.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { listenForApi } from "../../src/serving/listen.ts";
import { uniform } from "../ops/harness.ts";
import { servedOn } from "./served.ts";

const REQUESTS = Number(process.env["BIRKHOFF_SOAK"] ?? 160);
const CLIENTS = 24;
/** Different texts; their answers are known. */
const TEXTS = 12;

interface Answer {
  readonly choices: readonly { readonly text: string }[];
}

test(
  `${REQUESTS} requests of ${CLIENTS} clients`,
  async () => {
    const wasm = await createWasmRuntime({ threads: 1 });
    const served = await servedOn(wasm, { slots: 8, queue: 12 });
    const server = await listenForApi(served, { host: "127.0.0.1", port: 0, deadline: 300 });
    const random = uniform(11);
    const bodyOf = (text: number): object => ({
      prompt: "the union of states must keep peace ".repeat(1 + (text % 4)) + text,
      max_tokens: 10 + 3 * text,
      seed: text,
      ignore_eos: true,
      logprobs: text % 3 === 0 ? 2 : undefined,
      echo: text % 6 === 0,
    });
    const ask = (body: unknown, signal?: AbortSignal): Promise<Response> =>
      fetch(`${server.url}v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
        signal: signal ?? null,
      });
    const expected: string[] = [];
    for (let text = 0; text < TEXTS; text++)
      expected.push(((await (await ask(bodyOf(text))).json()) as Answer).choices[0]!.text);

    const counts = { answered: 0, streamed: 0, left: 0, refused: 0, nonsense: 0 };
    const one = async (text: number): Promise<void> => {
      const [kind, wait] = [random(), random()];
      if (kind < 0.05) {
        const { status } = await ask(kind < 0.025 ? "{" : { prompt: [1e9] });
        expect(status).toBe(400);
        counts.nonsense++;
        return;
      }
      if (kind < 0.3) {
        // It goes while it waits or reads, or after the end.
        const controller = new AbortController();
        const going = ask({ ...bodyOf(text), stream: kind < 0.2 }, controller.signal).then((answer) => answer.text());
        await Promise.race([sleep(60 * wait), going.catch(() => "")]);
        controller.abort();
        await going.catch(() => "");
        counts.left++;
        return;
      }
      for (;;) {
        const answer = await ask({ ...bodyOf(text), stream: kind > 0.7 });
        if (answer.status === 429) {
          counts.refused++;
          await answer.text();
          await sleep(20 + 40 * wait);
          continue;
        }
        expect(answer.status).toBe(200);
        if (kind <= 0.7) {
          expect(((await answer.json()) as Answer).choices[0]!.text).toBe(expected[text]);
          counts.answered++;
          return;
        }
        if (kind > 0.9) await sleep(30 * wait);
        const events = (await answer.text()).split("\n\n").filter((event) => event.includes('"choices"'));
        const pieces = events.map((event) => (JSON.parse(event.slice(6)) as Answer).choices[0]!.text);
        expect(pieces.join("")).toBe(expected[text]);
        counts.streamed++;
        return;
      }
    };

    let next = 0;
    const memory: number[] = [];
    const client = async (): Promise<void> => {
      while (next < REQUESTS) {
        const index = next++;
        if (index % 100 === 0) memory.push(process.memoryUsage.rss());
        await one(Math.floor(TEXTS * random()));
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    const { refused, ...done } = counts;
    expect(Object.values(done).reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
    expect(Math.min(...Object.values(done), refused)).toBeGreaterThan(0);
    await expect.poll(() => served.engine.load).toEqual({ active: 0, waiting: 0, draining: false });
    expect(served.engine.meter.counts.failed).toBe(0);
    if (REQUESTS >= 1000) {
      // Of the second half, against the first: V8's own heap goes up and down.
      const half = memory.length >> 1;
      const growth = Math.max(...memory.slice(half)) / Math.max(...memory.slice(0, half));
      process.stdout.write(`${JSON.stringify({ counts, memory, growth })}\n`);
      expect(growth).toBeLessThan(1.1);
    }
    await server.stop(1);
    wasm.close();
  },
  REQUESTS * 600 + 60_000,
);
