// Question: what may a client ask for, and which texts does that mean?
//
// The fields of OpenAI's `/v1/completions` and `/v1/chat/completions`, and those that other servers add to them: top_k,
// min_p, repetition_penalty, ignore_eos. A field that would change the answer and is not known is refused; others
// are passed over.

import { randomInt } from "node:crypto";
import { z } from "zod";
import { samplingRandom } from "../data/random.ts";
import { isObject } from "../basics/objects.ts";
import { showValue } from "../basics/show.ts";
import { reason } from "../files/errors.ts";
import { problems } from "../model/problems.ts";
import type { ChatMessage } from "./chat-template.ts";
import { RequestError } from "./errors.ts";
import type { Served } from "./served.ts";
import type { TextRequest } from "./text-request.ts";

/** Texts of one request. */
const MOST_TEXTS = 128;
const MOST_ALTERNATIVES = 20;
const MOST_STOPS = 16;

/** Messages of a chat, and parts of a message. */
const [MOST_MESSAGES, MOST_PARTS] = [1024, 64];

// Lists are as long as a body is, and others wait while they are checked: those of tokens are checked as one value, and
// of others it is first seen whether there are too many.

const isToken = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isTokens = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every(isToken);
/** Its fields are looked at one by one, until one is wrong. */
const isBias = (value: unknown): value is Readonly<Record<string, number>> => isObject(value);
const isPrompt = (value: unknown): value is string | readonly number[] =>
  typeof value === "string" || (isTokens(value) && value.length > 0);
const isPrompts = (value: unknown): value is readonly (string | readonly number[])[] =>
  Array.isArray(value) && value.length > 0 && value.length <= MOST_TEXTS && value.every(isPrompt);

const checked = <T>(is: (value: unknown) => value is T, must: string): z.ZodType<T> =>
  z.custom<T>(is, { error: ({ input }) => `${showValue(input)} is given; it must be ${must}` });
const atMost = <T extends z.ZodType>(most: number, each: T) => z.array(z.unknown()).max(most).pipe(z.array(each));

const count = z.int().min(0);
const texts = z.int().min(1).max(MOST_TEXTS);

const commonFields = {
  model: z.string().nullish(),
  max_tokens: count.nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
  presence_penalty: z.number().min(-100).max(100).nullish(),
  frequency_penalty: z.number().min(-100).max(100).nullish(),
  logit_bias: checked<Readonly<Record<string, number>>>(
    isBias,
    "a group of fields: tokens' numbers, and a bias of each",
  )
    .superRefine(expectBias)
    .nullish(),
  n: texts.nullish(),
  stop: z.union([z.string().min(1), atMost(MOST_STOPS, z.string().min(1))]).nullish(),
  seed: z.int().min(0).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  ignore_eos: z.boolean().nullish(),
};

/** Every key a token's number, and every value a bias; the first that is not is told. */
function expectBias(bias: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  for (const [key, value] of Object.entries(bias)) {
    const problem = !/^\d{1,9}$/.test(key)
      ? "this key is no token; it must be a token's number"
      : typeof value !== "number" || !(Math.abs(value) <= 100)
        ? `${showValue(value)} is given; it must be a number from -100 to 100`
        : undefined;
    if (problem !== undefined) return context.addIssue({ code: "custom", path: [key], message: problem });
  }
}

const completionSchema = z.looseObject({
  ...commonFields,
  prompt: z
    .union([
      checked(isPrompt, "a text or a list of tokens, which are whole numbers from 0"),
      checked(isPrompts, `a list of at most ${MOST_TEXTS} of them`),
    ])
    .nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(MOST_ALTERNATIVES).nullish(),
  best_of: texts.nullish(),
});

const contentSchema = z.union([
  z.string(),
  atMost(MOST_PARTS, z.looseObject({ type: z.literal("text"), text: z.string() })).transform((parts) =>
    parts.map(({ text }) => text).join(""),
  ),
]);
const chatSchema = z.looseObject({
  ...commonFields,
  messages: atMost(MOST_MESSAGES, z.looseObject({ role: z.string().min(1).max(64), content: contentSchema })).refine(
    ({ length }) => length > 0,
    { error: "there are no messages; give one at least" },
  ),
  max_completion_tokens: count.nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(MOST_ALTERNATIVES).nullish(),
});

/** Fields that would change the answer, with what they would need. */
const unsupported: Readonly<Record<string, string>> = {
  suffix: "a model that was trained to fill in",
  tools: "a model that was trained to call tools",
  functions: "a model that was trained to call functions",
  response_format: "a grammar for what is written",
  guided_json: "a grammar for what is written",
  audio: "a model that speaks",
};

