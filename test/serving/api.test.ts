// The API as its clients see it: OpenAI's own package, and what a client may do wrong.

import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { logProbability } from "../../src/model/sampling.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { readChatTemplate } from "../../src/serving/chat-template.ts";
import type { WrittenText } from "../../src/serving/engine.ts";
import { likelyOf } from "../../src/serving/likely.ts";
import { type ApiServer, listenForApi } from "../../src/serving/listen.ts";
import type { Served } from "../../src/serving/served.ts";
import type { TokenEvent } from "../../src/serving/writing.ts";
import { collect } from "../collect.ts";
import { normal, uniform } from "../ops/harness.ts";
import { servedOn } from "./served.ts";

let wasm: SynchronousRuntime;
let served: Served;
let server: ApiServer;
let client: OpenAI;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
  served = await servedOn(wasm);
  server = await listenForApi(served, { host: "127.0.0.1", port: 0, deadline: 60 });
  client = new OpenAI({ apiKey: "none", baseURL: `${server.url}v1`, maxRetries: 0 });
});
afterAll(async () => {
  await server.stop(1);
  wasm.close();
});

const post = (route: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}${route}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const model = "tiny";
const prompt = "the union of";

describe("the package openai", () => {
  test("lists the model", async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, max_model_len: 400 });
    await expect(client.models.retrieve("other")).rejects.toMatchObject({ status: 404 });
  });

  test("gets a completion, the same for the same seed, whole and as a stream", async () => {
    const asked = { model, prompt, max_tokens: 12, seed: 7, n: 3 };
    const whole = await client.completions.create(asked);
    expect(whole.usage).toMatchObject({ completion_tokens: 36, prompt_tokens: served.tokenizer.encode(prompt).length });
    expect(new Set(whole.choices.map(({ text }) => text)).size).toBe(3);
    expect(whole.choices.map(({ finish_reason }) => finish_reason)).toEqual(["length", "length", "length"]);
    const texts = ["", "", ""];
    const ends: unknown[] = [];
    let usage: unknown;
    const stream = await client.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      for (const { index, text, finish_reason } of chunk.choices) {
        texts[index] += text;
        if (finish_reason !== null) ends.push(finish_reason);
      }
      usage = chunk.usage ?? usage;
    }
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
    expect(ends).toEqual(["length", "length", "length"]);
    expect(usage).toEqual(whole.usage);
  });

  test("ends before a stop string", async () => {
    const { choices } = await client.completions.create({ model, prompt, max_tokens: 40, seed: 1 });
    const text = choices[0]!.text;
    const stop = text.slice(9, 12);
    const stopped = await client.completions.create({ model, prompt, max_tokens: 40, seed: 1, stop: [stop, "never"] });
    expect(stopped.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: "stop" });
    expect(stopped.usage!.completion_tokens).toBeLessThan(40);
  });

  test("sees the log-probabilities of the prompt, which sum to those of its parts", async () => {
    const asked = { model, max_tokens: 0, echo: true, logprobs: 3, temperature: 0 };
    const tokens = [...served.tokenizer.encode(prompt)];
    const { choices } = await client.completions.create({ ...asked, prompt: [tokens, tokens.slice(0, 4)] as never });
    const [whole, begin] = choices.map(({ logprobs }) => logprobs!);
    expect(choices[0]!.text).toBe(prompt);
    expect(whole!.tokens).toHaveLength(tokens.length);
    expect(whole!.tokens!.join("")).toBe(prompt);
    expect(whole!.token_logprobs![0]).toBeNull();
    // The same bits, whatever follows and whatever is read beside it.
    expect(whole!.token_logprobs!.slice(0, 4)).toEqual(begin!.token_logprobs);
    for (const [index, top] of whole!.top_logprobs!.entries()) {
      if (index === 0) continue;
      expect(top[whole!.tokens![index]!]).toBe(whole!.token_logprobs![index]);
      expect(Object.keys(top).length).toBeGreaterThanOrEqual(3);
    }
    expect(whole!.text_offset).toEqual(
      whole!.tokens!.map((_, index) => whole!.tokens!.slice(0, index).join("").length),
    );
  });

  test.each([false, true])("is told where each token's text begins (stream: %s)", async (stream) => {
    const asked = { model, prompt: "né 😀 the", max_tokens: 0, echo: true, logprobs: 0 };
    const choices = stream
      ? (await collect(await client.completions.create({ ...asked, stream }))).map(({ choices }) => choices[0]!)
      : (await client.completions.create(asked)).choices;
    const told = choices.flatMap(({ logprobs }) =>
      (logprobs?.tokens ?? []).map((token, index) => [token, logprobs!.text_offset![index]]),
    );
    const bytes = (text: string): string[] =>
      [...Buffer.from(text)].map((byte) => `bytes:\\x${byte.toString(16).padStart(2, "0")}`);
    expect(told).toEqual([
      ["n", 0],
      ...bytes("é").map((token) => [token, 1]),
      [" ", 2],
      ...bytes("😀").map((token) => [token, 3]),
      [" th", 5],
      ["e", 8],
    ]);
  });

  test("gets an answer in a chat, with log-probabilities, whole and as a stream", async () => {
    const messages = [
      { role: "system" as const, content: "be short" },
      { role: "user" as const, content: [{ type: "text" as const, text: "peace" }] },
    ];
    const asked = { model, messages, max_completion_tokens: 9, seed: 3 };
    const whole = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
    const { message, logprobs } = whole.choices[0]!;
    expect(message.role).toBe("assistant");
    expect(logprobs!.content).toHaveLength(9);
    expect(logprobs!.content!.every((each) => each.top_logprobs.length === 2)).toBe(true);
    const chunks = await collect(await client.chat.completions.create({ ...asked, stream: true }));
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? "").join("")).toBe(message.content);
    expect(chunks[0]!.choices[0]!.delta.role).toBe("assistant");
    expect(whole.usage!.prompt_tokens).toBe(
      served.tokenizer.encode("system: be short\nuser: peace\nassistant:").length,
    );
  });

  test("moves the likely tokens by a bias and by penalties", async () => {
    const [only] = served.tokenizer.encode("w");
    const biased = { model, prompt, max_tokens: 5, temperature: 0, logit_bias: { [only!]: 100 } };
    expect((await client.completions.create(biased)).choices[0]!.text).toBe("wwwww");
    const penalised = await client.completions.create({ ...biased, frequency_penalty: 100 });
    expect(penalised.choices[0]!.text.match(/w/g)!.length).toBeLessThan(5);
  });
});

