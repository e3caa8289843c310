// Texts for an engine, made from a number.

import { samplingRandom } from "../../src/data/random.ts";
import type { Engine, WrittenText } from "../../src/serving/engine.ts";
import type { TokenEvent } from "../../src/serving/writing.ts";
import type { TextRequest } from "../../src/serving/text-request.ts";
import { uniform } from "../ops/harness.ts";

/** A request whose prompt, length and rules are functions of the seed. */
export function requestOf(
  seed: number,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  changes: Partial<TextRequest> = {},
): TextRequest {
  const random = uniform(seed + 1);
  const upTo = (most: number): number => 1 + Math.floor(random() * most);
  const prompt = Array.from({ length: upTo(Math.floor(0.6 * context)) }, () => upTo(vocabulary) - 1);
  return {
    prompt,
    maxTokens: upTo(context - prompt.length),
    rules: { temperature: seed % 3 === 0 ? 0 : 0.9, ...(seed % 4 === 1 ? { topK: 5 } : {}) },
    bias: new Map(),
    presencePenalty: 0,
    frequencyPenalty: 0,
    random: samplingRandom(seed),
    stopToken: seed % 5 === 0 ? 3 : undefined,
    echo: seed % 2 === 0,
    alternatives: 2,
    signal: new AbortController().signal,
    ...changes,
  };
}

/** All that a reader gets of a text. */
export async function readAll(text: WrittenText): Promise<{ events: TokenEvent[]; end: WrittenText["end"] }> {
  const events: TokenEvent[] = [];
  for await (const event of text.events) events.push(event);
  return { events, end: text.end };
}

/** One text, with nothing beside it. */
export async function alone(engine: Engine, request: TextRequest): ReturnType<typeof readAll> {
  return readAll(engine.submit([request])[0]!);
}
