// Question: how does a server answer its first clients as fast as its later ones?
//
// An engine of JavaScript interprets a function at first and compiles it after some hundred calls, in threads that take
// the processors from the model meanwhile. So before it says that it is ready, a server answers requests of its own, by
// HTTP, of the kinds that clients send: one text, some, and as many as it writes at a time. It goes on until its times no
// longer fall, or for so many seconds. Then the engine forgets these texts (`renew`): neither a text nor a count depends
// on them.

import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { Agent, request } from "node:http";
import { streams, uniformInteger } from "../data/random.ts";
import { startServer } from "../report/server/listen.ts";
import type { Served } from "./served.ts";

export interface WarmUp {
  readonly seconds: number;
  /** Requests that were answered. */
  readonly requests: number;
  /** Whether times had stopped falling before the seconds were over. */
  readonly settled: boolean;
}

/** Seconds that a server warms up at most. */
export const WARM_UP_SECONDS = 4;

/** Tokens of a prompt, and of what is written after it. */
const [PROMPT, WRITTEN] = [32, 32];
/** Rounds of all sizes before it is asked whether times still fall: the latest are compared with those before them. */
const [LEAST_ROUNDS, LATEST] = [16, 6];
/** Times that are less than this share below the earlier ones do not fall. */
const FALLS = 0.02;

/** What clients send: every request is of the next kind. */
const kinds: readonly object[] = [
  { stream: true, temperature: 0, stream_options: { include_usage: true } },
  { stream: true, temperature: 1, top_p: 0.9 },
  { temperature: 1, top_k: 40, frequency_penalty: 0.1 },
  { stream: true, temperature: 0, logprobs: 2 },
];

/**
 * Let a server answer requests of its own.
 *
 * @param served whose engine has no texts
 * @param most seconds. Default: WARM_UP_SECONDS
 */
export async function warmUp(served: Served, most: number = WARM_UP_SECONDS): Promise<WarmUp> {
  const { engine, context, vocabulary } = served;
  const { createApi } = await import("./routes.ts");
  // Nobody else has the key.
  const [host, key] = ["127.0.0.1", randomUUID()];
  const server = await startServer(createApi(served, { host, key, deadline: 60 }).fetch, { host, port: 0 });
  const agent = new Agent({ keepAlive: true });
  const prompt = Math.max(1, Math.min(PROMPT, context >> 1));
  const written = Math.min(WRITTEN, context - prompt);
  const time = new AbortController();
  // As many requests listen as are under way; Node 20 warns of more than ten.
  setMaxListeners(0, time.signal);
  let requests = 0;
  const ask = (): Promise<void> => {
    const number = requests++;
    const body = JSON.stringify({
      prompt: Array.from({ length: prompt }, (_, at) => uniformInteger(number, streams.probing, at, vocabulary)),
      max_tokens: written,
      ignore_eos: true,
      seed: number,
      ...kinds[number % kinds.length],
    });
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
    return new Promise((resolve, reject) => {
      // What is not answered in time is given up.
      const fail = (error: Error): void => (time.signal.aborted ? resolve() : reject(error));
      request(`${server.address}v1/completions`, { agent, method: "POST", headers, signal: time.signal })
        .on("error", fail)
        .on("response", (response) => {
          response.on("error", fail).on("end", resolve).resume();
        })
        .end(body);
    });
  };

  const start = performance.now();
  const timer = setTimeout(() => time.abort(), 1000 * most);
  const { slots } = engine.options;
  const sizes = [1, Math.min(4, slots), slots];
  const rounds: number[] = [];
  let settled = false;
  while (!settled && !time.signal.aborted) {
    const began = performance.now();
    for (const size of sizes) if (!time.signal.aborted) await Promise.all(Array.from({ length: size }, ask));
    rounds.push(performance.now() - began);
    settled = rounds.length >= LEAST_ROUNDS && !falls(rounds);
  }
  clearTimeout(timer);
  agent.destroy();
  await server.close();
  await engine.renew();
  return { seconds: (performance.now() - start) / 1000, requests, settled };
}

/** Whether the latest times are below those before them. */
function falls(times: readonly number[]): boolean {
  const [before, latest] = [times.slice(-2 * LATEST, -LATEST), times.slice(-LATEST)];
  return Math.min(...latest) < (1 - FALLS) * Math.min(...before);
}