describe("mistakes", () => {
  const cases: readonly [name: string, body: unknown, status: number, said: RegExp][] = [
    ["no JSON", "{", 400, /cannot be read: .*JSON.* Send one JSON object\./],
    ["no object", "3", 400, /3 is given; it must be/],
    ["a wrong type", { prompt, max_tokens: "many" }, 400, /max_tokens: "many" is given; it must be a number/],
    [
      "a prompt of no kind",
      { prompt: {} },
      400,
      /^prompt: .* is given; it must be a text or a list of tokens, which are whole numbers from 0, or it must be a list of at most 128 of them$/,
    ],
    ["a bias of no kind", { prompt, logit_bias: 3 }, 400, /logit_bias: 3 is given; it must be a group of fields/],
    ["out of range", { prompt, top_p: 0 }, 400, /top_p: 0 is given; it must be above 0/],
    ["another model", { prompt, model: "gpt-4" }, 404, /no model "gpt-4" here; this server has "tiny"/],
    ["too long", { prompt, max_tokens: 500 }, 400, /reads at most 400 tokens/],
    ["a token that is none", { prompt: [1, 9999] }, 400, /^prompt: token 9999 does not exist/],
    ["a bias of no token", { prompt, logit_bias: { 9999: 1 } }, 400, /^logit_bias: token 9999 does not exist/],
    ["a bias of no number", { prompt, logit_bias: { the: 1 } }, 400, /^logit_bias.the: .* must be a token's number/],
    ["too many texts", { prompt, n: 25 }, 400, /25 texts are asked for; at most 24/],
    ["what is not supported", { prompt, suffix: "end" }, 400, /suffix: it is not supported/],
  ];
  test.for(cases)("%s is refused", async ([, body, status, said]) => {
    const answer = await post("v1/completions", body);
    const { error } = (await answer.json()) as { error: { message: string; type: string } };
    expect([answer.status, error.type]).toEqual([status, "invalid_request_error"]);
    expect(error.message).toMatch(said);
  });

  test("of kind, size, name and way are refused", async () => {
    const { status: kind } = await post("v1/completions", { prompt }, { "content-type": "text/plain" });
    const { status: size } = await post("v1/completions", { prompt: "x".repeat(5 << 20) });
    const { status: way } = await fetch(`${server.url}v1/completions`);
    const name = await new Promise<number>((resolve) => {
      const headers = { host: "evil.example" };
      http.get(`${server.url}v1/models`, { headers }, (response) => resolve(response.statusCode!));
    });
    expect({ kind, size, way, name }).toEqual({ kind: 415, size: 413, way: 404, name: 403 });
  });

  test("tokens that a queue has no room for are refused with 429", async () => {
    const asked = { prompt, n: 20, max_tokens: 30 };
    const answers = await Promise.all([1, 2, 3].map(() => post("v1/completions", asked)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBe(2);
    expect(refused[0]!.headers.get("retry-after")).toBe("1");
    await Promise.all(answers.map((answer) => answer.text()));
  });
});

describe("a client that goes", () => {
  test.each([true, false])("takes its texts with it (stream: %s)", async (stream) => {
    const before = served.engine.meter.counts.cancelled;
    const controller = new AbortController();
    const going = fetch(`${server.url}v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt, n: 20, max_tokens: 350, ignore_eos: true, stream }),
      signal: controller.signal,
    });
    await expect.poll(() => served.engine.load.active, { interval: 1 }).toBe(8);
    controller.abort();
    await expect(going.then((answer) => answer.text())).rejects.toThrow("abort");
    await expect.poll(() => served.engine.load).toEqual({ active: 0, waiting: 0, draining: false });
    expect(served.engine.meter.counts.cancelled - before).toBeGreaterThan(10);
  });
});

test("pieces with a pace have all tokens of their time, the first at once, and nothing is lost", async () => {
  const paced = await listenForApi(served, { host: "127.0.0.1", port: 0, deadline: 60, pace: 1000 });
  const others = new OpenAI({ apiKey: "none", baseURL: `${paced.url}v1`, maxRetries: 0 });
  const asked = { model, prompt, max_tokens: 40, seed: 7, logprobs: 1, stream: true } as const;
  const [each, few] = await Promise.all(
    [client, others].map(async (one) => collect(await one.completions.create(asked))),
  );
  await paced.close();
  const textOf = (chunks: typeof each): string => chunks!.map(({ choices }) => choices[0]!.text).join("");
  const tokensOf = (chunks: typeof each): (readonly [string, number, number])[] =>
    chunks!.flatMap(({ choices: [choice] }) => {
      const { tokens = [], token_logprobs: likely = [], text_offset: offsets = [] } = choice!.logprobs ?? {};
      return tokens.map((token, index) => [token, likely[index]!, offsets[index]!] as const);
    });
  expect(each!.length).toBeGreaterThan(40);
  // The first, and one with the end.
  expect(few).toHaveLength(2);
  expect(textOf(few)).toBe(textOf(each));
  expect(tokensOf(few)).toEqual(tokensOf(each));
  expect(few!.at(-1)!.choices[0]!.finish_reason).toBe("length");
});

test("a deadline ends what is not ready", async () => {
  const late = await listenForApi(served, { host: "127.0.0.1", port: 0, deadline: 0.01 });
  const answer = await fetch(`${late.url}v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt, n: 20, max_tokens: 350 }),
  });
  expect(answer.status).toBe(504);
  expect(await answer.text()).toContain("deadline");
  await expect.poll(() => served.engine.load.active).toBe(0);
  await late.close();
});

test("a text that fails ends the stream of several, whatever the others still have to say", async () => {
  const event: TokenEvent = { token: 65, ofPrompt: false };
  async function* events(count: number): AsyncGenerator<TokenEvent> {
    for (let i = 0; i < count; i++) yield event;
    if (count === 0) throw new Error("no memory");
  }
  const submit = (requests: readonly unknown[]): WrittenText[] =>
    requests.map((_, index) => ({ events: events(100 * index), end: "length", stop() {} }));
  const engine = { ...served.engine, submit };
  const failing = await listenForApi({ ...served, engine }, { host: "127.0.0.1", port: 0, deadline: 60 });
  try {
    const answer = await fetch(`${failing.url}v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, prompt, n: 2, stream: true }),
    });
    expect(await answer.text()).toMatch(/data: \{"error":.*\n\n$/);
    expect((await fetch(`${failing.url}health`)).status).toBe(200);
  } finally {
    await failing.close();
  }
});

test("a key is asked for, but not by /health", async () => {
  const locked = await listenForApi(served, { host: "127.0.0.1", port: 0, deadline: 60, key: "secret-key" });
  const models = (authorization: string): Promise<Response> =>
    fetch(`${locked.url}v1/models`, { headers: { authorization } });
  const statuses = await Promise.all([models(""), models("Bearer other-key"), models("Bearer secret-key")]);
  expect(statuses.map(({ status }) => status)).toEqual([401, 401, 200]);
  expect((await fetch(`${locked.url}health`)).status).toBe(200);
  await locked.close();
});

test("a route that is not there is answered with those that are", async () => {
  const { error } = (await (await fetch(`${server.url}v1/completions`)).json()) as { error: { message: string } };
  expect(error.message).toBe(
    "There is no GET /v1/completions here; this server has POST /v1/completions, POST /v1/chat/completions, " +
      "GET /v1/models, GET /v1/models/:name, POST /tokenize, POST /detokenize, GET /health, GET /metrics.",
  );
});

test("messages that a template refuses are a mistake of the client", async () => {
  const template = {
    ...served.template,
    prompt() {
      throw new Error("the roles must alternate");
    },
  };
  const strict = await listenForApi({ ...served, template }, { host: "127.0.0.1", port: 0, deadline: 60 });
  for (const route of ["v1/chat/completions", "tokenize"]) {
    const answer = await fetch(`${strict.url}${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "peace" }] }),
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain("messages: the roles must alternate");
  }
  await strict.close();
});

