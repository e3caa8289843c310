// Question: which requests does the API answer?
//
//   POST /v1/completions        texts after prompts, whole or as a stream of events
//   POST /v1/chat/completions   the answer to messages
//   GET  /v1/models             the one model, also by its name
//   POST /tokenize              {prompt} or {messages} → {count, max_model_len, tokens}
//   POST /detokenize            {tokens} → {prompt}
//   GET  /health                200 while texts are taken, 503 while the server is being stopped
//   GET  /metrics               latencies, loads and counts for Prometheus
//
// A request that ends before its answer takes its texts with it. So does its deadline.

import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { showBytes } from "../basics/show.ts";
import { reason } from "../files/errors.ts";
import { answerHead, formOf, usageOf, wholeChoice } from "./answers.ts";
import { apiGuard, type ApiAccess } from "./api-guard.ts";
import { asRequestError, errorBody, RequestError } from "./errors.ts";
import { openEvents } from "./events.ts";
import { servingMetrics } from "./metrics.ts";
import { piecesOf, type PlacedToken } from "./pieces.ts";
import { chatJob, completionJob, type Job, tokenizeRequest, detokenizeRequest } from "./requests.ts";
import type { Served } from "./served.ts";
import { createTurns } from "./turns.ts";

export interface ApiOptions extends ApiAccess {
  /** Seconds after which a request that is not answered ends. */
  readonly deadline: number;
  /** Milliseconds between two pieces of a streamed answer at least. Default: a piece for each token */
  readonly pace?: number | undefined;
}

const LONGEST_BODY = 4 << 20;

