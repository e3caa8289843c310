// Question: when does each of many clients of a server get its tokens?
//
// A thread: for a message with prompts it asks for all of their texts at once, each as a stream of the likeliest tokens,
// and answers with the times of their tokens since it asked, in milliseconds, and how many there were.

import { Agent, request } from "node:http";
import { parentPort } from "node:worker_threads";

export interface Asked {
  readonly url: string;
  readonly prompts: readonly (readonly number[])[];
  readonly written: number;
}

export interface Read {
  readonly ms: readonly number[];
  readonly written: number;
}

const agent = new Agent({ keepAlive: true });

function ask(url: string, prompt: readonly number[], written: number): Promise<Read> {
  const body = JSON.stringify({
    prompt,
    max_tokens: written,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const ms: number[] = [];
    let rest = "";
    let count = 0;
    const asking = request(`${url}v1/completions`, {
      agent,
      method: "POST",
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
    });
    asking.on("error", reject);
    asking.on("response", (response) => {
      response.setEncoding("utf8");
      if (response.statusCode !== 200) return reject(new Error(`the server answers ${response.statusCode}`));
      response.on("data", (text: string) => {
        const now = performance.now() - start;
        const events = (rest + text).split("\n\n");
        rest = events.pop()!;
        for (const event of events) {
          if (event.includes('"finish_reason":null')) ms.push(now);
          else count = Number(/"completion_tokens":(\d+)/.exec(event)?.[1] ?? count);
        }
      });
      response.on("error", reject);
      response.on("end", () => resolve({ ms, written: count }));
    });
    asking.end(body);
  });
}

parentPort!.on("message", ({ url, prompts, written }: Asked) => {
  void Promise.all(prompts.map((prompt) => ask(url, prompt, written))).then((read) => parentPort!.postMessage(read));
});