/** What a request asks for. */
export interface Job {
  readonly kind: "completion" | "chat";
  /** The texts in the order of the answer's choices. */
  readonly texts: readonly TextRequest[];
  /** Tokens of each prompt that belong to no text: what the tokenizer puts before it. */
  readonly hidden: readonly number[];
  /** Distinct prompts, for the usage. */
  readonly promptTokens: number;
  readonly stop: readonly string[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** The body of `/v1/completions`; `signal` ends its texts. */
export async function completionJob(body: unknown, served: Served, signal: AbortSignal): Promise<Job> {
  const asked = parsed(completionSchema, body, served);
  if ((asked.best_of ?? 1) > (asked.n ?? 1))
    throw refusal("best_of", "more than n texts are not compared; leave it out, or give n.");
  return makeJob("completion", await promptsOf(asked.prompt ?? "", served), asked, served, signal, {
    maxTokens: asked.max_tokens ?? undefined,
    usual: 16,
    echo: asked.echo ?? false,
    alternatives: asked.logprobs ?? undefined,
    stop: [],
  });
}

/** The body of `/v1/chat/completions`. */
export async function chatJob(body: unknown, served: Served, signal: AbortSignal): Promise<Job> {
  const asked = parsed(chatSchema, body, served);
  return makeJob("chat", [await promptOfChat(asked.messages, served)], asked, served, signal, {
    maxTokens: asked.max_completion_tokens ?? asked.max_tokens ?? undefined,
    usual: Infinity,
    echo: false,
    alternatives: asked.logprobs ? (asked.top_logprobs ?? 0) : undefined,
    stop: served.template.stop,
  });
}

const tokenizeSchema = z.looseObject({
  model: z.string().nullish(),
  prompt: z.string().nullish(),
  messages: chatSchema.shape.messages.nullish(),
  add_special_tokens: z.boolean().nullish(),
});

/** The tokens of the body of `/tokenize`. */
export async function tokenizeRequest(body: unknown, served: Served): Promise<readonly number[]> {
  const { prompt, messages, add_special_tokens: special } = parsed(tokenizeSchema, body, served);
  const before = (special ?? true) ? served.tokenizer.before : [];
  if (typeof prompt === "string") return before.concat(...(await served.encoder.encode([prompt])));
  if (!messages) throw refusal("prompt", "nothing is given; it must be a text, or give messages.");
  return (await promptOfChat(messages, served)).tokens;
}

/** The tokens of the body of `/detokenize`. */
export function detokenizeRequest(body: unknown, served: Served): readonly number[] {
  const schema = z.looseObject({
    model: z.string().nullish(),
    tokens: checked(isTokens, "a list of tokens, which are whole numbers from 0"),
  });
  const { tokens } = parsed(schema, body, served);
  expectTokens("tokens", tokens, served);
  return tokens;
}

interface Prompt {
  readonly tokens: readonly number[];
  readonly hidden: number;
}

async function promptsOf(
  prompt: string | readonly number[] | readonly (string | readonly number[])[],
  { tokenizer, encoder }: Served,
): Promise<Prompt[]> {
  const each = isPrompt(prompt) ? [prompt] : prompt;
  const encoded = (await encoder.encode(each.filter((one) => typeof one === "string"))).values();
  return each.map((one) => {
    if (typeof one !== "string") return { tokens: one, hidden: 0 };
    const tokens = tokenizer.before.concat(encoded.next().value!);
    if (tokens.length > 0) return { tokens, hidden: tokenizer.before.length };
    if (tokenizer.endOfText === undefined)
      throw refusal(
        "prompt",
        "it is empty, and this tokenizer has no token that a text begins with; give at least one character.",
      );
    return { tokens: [tokenizer.endOfText], hidden: 1 };
  });
}

async function promptOfChat(
  messages: readonly ChatMessage[],
  { template, tokenizer, encoder }: Served,
): Promise<Prompt> {
  const before = template.complete ? [] : tokenizer.before;
  let text: string;
  try {
    text = template.prompt(messages);
  } catch (error) {
    throw refusal("messages", reason(error));
  }
  return { tokens: before.concat(...(await encoder.encode([text]))), hidden: before.length };
}

type Common = z.infer<z.ZodObject<typeof commonFields>>;

function makeJob(
  kind: Job["kind"],
  prompts: readonly Prompt[],
  asked: Common,
  served: Served,
  signal: AbortSignal,
  own: {
    readonly maxTokens: number | undefined;
    /** Tokens at most where the request does not say; fewer if the context ends. */
    readonly usual: number;
    readonly echo: boolean;
    readonly alternatives: number | undefined;
    readonly stop: readonly string[];
  },
): Job {
  const { engine, tokenizer, context } = served;
  const n = asked.n ?? 1;
  const most = Math.min(MOST_TEXTS, engine.options.queue + engine.options.slots);
  if (n * prompts.length > most)
    throw refusal(
      "n",
      `${n * prompts.length} texts are asked for; at most ${most} are taken at a time. Send several requests.`,
    );
  const bias = new Map(Object.entries(asked.logit_bias ?? {}).map(([id, value]) => [Number(id), value]));
  for (const { tokens } of prompts) expectTokens("prompt", tokens, served);
  expectTokens("logit_bias", bias.keys(), served);
  // Tokens that the tokenizer does not have are no text.
  for (let id = tokenizer.vocabularySize; id < served.vocabulary; id++) bias.set(id, -Infinity);
  const seed = asked.seed ?? randomInt(2 ** 31);
  const random = samplingRandom(seed);
  const requests = prompts.flatMap(({ tokens }) => {
    // The last token that is written is not read.
    const room = context - tokens.length + 1;
    const maxTokens = own.maxTokens ?? Math.max(1, Math.min(own.usual, room));
    if (tokens.length > context || maxTokens > room)
      throw new RequestError(
        400,
        "context_length_exceeded",
        `The prompt has ${tokens.length} tokens and max_tokens is ${maxTokens}; this model reads at most ${context} tokens; the last one that is written is not read. Shorten the prompt, or ask for fewer tokens.`,
      );
    return Array.from({ length: n }, (_, choice): TextRequest => ({
      prompt: tokens,
      maxTokens,
      rules: {
        temperature: asked.temperature ?? 1,
        topP: asked.top_p ?? 1,
        minP: asked.min_p ?? 0,
        repetitionPenalty: asked.repetition_penalty ?? 1,
        // 0 and -1 mean all, as other servers have it.
        ...((asked.top_k ?? 0) > 0 ? { topK: asked.top_k! } : {}),
      },
      bias,
      presencePenalty: asked.presence_penalty ?? 0,
      frequencyPenalty: asked.frequency_penalty ?? 0,
      random: (index) => random(index, choice),
      stopToken: asked.ignore_eos ? undefined : tokenizer.endOfText,
      echo: own.echo,
      alternatives: own.alternatives,
      signal,
    }));
  });
  const stop = asked.stop ?? [];
  return {
    kind,
    texts: requests,
    hidden: prompts.flatMap(({ hidden }) => Array.from({ length: n }, () => hidden)),
    promptTokens: prompts.reduce((sum, { tokens }) => sum + tokens.length, 0),
    stop: [...(typeof stop === "string" ? [stop] : stop), ...own.stop],
    stream: asked.stream ?? false,
    includeUsage: asked.stream_options?.include_usage ?? false,
  };
}

function parsed<T extends { readonly model?: string | null | undefined }>(
  schema: z.ZodType<T>,
  body: unknown,
  { name }: Served,
): T {
  const result = schema.safeParse(body);
  if (!result.success)
    throw new RequestError(400, "invalid_value", problems(result.error.issues, body, schema).join("; "));
  for (const [field, need] of Object.entries(unsupported)) {
    const value = (body as Record<string, unknown>)[field];
    const none = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    const isText = field === "response_format" && (value as { type?: unknown } | null)?.type === "text";
    if (!none && !isText) throw refusal(field, `it is not supported, because it needs ${need}; leave it out.`);
  }
  const { model = name } = result.data;
  if (model !== null && model !== name)
    throw new RequestError(
      404,
      "model_not_found",
      `There is no model ${JSON.stringify(model)} here; this server has ${JSON.stringify(name)}.`,
    );
  return result.data;
}

function expectTokens(field: string, tokens: Iterable<number>, { tokenizer }: Served): void {
  const vocabulary = tokenizer.vocabularySize;
  for (const id of tokens)
    if (id >= vocabulary)
      throw refusal(field, `token ${id} does not exist; this model has tokens 0 to ${vocabulary - 1}.`);
}

const refusal = (field: string, message: string): RequestError =>
  new RequestError(400, "invalid_value", `${field}: ${message}`);