test("texts become tokens and come back", async () => {
  const tokens = (await (await post("tokenize", { prompt })).json()) as { tokens: number[] };
  expect(tokens.tokens).toEqual([...served.tokenizer.encode(prompt)]);
  expect(await (await post("detokenize", tokens)).json()).toEqual({ prompt });
});

test("a prompt of megabytes holds up no other, and a list that is wrong everywhere is told at once", async () => {
  const long = "The union of 48 states keeps peace. ".repeat(40_000);
  const order: string[] = [];
  const tokens = post("tokenize", { prompt: long }).then(async (answer) => {
    order.push("long");
    return (await answer.json()) as { tokens: number[] };
  });
  const short = post("v1/completions", { prompt, max_tokens: 3 }).then(async (answer) => {
    order.push("short");
    return answer.status;
  });
  expect(await short).toBe(200);
  expect((await tokens).tokens.join()).toBe(served.tokenizer.encode(long).join());
  expect(order).toEqual(["short", "long"]);
  const wrong = [
    { prompt: Array.from({ length: 1e5 }, () => -1) },
    { prompt, stop: Array.from({ length: 1e5 }, () => 0) },
    { prompt, logit_bias: Object.fromEntries(Array.from({ length: 5e4 }, (_, index) => [`t${index}`, 1])) },
  ];
  for (const body of wrong) expect((await post("v1/completions", body)).status).toBe(400);
  const messages = Array.from({ length: 2e4 }, () => ({ role: 1 }));
  expect(await (await post("v1/chat/completions", { messages })).text()).toContain("at most 1,024 values");
});