export function createApi(served: Served, { deadline, pace = 0, ...access }: ApiOptions): Hono {
  const { engine, tokenizer, name, created, context: length } = served;
  const app = new Hono();
  app.use(apiGuard(access));
  app.use(
    bodyLimit({
      maxSize: LONGEST_BODY,
      onError: (context) =>
        refuse(
          context,
          new RequestError(413, "too_large", `The body is too long; at most ${showBytes(LONGEST_BODY)} are read.`),
        ),
    }),
  );

  const turn = createTurns();
  const answering =
    (jobOf: (body: unknown, served: Served, signal: AbortSignal) => Promise<Job>) =>
    async (context: Context): Promise<Response> => {
      const watch = watchRequest(context.req.raw.signal, deadline);
      try {
        await turn();
        // Its client may have gone meanwhile, and the server with it.
        watch.signal.throwIfAborted();
        const body = await bodyOf(context);
        const job = await Promise.race([jobOf(body, served, watch.signal), aborted(watch.signal)]);
        watch.signal.throwIfAborted();
        if (job.stream) return streamed(context, job, served, watch, pace);
        return context.json(await whole(job, served));
      } catch (error) {
        watch.abort(error);
        throw error;
      } finally {
        // A stream goes on after this.
        if (!watch.streaming) watch.close();
      }
    };
  app.post("/v1/completions", answering(completionJob));
  app.post("/v1/chat/completions", answering(chatJob));

  const model = { id: name, object: "model", created, owned_by: "birkhoff", max_model_len: length };
  app.get("/v1/models", (context) => context.json({ object: "list", data: [model] }));
  app.get("/v1/models/:name", (context) => {
    if (context.req.param("name") === name) return context.json(model);
    throw new RequestError(
      404,
      "model_not_found",
      `There is no such model here; this server has ${JSON.stringify(name)}.`,
    );
  });
  app.post("/tokenize", async (context) => {
    const tokens = await tokenizeRequest(await bodyOf(context), served);
    return context.json({ count: tokens.length, max_model_len: length, tokens });
  });
  app.post("/detokenize", async (context) => {
    const tokens = detokenizeRequest(await bodyOf(context), served);
    return context.json({ prompt: tokenizer.decode(tokens) });
  });
  app.get("/health", (context) => {
    const { draining, ...load } = engine.load;
    return context.json({ status: draining ? "draining" : "ok", model: name, ...load }, draining ? 503 : 200);
  });
  app.get("/metrics", (context) =>
    context.body(servingMetrics(engine), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  app.notFound((context) =>
    refuse(
      context,
      new RequestError(
        404,
        "not_found",
        `There is no ${context.req.method} ${context.req.path} here; this server has ${showRoutes(app)}.`,
      ),
    ),
  );
  app.onError((error, context) => refuse(context, asRequestError(error)));
  return app;
}

function refuse(context: Context, error: RequestError): Response {
  const headers = error.status === 429 || error.status === 503 ? { "Retry-After": "1" } : undefined;
  return context.json(errorBody(error), error.status, headers);
}

const showRoutes = ({ routes }: Hono): string =>
  routes.flatMap(({ method, path }) => (method === "ALL" ? [] : [`${method} ${path}`])).join(", ");

/** What ends a request: its client goes, its time is over, or it fails. */
interface Watch {
  readonly signal: AbortSignal;
  /** Set when the answer is a stream, which then closes the watch. */
  streaming: boolean;
  abort(reason: unknown): void;
  close(): void;
}

function watchRequest(client: AbortSignal, deadline: number): Watch {
  const controller = new AbortController();
  const gone = (): void => controller.abort(new RequestError(503, "client_gone", "The client has gone."));
  const late = (): void =>
    controller.abort(
      new RequestError(
        504,
        "deadline",
        `The answer was not ready after ${deadline} s, the server's deadline. Ask for fewer tokens, or try again later.`,
      ),
    );
  const timer = setTimeout(late, 1000 * deadline);
  if (client.aborted) gone();
  client.addEventListener("abort", gone);
  return {
    signal: controller.signal,
    streaming: false,
    abort: (reason) => controller.abort(reason),
    close() {
      clearTimeout(timer);
      client.removeEventListener("abort", gone);
    },
  };
}

/** Rejects when a signal is aborted. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });

async function bodyOf(context: Context): Promise<unknown> {
  // A page of another site may send a form or plain text without asking, but not JSON.
  if (!/^application\/json\b/i.test(context.req.header("content-type") ?? ""))
    throw new RequestError(415, "not_json", "The body must be JSON: send the header Content-Type: application/json.");
  try {
    return await context.req.json();
  } catch (error) {
    throw new RequestError(400, "not_json", `The body cannot be read: ${reason(error)}. Send one JSON object.`);
  }
}

/** The whole answer to a job. */
async function whole(job: Job, served: Served): Promise<object> {
  const form = formOf(job.kind);
  const texts = served.engine.submit(job.texts);
  const answers = await Promise.all(
    texts.map((text, index) =>
      wholeChoice(
        piecesOf(text, served.tokenizer, {
          hidden: job.hidden[index]!,
          stop: job.stop,
          offsets: job.texts[index]!.alternatives !== undefined,
        }),
        index,
        form,
        served.tokenizer,
        job.texts[index]!.alternatives !== undefined,
      ),
    ),
  );
  const written = answers.reduce((sum, answer) => sum + answer.written, 0);
  return {
    ...answerHead(form, served, false),
    choices: answers.map(({ choice }) => choice),
    usage: usageOf(job.promptTokens, written),
  };
}

/**
 * The answer to a job, an event for each piece, or for all pieces of so many milliseconds; a client that reads slowly holds
 * up only itself.
 */
function streamed(context: Context, job: Job, served: Served, watch: Watch, pace: number): Response {
  const form = formOf(job.kind);
  const { tokenizer } = served;
  // What is refused is refused before the stream begins.
  const texts = served.engine.submit(job.texts);
  watch.streaming = true;
  const head = answerHead(form, served, true);
  const events = openEvents(context, () => watch.abort(new RequestError(503, "client_gone", "The client has gone.")));
  const send = (data: object): Promise<void> | undefined => events.send(JSON.stringify(data));
  let written = 0;
  const write = async (index: number): Promise<void> => {
    const withLogprobs = job.texts[index]!.alternatives !== undefined;
    let first = true;
    let due = 0;
    // What has not been sent. Of a piece that is held back only its log-probability is told.
    let [unsent, tokens]: [string, PlacedToken[]] = ["", []];
    for await (const { text, token, end } of piecesOf(texts[index]!, tokenizer, {
      hidden: job.hidden[index]!,
      stop: job.stop,
      offsets: withLogprobs,
    })) {
      if (token && !token.event.ofPrompt) written++;
      unsent += text;
      if (withLogprobs && token) tokens.push(token);
      const nothing = unsent === "" && tokens.length === 0;
      if (!first && end === undefined && (nothing || (pace > 0 && performance.now() < due))) continue;
      const logprobs = tokens.length > 0 ? form.logprobs(tokens, tokenizer) : null;
      const choice = { index, ...form.delta(unsent, first), logprobs, finish_reason: end ?? null };
      [unsent, tokens, first] = ["", [], false];
      if (pace > 0) due = performance.now() + pace;
      await send({ ...head, choices: [choice] });
    }
  };
  const writeAll = async (): Promise<void> => {
    try {
      await Promise.all(texts.map((_, index) => write(index)));
      if (job.includeUsage) await send({ ...head, choices: [], usage: usageOf(job.promptTokens, written) });
      await events.send("[DONE]");
    } catch (error) {
      watch.abort(error);
      // The last event: what other texts still have to say is not sent.
      void send(errorBody(asRequestError(error)));
    } finally {
      watch.close();
      events.end();
    }
  };
  void writeAll();
  return events.response;
}