test("Prometheus sees latencies and counts", async () => {
  const text = await (await fetch(`${server.url}metrics`)).text();
  const value = (name: string): number => Number(new RegExp(`^birkhoff_serve_${name} (.+)$`, "m").exec(text)?.[1]);
  const quantile = (share: number): number => value(`next_token_seconds\\{quantile="${share}"\\}`);
  expect(quantile(0.5)).toBeGreaterThan(0);
  expect(quantile(0.99)).toBeGreaterThanOrEqual(quantile(0.5));
  expect(value("next_token_seconds_max")).toBeGreaterThanOrEqual(quantile(0.99));
  expect(value("written_tokens_total")).toBe(served.engine.meter.counts.writtenTokens);
  expect(value("batch_invariant")).toBe(1);
});

test("a template of the tokenizer's own is used", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-template-"));
  const file = path.join(folder, "tokenizer_config.json");
  const template = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
  fs.writeFileSync(file, JSON.stringify({ bos_token: { content: "<s>" }, chat_template: template }));
  const { prompt: write, complete } = await readChatTemplate(folder);
  expect(write([{ role: "user", content: "hi" }])).toBe("<s><user>hi<assistant>");
  expect(complete).toBe(true);
  fs.writeFileSync(file, JSON.stringify({ chat_template: "{% for %}" }));
  await expect(readChatTemplate(folder)).rejects.toThrow(`${file}: its chat template cannot be read`);
  fs.rmSync(folder, { recursive: true });
});

test("log-probabilities are those of the sampler", () => {
  const random = uniform(3);
  const scores = Float32Array.from({ length: 50 }, () => normal(random));
  const { logProbability: value, best } = likelyOf(scores, 7, 4);
  expect(value).toBe(logProbability(scores, 7));
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  expect(best).toEqual(order.slice(0, 4).map((token) => [token, logProbability(scores, token)]));
});
